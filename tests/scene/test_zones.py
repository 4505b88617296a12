"""Zones: enter, leave, dwell, count, occupied, each told once."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.result import Box
from edgeinfer.scene.scene import Scene, SceneOptions
from edgeinfer.scene.tracker import TrackOptions
from edgeinfer.scene.zones import Zone, ZoneOptions, leave_out
from tests.scene.boxes import SECOND, at, detections

DOOR = ((0.4, 0.4), (0.8, 0.4), (0.8, 1.0), (0.4, 1.0))


def play(path: Callable[[float], list[Box]], seconds: float, *, fps: float = 10, rests: Sequence[float] = (),
         track: TrackOptions | None = None, **zone: Any) -> list[tuple[float, str, int, int]]:
    """(second, reason, track, count) of every event; frames at ``rests`` are held back by the motion gate."""
    scene = Scene(SceneOptions(track=track or TrackOptions(confirm=1), zones={"door": ZoneOptions(points=DOOR, **zone)}))
    frame = Frame(FrameFormat("GREY", 2, 2))
    told = []
    for number in range(round(seconds * fps) + 1):
        t = number / fps
        frame.monotonic_ns = SECOND + round(t * SECOND)
        if rests and rests[0] <= t < rests[1]:
            scene.rest(frame.monotonic_ns)
        else:
            scene.see(detections(path(t)), frame)
        told += [(round(t, 2), event.reason, event.track, event.count) for event in scene.events]
    return told


def walk(t: float) -> list[Box]:
    """From the left to the right at 0.1 a second: in the door from 2.95 s to 6.95 s, beyond its edge from 7.05 s on."""
    return [at(0.105 + 0.1 * t, 0.7)]


def test_who_walks_through_enters_and_leaves_once() -> None:
    assert play(walk, 8.5, settle_s=0, empty_s=0.5) == [
        (3.0, "enter", 1, 1), (3.0, "occupied", 0, 1), (7.1, "leave", 1, 0), (7.6, "empty", 0, 0)]


def test_who_trembles_on_the_edge_enters_once() -> None:
    """The box goes in and out of the zone each frame, then stays within."""
    told = play(lambda t: [at(0.4 + (0.01 if t > 3 or round(t * 10) % 2 else -0.01), 0.7)], 5, settle_s=0.3)
    assert [reason for _, reason, _, _ in told] == ["enter", "occupied"]
    assert told[0][0] == 3.4  # it came to stay at 3.1 s


@pytest.mark.parametrize("fps", [2, 5, 10, 15, 30])
@pytest.mark.parametrize(("anchor", "x", "y"), [("bottom", 0.4, 0.7), ("bottom", 0.6, 0.4), ("centre", 0.8, 0.7), ("overlap", 0.4, 0.7)])
def test_who_stands_on_the_edge_for_two_minutes_enters_once(anchor: Any, x: float, y: float, fps: float) -> None:
    """The detector's box trembles by 3 % of its sides, so that the thing is now within the edge and now beyond it."""
    shaken = random.Random(2)

    def path(_: float) -> list[Box]:
        across, down, wide = shaken.gauss(0, 0.003), shaken.gauss(0, 0.009), shaken.gauss(0, 0.004)
        return [at(x + across, y + down, 0.1 + wide, 0.3 + down)]

    told = play(path, 120, fps=fps, anchor=anchor, events=("enter", "leave"))
    assert [reason for _, reason, _, _ in told] in (["enter"], [])


def test_a_stay_is_told_once_and_counts_from_the_first_sight() -> None:
    told = play(lambda t: [at(0.6, 0.7)], 8, settle_s=0.5, dwell_s=2, events=("enter", "leave", "dwell"))
    assert told == [(0.5, "enter", 1, 1), (2.0, "dwell", 1, 1)]


def test_who_goes_behind_something_has_not_left() -> None:
    told = play(lambda t: [] if 2 <= t < 3 else [at(0.6, 0.7)], 5, events=("enter", "leave"))
    assert [reason for _, reason, _, _ in told] == ["enter"]


def test_who_never_comes_back_has_left_when_last_seen() -> None:
    told = play(lambda t: [] if t >= 2 else [at(0.6, 0.7)], 6, events=("enter", "leave"))
    assert [(second, reason) for second, reason, _, _ in told] == [(0.3, "enter"), (4.0, "leave")]


def test_counts_are_told_where_they_are_asked_for() -> None:
    told = play(lambda t: [at(0.5, 0.7), at(0.7, 0.7)] if t < 2 else [at(0.5, 0.7)], 6, events=("count",), settle_s=0)
    assert [(reason, count) for _, reason, _, count in told] == [("count", 2), ("count", 1)]


def test_occupied_from_two_on() -> None:
    told = play(lambda t: [at(0.5, 0.7)] if t < 2 else [at(0.5, 0.7), at(0.7, 0.7)], 4, occupied_at=2,
                events=("occupied", "empty"), settle_s=0)
    assert told == [(2.0, "occupied", 0, 2)]


def test_other_labels_do_not_count() -> None:
    assert play(lambda t: [at(0.6, 0.7, label="cat", index=1)], 3, labels=("person",)) == []


def test_a_label_that_changes_within_does_not_keep_a_thing_there() -> None:
    """A car that is taken for a truck for a moment, or for good, is the same thing, and leaves when it leaves."""
    def path(t: float) -> list[Box]:
        truck = 2 <= t < 2.5 or t > 3
        return [at(0.5 + 0.06 * t, 0.7, label="truck" if truck else "car", index=int(truck))]

    told = play(path, 8, labels=("car",), events=("enter", "leave"), track=TrackOptions(by_label=False))
    assert [(round(second), reason) for second, reason, _, _ in told] == [(0, "enter"), (6, "leave")]


def test_who_stands_still_while_the_motion_gate_holds_is_still_there_and_dwells() -> None:
    told = play(lambda t: [at(0.6, 0.7)], 30, rests=(2, 25), dwell_s=10, events=("enter", "leave", "dwell"))
    assert [(round(second), reason, track) for second, reason, track, _ in told] == [(0, "enter", 1), (10, "dwell", 1)]


@pytest.mark.parametrize(("anchor", "box", "holds"), [
    ("bottom", at(0.6, 0.5), True), ("bottom", at(0.6, 0.3), False),
    ("centre", at(0.6, 0.55), True), ("centre", at(0.6, 0.45), False),
    ("overlap", at(0.6, 0.52), True), ("overlap", at(0.6, 0.48), False)])
def test_a_thing_stands_where_its_anchor_is(anchor: Any, box: Box, holds: bool) -> None:
    assert Zone("door", ZoneOptions(points=DOOR, anchor=anchor), 1).holds(box) is holds


def test_what_stands_in_a_zone_that_excludes_is_not_there() -> None:
    found = detections([at(0.1, 0.7), at(0.6, 0.7), at(0.2, 0.7), at(0.7, 0.7, label="cat")])
    assert leave_out(found, [Zone("television", ZoneOptions(points=DOOR, exclude=True, labels=("person",)), 0)]) == 1
    assert [box.left for box in found.rows[: found.count]] == pytest.approx([0.05, 0.15, 0.65])
    assert len(found.rows) == 4


steps = st.lists(st.tuples(st.lists(st.builds(at, st.floats(0, 1), st.floats(0, 1)), max_size=4), st.floats(0.01, 3)),
                 max_size=25)


@settings(max_examples=60)
@given(steps, st.floats(0, 1), st.floats(0, 2))
def test_whatever_comes_the_events_add_up_and_none_comes_twice(
        seen: list[tuple[list[Box], float]], settle_s: float, dwell_s: float) -> None:
    options = ZoneOptions(points=DOOR, settle_s=settle_s, dwell_s=dwell_s, events=(
        "enter", "leave", "dwell", "count", "occupied", "empty"))
    scene = Scene(SceneOptions(track=TrackOptions(confirm=1, most=4), zones={"door": options}))
    frame, inside, dwelt, occupied = Frame(FrameFormat("GREY", 2, 2)), set[int](), set[int](), False
    for boxes, step_s in seen:
        frame.monotonic_ns += round(step_s * SECOND)
        scene.see(detections(boxes), frame)
        for event in scene.events:
            match event.reason:
                case "enter":
                    assert event.track not in inside
                    inside.add(event.track)
                    dwelt.discard(event.track)
                case "leave":
                    inside.remove(event.track)
                case "dwell":
                    assert event.track in inside - dwelt
                    dwelt.add(event.track)
                case "occupied" | "empty":
                    assert occupied != (event.reason == "occupied")
                    occupied = event.reason == "occupied"
        assert scene.zones[0].count == len(inside)


@pytest.mark.parametrize(("options", "says"), [
    ({"overlap": 0}, "overlap above 0"), ({"settle_s": -1}, "settle_s between"), ({"occupied_at": 0}, "occupied_at between")])
def test_options_that_cannot_be_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ZoneOptions(points=DOOR, **options)
