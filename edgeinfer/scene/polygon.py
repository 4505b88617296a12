"""Polygons in fractions of the frame, origin top left, y down."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

__all__ = ["Point", "Points", "Polygon", "check"]

Point = tuple[float, float]
Points = tuple[Point, ...]

_MOST_POINTS = 64


class Polygon:
    """A simple polygon; a concave one is fine. What lies on an edge belongs to one of the two sides, always the same one."""

    __slots__ = ("_edges", "points")

    def __init__(self, points: Sequence[Point]) -> None:
        self.points = tuple((float(x), float(y)) for x, y in points)
        self._edges = tuple(zip(self.points, self.points[1:] + self.points[:1], strict=True))

    def contains(self, x: float, y: float) -> bool:
        """Even-odd rule: a ray to the left crosses an odd number of edges."""
        inside = False
        for (x0, y0), (x1, y1) in self._edges:
            if (y0 > y) != (y1 > y) and x > x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                inside = not inside
        return inside

    def near(self, x: float, y: float, across: float, down: float) -> bool:
        """Whether an edge comes into the ellipse around a point with these half axes (fractions of the frame, above 0)."""
        return any(_apart((x0 - x) / across, (y0 - y) / down, (x1 - x) / across, (y1 - y) / down) < 1
                   for (x0, y0), (x1, y1) in self._edges)

    def share_of(self, left: float, top: float, right: float, bottom: float) -> float:
        """How much of a box lies in the polygon, 0..1 of the box's area. Sutherland and Hodgman, "Reentrant polygon clipping"
        (1974), against the box's four sides; the edges that it leaves along the sides of a concave polygon enclose nothing."""
        area = (right - left) * (bottom - top)
        if area <= 0:
            return 0.0
        points: list[Point] = list(self.points)
        for axis, limit, sign in ((0, left, 1), (0, right, -1), (1, top, 1), (1, bottom, -1)):
            points = _clip(points, axis, limit, sign)
        twice = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True))
        return min(abs(twice) / 2 / area, 1.0)


def _apart(x0: float, y0: float, x1: float, y1: float) -> float:
    """How far a line from one point to another is from the origin."""
    ahead, down = x1 - x0, y1 - y0
    share = -(x0 * ahead + y0 * down) / max(ahead * ahead + down * down, 1e-18)
    share = min(max(share, 0.0), 1.0)
    return math.hypot(x0 + share * ahead, y0 + share * down)


def _clip(points: list[Point], axis: int, limit: float, sign: int) -> list[Point]:
    """The part of a polygon on one side of a line along an axis."""
    kept: list[Point] = []
    for point, following in zip(points, points[1:] + points[:1], strict=True):
        before, after = sign * (point[axis] - limit), sign * (following[axis] - limit)
        if before >= 0:
            kept.append(point)
        if (before >= 0) != (after >= 0):
            share = before / (before - after)
            kept.append((point[0] + share * (following[0] - point[0]), point[1] + share * (following[1] - point[1])))
    return kept


def check(points: Points, what: str, least: int = 3) -> None:
    """Raises ValueError where these are no points of a simple polygon (of a line: ``least`` 2) within the frame."""
    if not least <= len(points) <= _MOST_POINTS:
        raise ValueError(f"expected {what} of {least} to {_MOST_POINTS} points, got {len(points)}")
    for x, y in points:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"expected {what} in fractions of the frame (0 to 1), got [{x:g}, {y:g}]")
    if least < 3:
        return
    crossed = _crossed(points)
    if crossed is not None:
        one, other = (f"[{x0:g}, {y0:g}] to [{x1:g}, {y1:g}]" for (x0, y0), (x1, y1) in crossed)
        raise ValueError(f"expected {what} in order around the polygon, got {one} and {other}, which cross")
    if abs(_area(points)) < 1e-6:
        raise ValueError(f"expected {what} that enclose something, got an area of 0")


def _crossed(points: Points) -> tuple[tuple[Point, Point], tuple[Point, Point]] | None:
    """Two sides that cross; one that only touches another is fine."""
    sides = list(zip(points, points[1:] + points[:1], strict=True))
    return next(((one, other) for one, other in itertools.combinations(sides, 2)
                 if _parted(*one, *other) and _parted(*other, *one)), None)


def _parted(start: Point, end: Point, one: Point, other: Point) -> bool:
    """Whether two points lie on either side of a line."""
    turns = [(end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0]) for x, y in (one, other)]
    return min(turns) < -1e-9 and max(turns) > 1e-9


def _area(points: Points) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True)) / 2
