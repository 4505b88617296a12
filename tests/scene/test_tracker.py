"""The tracker: identities over time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.model.result import Box
from edgeinfer.scene.tracker import Tracker, TrackOptions
from tests.scene.boxes import SECOND, at, detections


def follow(path: Callable[[float], list[Box]], seconds: float, fps: float = 15, **options: object) -> list[list[tuple[int, Box]]]:
    """The identity and the box of each detection, frame by frame."""
    tracker = Tracker(TrackOptions(**options))  # type: ignore[arg-type]
    told = []
    for frame in range(round(seconds * fps)):
        boxes = path(frame / fps)
        tracker.update(detections(boxes), round(frame / fps * SECOND) + SECOND)
        tracks = [tracker.of_row[row] for row in range(len(boxes))]
        told.append([(track.id if track else 0, box) for track, box in zip(tracks, boxes, strict=True)])
    return told


def identities(told: list[list[tuple[int, Box]]]) -> set[int]:
    return {identity for frame in told for identity, _ in frame} - {0}


def test_a_thing_that_walks_keeps_its_identity() -> None:
    told = follow(lambda t: [at(0.1 + 0.2 * t, 0.8)], 4)
    assert identities(told) == {1}
    assert [frame[0][0] for frame in told] == [0, *[1] * 59]  # it has one from the second frame on


@pytest.mark.parametrize("fps", [5, 15, 30])
def test_a_thing_keeps_its_identity_through_a_second_behind_a_pillar(fps: float) -> None:
    told = follow(lambda t: [] if 2 <= t < 3 else [at(0.1 + 0.2 * t, 0.8)], 4, fps)
    assert identities(told) == {1}


def test_a_thing_that_the_detector_shakes_keeps_its_identity_through_a_second_behind_a_pillar() -> None:
    shaken = random.Random(3)

    def path(t: float) -> list[Box]:
        x, y = (shaken.gauss(0, 0.004) for _ in range(2))
        return [] if 2 <= t < 3 else [at(0.1 + 0.2 * t + x, 0.8 + y, 0.1 * shaken.uniform(0.93, 1.07))]

    assert identities(follow(path, 4)) == {1}


def test_two_that_pass_each_other_keep_theirs() -> None:
    told = follow(lambda t: [at(0.1 + 0.2 * t, 0.7), at(0.9 - 0.2 * t, 0.74)], 4, confirm=1)
    assert [identity for identity, _ in told[-1]] == [1, 2]
    assert identities(told) == {1, 2}


def test_two_that_pass_behind_a_pillar_keep_theirs() -> None:
    """Both are out of sight while they pass: their velocities tell them apart."""
    told = follow(lambda t: [] if 1.5 <= t < 2.5 else [at(0.1 + 0.2 * t, 0.7), at(0.9 - 0.2 * t, 0.72)], 4)
    assert [identity for identity, _ in told[-1]] == [1, 2]


def test_out_of_sight_for_too_long_is_a_new_one() -> None:
    told = follow(lambda t: [] if 1 <= t < 3.5 else [at(0.5, 0.8)], 5, lost_s=2.0)
    assert identities(told) == {1, 2}


def test_what_left_the_frame_is_forgotten_at_once() -> None:
    tracker = Tracker(TrackOptions(lost_s=60))
    for frame in range(40):
        x = 0.7 + 0.4 * frame / 15
        tracker.update(detections([at(x, 0.8)] if x < 1 else []), frame * SECOND // 15)
    assert tracker.counts() == {"seen": 0, "lost": 0, "begun": 1, "refused": 0}


def test_a_single_false_alarm_gets_no_identity() -> None:
    told = follow(lambda t: [at(0.5, 0.5)] if round(t * 15) % 3 == 0 else [], 4)
    assert identities(told) == set()


def test_a_weak_detection_continues_a_track_and_begins_none() -> None:
    told = follow(lambda t: [at(0.5, 0.8, score=0.9 if t < 1 else 0.3), at(0.2, 0.8, score=0.3)], 3, begin_score=0.6)
    assert {identity for identity, _ in told[-1]} == {1, 0}


def test_a_second_box_on_the_same_thing_does_not_take_its_identity() -> None:
    """The detector finds somebody twice at the moment when they start to walk, the second box ahead of the first: the way leads on
    from there, and is still theirs."""
    def path(t: float) -> list[Box]:
        here = at(0.3 if t < 1.05 else 0.35 + 0.2 * (t - 1.1), 0.8)
        return [here, at(0.34, 0.8, score=0.5)] if round(t * 10) == 10 else [here]

    told = follow(path, 3, fps=10)
    assert {frame[0][0] for frame in told[1:]} == {1}
    assert identities(told) == {1}


def test_labels_are_not_mixed_unless_asked() -> None:
    def path(t: float) -> list[Box]:
        return [at(0.5, 0.8, label="car" if t < 1 else "truck", index=t >= 1)]

    assert identities(follow(path, 2)) == {1, 2}
    assert identities(follow(path, 2, by_label=False)) == {1}


def test_one_frame_in_ten_seconds_is_enough_for_what_stands() -> None:
    assert identities(follow(lambda _: [at(0.5, 0.8)], 100, fps=0.1)) == {1}


def test_a_full_tracker_gives_up_what_was_lost_first_and_counts_what_it_refuses() -> None:
    tracker = Tracker(TrackOptions(most=2, confirm=1))
    tracker.update(detections([at(0.1, 0.5), at(0.4, 0.5)]), 0)
    tracker.update(detections([at(0.4, 0.5), at(0.7, 0.5)]), SECOND // 10)
    assert [track.id for track in tracker.of_row if track] == [2, 3]
    tracker.update(detections([at(0.4, 0.5), at(0.7, 0.5), at(0.9, 0.5)]), SECOND // 5)
    assert tracker.counts() == {"seen": 2, "lost": 0, "begun": 3, "refused": 0}  # the third row is beyond the most
    tracker.update(detections([at(0.4, 0.5), at(0.1, 0.9)]), 3 * SECOND // 10)
    assert [track.id for track in tracker.of_row if track] == [2, 4]


frames = st.lists(st.lists(st.builds(
    at, st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5), index=st.integers(0, 1),
    score=st.floats(0, 1)), max_size=6), max_size=12)


@settings(max_examples=60)
@given(frames, st.integers(1, 4), st.floats(0.01, 3))
def test_whatever_comes_no_two_rows_share_an_identity_and_no_identity_comes_twice(
        seen: list[list[Box]], most: int, step_s: float) -> None:
    tracker = Tracker(TrackOptions(most=most, confirm=1))
    begun, gone = 0, set[int]()
    before = set[int]()
    for number, boxes in enumerate(seen):
        tracker.update(detections(boxes), round(number * step_s * SECOND))
        rows = [track for track in tracker.of_row if track is not None]
        assert len({track.slot for track in rows}) == len(rows)
        assert all(tracker.of_row[track.row] is track for track in rows)
        known = {track.id for track in tracker.tracks if track.id}
        gone |= before - known
        assert not known & gone
        assert tracker.begun >= begun
        begun, before = tracker.begun, known
        assert len(known) <= most


@pytest.mark.parametrize(("options", "says"), [
    ({"lost_s": 0}, "lost_s between 0.05 and 600, got 0"), ({"most": 0}, "most between 1 and 256"),
    ({"confirm": 0}, "confirm between 1 and 100"), ({"min_iou": 1}, "min_iou"), ({"begin_score": float("nan")}, "begin_score")])
def test_options_that_cannot_be_are_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TrackOptions(**options)  # type: ignore[arg-type]


def walks(fps: float, chance: random.Random) -> tuple[list[int], list[int]]:
    """The identities of two that pass each other behind a pillar wide enough to hide each for a second, of any size and speed;
    the detector finds only what is seen of them, and trembles by 3 % of their width."""
    width, speed = chance.uniform(0.08, 0.19), chance.uniform(0.1, 0.3)
    pillar = 0.5 - (width + speed) / 2, 0.5 + (width + speed) / 2
    tracker, seen = Tracker(TrackOptions()), (list[int](), list[int]())
    for number in range(round((1 + width) / speed * fps)):
        boxes, whose = [], []
        for who, (x, y) in enumerate(((speed * number / fps - width / 2, 0.9), (1 + width / 2 - speed * number / fps, 0.95))):
            left, right = max(x - width / 2, 0), min(x + width / 2, 1)
            for one, other in ((left, min(right, pillar[0])), (max(left, pillar[1]), right)):
                if other - one > width / 5:
                    shaken = [chance.gauss(0, 0.03 * width) for _ in range(4)]
                    boxes.append(Box(0, "person", 0.9, max(one + shaken[0], 0), y - 3 * width + shaken[1],
                                     min(other + shaken[2], 1), y + shaken[3]))
                    whose.append(who)
        tracker.update(detections(boxes), round(number / fps * SECOND))
        for row, who in enumerate(whose):
            track = tracker.of_row[row]
            if track is not None and track.id:
                seen[who].append(track.id)
    return seen


@pytest.mark.parametrize("fps", [5, 10, 15, 30])
def test_nearly_all_who_pass_behind_a_pillar_keep_their_identities(fps: float) -> None:
    chance = random.Random(11)
    kept = sum(len(set(first)) == 1 == len(set(second)) and first[0] != second[0]
               for first, second in (walks(fps, chance) for _ in range(25)))
    assert kept >= 24
