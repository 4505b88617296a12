"""Lines: each crossing is counted once, the right way."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.model.result import Box
from edgeinfer.scene.crossing import Line, LineOptions
from edgeinfer.scene.events import Events
from edgeinfer.scene.polygon import Point
from edgeinfer.scene.tracker import Tracker, TrackOptions
from tests.scene.boxes import SECOND, at, detections

DOWN = ((0.5, 0.2), (0.5, 0.8))  # from the top down: "in" is to its right, which is the frame's left


def counted(path: Callable[[float], Sequence[Box]], seconds: float, fps: float = 10, points: Any = DOWN, **options: Any) -> dict[str, int]:
    tracker, line, events = Tracker(TrackOptions()), Line("door", LineOptions(points=points, **options), 64), Events()
    for number in range(round(seconds * fps)):
        tracker.update(detections(path(number / fps)), round(number / fps * SECOND))
        line.see(tracker.tracks, events)
    assert events.told["crossed"] == sum(line.counts.values())
    return line.counts


def test_to_the_left_of_the_frame_is_in_for_a_line_that_goes_down() -> None:
    assert counted(lambda t: [at(0.8 - 0.2 * t, 0.5)], 3) == {"in": 1, "out": 0}
    assert counted(lambda t: [at(0.2 + 0.2 * t, 0.5)], 3) == {"in": 0, "out": 1}


def test_there_and_back_is_one_each() -> None:
    assert counted(lambda t: [at(0.5 + 0.2 * (1 - abs(t - 2)), 0.5)], 4) == {"in": 1, "out": 1}


def test_who_trembles_on_the_line_is_counted_once() -> None:
    shaken = random.Random(5)
    assert counted(lambda t: [at(max(0.8 - 0.1 * t, 0.45 if t > 6 else 0.5) + shaken.uniform(-0.015, 0.015), 0.5)], 10) \
        == {"in": 1, "out": 0}


@pytest.mark.parametrize("fps", [5, 10, 30])
@pytest.mark.parametrize("height", [0.1, 0.3, 0.7])
def test_who_stands_on_the_line_is_not_counted_again_and_again(height: float, fps: float) -> None:
    """A box of any size trembles by 2 % of its sides for two minutes: once on the other side at most."""
    shaken = random.Random(4)
    counts = counted(lambda _: [at(0.5, 0.5 + shaken.gauss(0, 0.02 * height), 0.1, height)], 120, fps, points=((0.2, 0.5), (0.8, 0.5)))
    assert sum(counts.values()) <= 1


def test_who_goes_round_its_end_is_not_counted() -> None:
    assert counted(lambda t: [at(0.8 - 0.2 * t, 0.9)], 3) == {"in": 0, "out": 0}


def test_who_crosses_while_out_of_sight_is_counted() -> None:
    assert counted(lambda t: [] if 1 <= t < 2 else [at(0.8 - 0.2 * t, 0.5)], 4) == {"in": 1, "out": 0}


def test_two_abreast_are_two() -> None:
    assert counted(lambda t: [at(0.8 - 0.2 * t, 0.45), at(0.8 - 0.2 * t, 0.75)], 3) == {"in": 2, "out": 0}


def test_other_labels_are_not_counted() -> None:
    assert counted(lambda t: [at(0.8 - 0.2 * t, 0.5)], 3, labels=("cat",)) == {"in": 0, "out": 0}


@settings(max_examples=80)
@given(st.lists(st.tuples(st.floats(0.1, 0.9), st.floats(0.3, 0.7)), min_size=2, max_size=40))
def test_in_and_out_take_turns_and_end_on_the_side_where_it_is(stops: list[Point]) -> None:
    """One thing that jumps about within the line's ends: counts never go back, and their difference is its side."""
    tracker, line, events = Tracker(TrackOptions(confirm=1, min_iou=0.01)), Line("door", LineOptions(points=DOWN), 64), Events()
    side, difference, walk = None, 0, list[Point]()
    for (x0, y0), (x1, y1) in itertools.pairwise(stops):
        walk += [(x0 + (x1 - x0) * step / 12, y0 + (y1 - y0) * step / 12) for step in range(12)]
    for number, (x, y) in enumerate(walk):
        tracker.update(detections([at(x, y, 0.3, 0.3)]), number * SECOND // 10)
        before = dict(line.counts)
        line.see(tracker.tracks, events)
        assert all(line.counts[way] - before[way] in (0, 1) for way in before)
        beyond = 0.5 - x
        if side is None:
            side = 1 if beyond > 0 else -1
        elif beyond * side < 0 and abs(beyond) > 0.03:  # a tenth of its width
            side, difference = -side, difference - side
    assert tracker.begun == 1
    assert line.counts["in"] - line.counts["out"] == difference
    assert abs(difference) <= 1


@pytest.mark.parametrize(("options", "says"), [
    ({"points": ((0.5, 0.5), (0.5, 0.5))}, "two points that differ"), ({"points": DOWN, "margin": 0.6}, "margin between"),
    ({"points": ((0.5, 0.5), (1.5, 0.5))}, "fractions of the frame")])
def test_options_that_cannot_be_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LineOptions(**options)
