"""Lines that are crossed: counts for each of the two directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from edgeinfer.scene.events import Events
from edgeinfer.scene.polygon import Point, check
from edgeinfer.scene.tracker import TREMBLE, Track

__all__ = ["Line", "LineOptions"]


class LineOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``points``: from where to where, in fractions of the frame. Who looks along it has "out" on the left and "in" on the
    right: what crosses from left to right goes in."""

    points: tuple[Point, Point]
    labels: tuple[str, ...] = ()  # only these; none: all
    anchor: Literal["bottom", "centre"] = "bottom"
    margin: float = 0.02  # how far beyond the line a thing must be, in fractions of the frame, and at least a tenth of its size:
    # what only trembles on it never is

    def __post_init__(self) -> None:
        check(self.points, "points", least=2)
        if self.points[0] == self.points[1]:
            raise ValueError("expected two points that differ, got the same twice")
        if not 0 <= self.margin <= 0.5:
            raise ValueError(f"expected margin between 0 and 0.5, got {self.margin:g}")


class Line:
    """One line. A track is on one side until it is beyond the line by the margin on the other; it is counted then, if it came
    through between the line's ends. To be counted the same way again it must have come back by the margin."""

    def __init__(self, name: str, options: LineOptions, most: int) -> None:
        self.name = name
        self.counts = {"in": 0, "out": 0}
        self.changes = 0  #: of the counts, counted
        self._options = options
        (x0, y0), (x1, y1) = options.points
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        self._x, self._y, self._along = x0, y0, ((x1 - x0) / length, (y1 - y0) / length)
        self._length = length
        self._numbers = [0] * most
        self._sides = [0] * most  # +1: on the right
        self._last = [(0.0, 0.0)] * most  # where along and how far from the line each track was seen last
        self._through = [False] * most  # its last change of sides was between the ends

    def see(self, tracks: Sequence[Track], events: Events) -> None:
        """The tracks after a frame."""
        for track in tracks:
            if track.seen and (not self._options.labels or track.label in self._options.labels):
                self._judge(track, track.slot, events)

    def _judge(self, track: Track, slot: int, events: Events) -> None:
        along, beyond = self._place(track)
        if self._numbers[slot] != track.number:
            self._numbers[slot], self._through[slot] = track.number, False
            self._sides[slot] = 1 if beyond > 0 else -1
            self._last[slot] = along, beyond
            return
        before_along, before = self._last[slot]
        if (before > 0) != (beyond > 0):
            met = before_along + (along - before_along) * before / (before - beyond)
            self._through[slot] = 0 <= met <= self._length
        self._last[slot] = along, beyond
        if track.id and beyond * self._sides[slot] < 0 and abs(beyond) > self._margin(track):
            self._sides[slot] = -self._sides[slot]
            if self._through[slot]:
                self._count(track, "in" if beyond > 0 else "out", events)

    def _margin(self, track: Track) -> float:
        """How far beyond the line is far enough: a box of twice the size trembles twice as much."""
        ahead, down = self._along
        size: float = abs(down) * (track.right - track.left) + abs(ahead) * (track.bottom - track.top)
        return max(self._options.margin, TREMBLE * size)

    def _place(self, track: Track) -> tuple[float, float]:
        """How far along the line, and how far to its right, in fractions of the frame (y goes down, so right is clockwise)."""
        x = (track.left + track.right) / 2 - self._x
        y = (track.bottom if self._options.anchor == "bottom" else (track.top + track.bottom) / 2) - self._y
        ahead, down = self._along
        return x * ahead + y * down, ahead * y - down * x

    def _count(self, track: Track, direction: str, events: Events) -> None:
        self.counts[direction] += 1
        self.changes += 1
        events.add("crossed", line=self.name, direction=direction, track=track.id, label=track.label,
                   count=self.counts[direction], box=(track.left, track.top, track.right, track.bottom))

    def document(self) -> dict[str, Any]:
        """For payloads, health and the line's own topic."""
        return dict(self.counts)
