"""Facts about a model, and where each came from: what the user gave, what the file says, what was assumed and why.

The order of trust: the user and the file may only agree; an assumption only fills what neither said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgeinfer.errors import Fault

__all__ = ["Fact", "Facts", "Learnt"]


class Fact(NamedTuple):
    """A value, and in words where it comes from: "given", "file: …" or "assumed: …"."""

    value: Any
    origin: str

    @property
    def assumed(self) -> bool:
        return self.origin.startswith("assumed")

    @property
    def why(self) -> str:
        """The reason of an assumption."""
        return self.origin.partition(": ")[2]


@dataclass
class Learnt:
    """What a model file says beyond its tensors. ``preprocess`` has fields of ImageSpec; ``source`` names the metadata."""

    source: str = ""
    preprocess: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    decoder: str = ""


class Facts:
    """Collects facts by name ("preprocess.mean", "decoder") and the faults found on the way."""

    def __init__(self, given: Mapping[str, Any], override: bool = False) -> None:
        """``override``: where the user and the file differ, the user is right."""
        self.known: dict[str, Fact] = {}
        self.faults: list[Fault] = []
        self._override = override
        for name, value in given.items():
            self.give(name, value)

    def give(self, name: str, value: Any) -> None:
        """What the user says."""
        self.known[name] = Fact(value, "given")

    def state(self, name: str, value: Any, source: str) -> None:
        """What the file says. A fault where the user said otherwise."""
        given = self.known.get(name)
        if given is None:
            self.known[name] = Fact(value, f"file: {source}")
        elif not _same(given.value, value) and not self._override:
            self.faults.append(Fault(name, f"{_short(value)}, as the file's {source} says", _short(given.value),
                                     "leave the flag out, or add --override if the file is wrong"))

    def require(self, name: str, value: Any, source: str) -> None:
        """What follows from the tensors: not even ``override`` may contradict it."""
        override, self._override = self._override, False
        self.state(name, value, source)
        self._override = override

    def assume(self, name: str, value: Any, why: str) -> None:
        """A default that is said aloud; nothing where the fact is known."""
        self.known.setdefault(name, Fact(value, f"assumed: {why}"))

    def value(self, name: str, default: Any = None) -> Any:
        return self.known[name].value if name in self.known else default

    def below(self, prefix: str) -> dict[str, Any]:
        """The values of all facts ``prefix``.something, by that something."""
        start = f"{prefix}."
        return {name.removeprefix(start): fact.value for name, fact in self.known.items() if name.startswith(start)}

    def refuse(self, where: str, expected: str, got: str, hint: str = "") -> None:
        self.faults.append(Fault(where, expected, got, hint))

    def assumptions(self) -> dict[str, Fact]:
        return {name: fact for name, fact in self.known.items() if fact.assumed}


def _same(one: Any, other: Any) -> bool:
    """Equal; of numbers as near as float32 has them, and one number is as good as the same for each channel."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        longest = max(len(one), len(other))
        pair = [list(side) * longest if len(side) == 1 else list(side) for side in (one, other)]
        return len(pair[0]) == len(pair[1]) and all(map(_same, *pair))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)
    return bool(one == other)


def _short(value: Any) -> str:
    text = str(list(value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
