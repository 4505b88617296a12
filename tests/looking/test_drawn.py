"""What was drawn is what a configuration takes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.errors import DataError
from edgeinfer.looking.drawn import Drawn, read_drawn
from edgeinfer.scene.crossing import LineOptions
from edgeinfer.scene.zones import ZoneOptions
from edgeinfer.typed import convert

TRIANGLE = [[0.1, 0.2], [0.9, 0.25], [0.5, 0.875]]


def taken(text: str) -> Drawn:
    """As a configuration takes it."""
    faults: list[Any] = []
    drawn = convert(yaml.safe_load(text) or {}, Drawn, "", faults)
    assert drawn is not None, faults
    return drawn


def test_options_that_were_there_stay() -> None:
    """A zone with options of its own comes back with them, and says nothing that is the default anyway."""
    raw = {"zones": {"yard": {"points": TRIANGLE, "exclude": True, "labels": ["cat"], "dwell_s": 3, "events": ["enter"]}},
           "lines": {"door": {"points": TRIANGLE[:2], "margin": 0.05}}}
    drawn = read_drawn(json.dumps(raw).encode())
    assert json.loads(json.dumps(drawn.document())) == raw
    assert taken(drawn.yaml()) == drawn
    assert drawn.yaml() == (
        'zones:\n  yard: {points: [[0.1, 0.2], [0.9, 0.25], [0.5, 0.875]], exclude: true, labels: ["cat"], dwell_s: 3.0, '
        'events: ["enter"]}\nlines:\n  door: {points: [[0.1, 0.2], [0.9, 0.25]], margin: 0.05}\n')


@pytest.mark.parametrize("name", ["on", "No", "y", "null", "TRUE", "1", "12_30", "0x10", "1e5", "2026-01-01", "-", "---", "door", "on-top", "_1"])
def test_every_name_that_may_be_drawn_is_a_name_in_yaml(name: str) -> None:
    """Whatever YAML would make of it."""
    drawn = read_drawn(json.dumps({"zones": {name: {"points": TRIANGLE}}, "lines": {name: {"points": TRIANGLE[:2]}}}).encode())
    assert taken(drawn.yaml()) == drawn


thousandths = st.integers(0, 1000).map(lambda number: number / 1000)


@given(st.lists(st.tuples(thousandths, thousandths), min_size=3, max_size=12, unique=True), st.booleans())
def test_what_is_drawn_is_taken(points: list[tuple[float, float]], exclude: bool) -> None:
    """Whatever points, in order around their middle: the YAML gives the same zone, to a thousandth of the picture."""
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    points.sort(key=lambda point: math.atan2(point[1] - y, point[0] - x))
    try:
        zone = ZoneOptions(points=tuple(points), exclude=exclude)
    except ValueError:
        return  # encloses nothing
    drawn = Drawn({"z": zone}, {"l": LineOptions(points=(points[0], points[1]))})
    assert taken(drawn.yaml()) == drawn


@pytest.mark.parametrize(("raw", "words"), [
    (b"", "zones and lines"), (b"[]", "zones and lines"), (b'{"zones": {"a": {"points": [[0, 0], [1, 1]]}}}', "3 to 64 points"),
    (b'{"zones": {"a: {}": {"points": [[0, 0], [1, 1], [0, 1]]}}}', "letters"), (b'{"other": 1}', "unknown field"),
    (b'{"lines": {"a": {"points": [[0, 0], [2, 1]]}}}', "fractions"), (b"\xff", "zones and lines"), (b"[" * 100000, "zones and lines"),
])
def test_what_is_no_drawing_is_refused(raw: bytes, words: str) -> None:
    """One error that says what is wrong; nothing that a page sends ends up in YAML unchecked."""
    with pytest.raises(DataError, match=words):
        read_drawn(raw)
