"""Polygons, against independent ways to say the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgeinfer.scene.polygon import Point, Polygon, check

fractions = st.integers(0, 100).map(lambda value: value / 100)
points = st.tuples(fractions, fractions)


def winding(corners: Sequence[Point], x: float, y: float) -> float:
    """How often the polygon goes round a point, by the sum of angles (the shapely way would be the same)."""
    total = 0.0
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        turn = math.atan2(y1 - y, x1 - x) - math.atan2(y0 - y, x0 - x)
        total += math.atan2(math.sin(turn), math.cos(turn))
    return total / (2 * math.pi)


def star(radii: Sequence[float]) -> list[Point]:
    """A simple polygon around the middle, concave as it comes."""
    step = 2 * math.pi / len(radii)
    return [(0.5 + radius * math.cos(index * step), 0.5 + radius * math.sin(index * step)) for index, radius in enumerate(radii)]


shapes = st.lists(st.integers(5, 45).map(lambda value: value / 100), min_size=3, max_size=12).map(star)


@given(shapes, points)
def test_a_point_is_inside_as_the_winding_number_says(corners: list[Point], point: Point) -> None:
    turns = winding(corners, *point)
    assume(abs(abs(turns) - 0.5) > 0.1)  # not on an edge
    assert Polygon(corners).contains(*point) == (abs(turns) > 0.5)


@given(shapes, points, st.integers(10, 60), st.integers(10, 60))
def test_the_share_of_a_box_is_what_drawing_it_says(corners: list[Point], corner: Point, width: int, height: int) -> None:
    left, top = corner[0] * 0.4, corner[1] * 0.4
    right, bottom = left + width / 100, top + height / 100
    scale = 1000
    canvas = np.zeros((scale, scale), np.uint8)
    cv2.fillPoly(canvas, [np.round(np.array(corners) * scale).astype(np.int32)], (1,))
    cut = canvas[round(top * scale) : round(bottom * scale), round(left * scale) : round(right * scale)]
    assert Polygon(corners).share_of(left, top, right, bottom) == pytest.approx(cut.mean(), abs=0.03)


reaches = st.integers(1, 30).map(lambda value: value / 100)


@given(shapes, points, reaches, reaches)
def test_an_edge_is_near_where_one_of_its_points_lies_in_the_ellipse(corners: list[Point], point: Point, across: float, down: float) -> None:
    """By looking at a thousand points of each edge."""
    shares = np.linspace(0, 1, 1001)[:, None]
    closed = np.array([*corners, corners[0]])
    along = np.concatenate([start + shares * (end - start) for start, end in itertools.pairwise(closed)])
    away = np.hypot((along[:, 0] - point[0]) / across, (along[:, 1] - point[1]) / down).min()
    assume(abs(away - 1) > 0.01)
    assert Polygon(corners).near(*point, across, down) == (away < 1)


@given(st.lists(points, min_size=3, max_size=20), points)
def test_no_polygon_makes_trouble(corners: list[Point], point: Point) -> None:
    polygon = Polygon(corners)
    polygon.contains(*point)
    polygon.near(*point, 1e-6, 0.1)
    assert 0 <= polygon.share_of(*point, point[0] + 0.1, point[1] + 0.1) <= 1


@given(shapes)
def test_a_simple_polygon_is_taken(corners: list[Point]) -> None:
    """Concave ones, and one whose first point stands at its end again."""
    inside = tuple((min(max(x, 0), 1), min(max(y, 0), 1)) for x, y in corners)
    check(inside, "points")
    check((*inside, inside[0]), "points")


def test_neighbours_that_share_an_edge_never_both_hold_a_point() -> None:
    left, right = Polygon([(0, 0), (0.5, 0), (0.5, 1), (0, 1)]), Polygon([(0.5, 0), (1, 0), (1, 1), (0.5, 1)])
    for y in (0.1, 0.5, 0.9):
        assert left.contains(0.5, y) + right.contains(0.5, y) == 1


@pytest.mark.parametrize(("corners", "says"), [
    (((0.0, 0.0), (1.0, 1.0)), "3 to 64 points, got 2"),
    (((0.0, 0.0), (1.0, 1.0), (0.5, 2.0)), r"fractions of the frame \(0 to 1\), got \[0.5, 2\]"),
    (((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)), "an area of 0"),
    (((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.5)), r"in order around the polygon, got \[0, 0\] to \[1, 1\] and \[1, 0\] to \[0, 0.5\]"),
    (((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)), "which cross"),
    (((0.0, 0.0), (float("nan"), 0.5), (1.0, 1.0)), "fractions"),
])
def test_what_is_no_polygon_is_refused(corners: tuple[Point, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check(corners, "points")
