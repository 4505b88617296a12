"""Typed configuration: all faults at once, each with its place and a suggestion."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgeinfer.errors import Fault
from edgeinfer.typed import convert


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    width: int
    height: int = 480

    def __post_init__(self) -> None:
        if self.width <= 0:
            raise ValueError(f"expected width above 0, got {self.width}")


class Cat(msgspec.Struct, frozen=True, tag="cat", tag_field="kind", forbid_unknown_fields=True):
    lives: int


class Dog(msgspec.Struct, frozen=True, tag="dog", tag_field="kind", forbid_unknown_fields=True):
    tricks: int


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: Inner
    pet: Cat | Dog
    named: dict[str, Inner] = {}
    maybe: Inner | None = None


GOOD = {"inner": {"width": 3}, "pet": {"kind": "dog", "tricks": 2}}


def _faults(value: Any) -> list[Fault]:
    faults: list[Fault] = []
    assert convert(value, Outer, "", faults) is None
    return faults


def test_good_values_become_structs() -> None:
    """Nested structs, tagged unions, mappings and optional structs all convert."""
    faults: list[Fault] = []
    made = convert({**GOOD, "named": {"a": {"width": 1}}, "maybe": {"width": 9}}, Outer, "", faults)
    assert made == Outer(Inner(3), Dog(2), {"a": Inner(1)}, Inner(9))
    assert faults == []


def test_every_fault_is_found_in_one_run() -> None:
    """Five mistakes at five depths are five faults, each with its own place."""
    faults = _faults({"inner": {"widht": 3}, "pet": {"kind": "cat", "lives": "nine"}, "named": {"a": {"width": -1}}, "x": 1})
    assert {fault.where for fault in faults} == {"inner.widht", "inner.width", "pet.lives", "named.a", "x"}


CASES = [
    ({**GOOD, "inner": {"width": "3"}}, "inner.width: expected int, got str '3'", ""),
    ({**GOOD, "inner": {"width": 3, "hieght": 1}}, "inner.hieght: expected a known key, got 'hieght'", "did you mean 'height'?"),
    ({**GOOD, "inner": None}, "inner: expected a mapping of keys, got None", ""),
    ({**GOOD, "inner": {"width": 0}}, "inner: expected width above 0, got 0", ""),
    ({"pet": {"kind": "dog", "tricks": 1}}, "inner: expected a value (this key is required), got nothing", ""),
    ([1, 2], "document: expected a mapping of keys, got [1, 2]", ""),
]


@pytest.mark.parametrize(("value", "line", "hint"), CASES)
def test_a_fault_reads_where_expected_got(value: Any, line: str, hint: str) -> None:
    """Each message names the place, what was expected and what was found."""
    faults = _faults(value)
    assert str(faults[0]).splitlines()[0] == line
    assert faults[0].hint == hint


def test_an_unknown_tag_is_a_fault_not_a_crash() -> None:
    """A union whose tag nobody knows is reported at its place."""
    faults = _faults({**GOOD, "pet": {"kind": "fish"}})
    assert faults[0].where == "pet"
