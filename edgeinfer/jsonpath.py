"""A number within a JSON document: ``acceleration.x``, ``sensors[2].value``; empty: the document itself."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["number_at", "steps"]

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d{1,6})\]")
_LARGEST = 3.4028234663852886e38  # of float32


def steps(path: str) -> tuple[str | int, ...]:
    """Names and indices, from the outside in. Raises ValueError for what is no path."""
    found: list[str | int] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or (at == 0 and path[0] == "."):
            raise ValueError(f"expected a path such as acceleration.x or sensors[2].value, got {path[:80]!r}")
        found.append(step[1] if step[1] is not None else int(step[2]))
        at = step.end()
    return tuple(found)


def number_at(document: Any, path: tuple[str | int, ...], words: Mapping[str, float]) -> float:
    """The number there; a truth value is 1 or 0, a text what ``words`` say, or the number that it is. Raises ValueError where
    there is none, or one that float32 does not hold."""
    value = document
    for step in path:
        if isinstance(value, str):  # its characters are no values
            raise ValueError(f"nothing at {step!r} of a text")
        try:
            value = value[step]
        except (LookupError, TypeError) as error:
            raise ValueError(f"nothing at {step!r}") from error
    if isinstance(value, str):
        value = words[value] if value in words else float(value)
    if not isinstance(value, bool | int | float) or not abs(value) <= _LARGEST or math.isnan(value):
        raise ValueError(f"no finite number: {value!r}"[:80])
    return float(value)
