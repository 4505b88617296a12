"""Detections made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.model.result import Box, Detections

__all__ = ["MILLISECOND", "SECOND", "at", "detections"]

SECOND = 1_000_000_000
MILLISECOND = 1_000_000


def at(x: float, y: float, width: float = 0.1, height: float = 0.2, *, label: str = "person", index: int = 0,
       score: float = 0.9) -> Box:
    """A box by the middle of its lower edge, where a person stands."""
    return Box(index, label, score, x - width / 2, y - height, x + width / 2, y)


def detections(boxes: Sequence[Box]) -> Detections:
    return Detections(list(boxes), len(boxes))
