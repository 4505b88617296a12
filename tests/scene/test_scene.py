"""The scene as a whole: what is told, when it is left, and what a result says."""

from __future__ import annotations

import pytest

from edgeinfer.gate import Gate, GateOptions
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.result import Box, Classes, Label
from edgeinfer.scene.crossing import LineOptions
from edgeinfer.scene.scene import Scene, SceneOptions
from edgeinfer.scene.tracker import TrackOptions
from edgeinfer.scene.zones import ZoneOptions
from tests.scene.boxes import SECOND, at, detections

ALL = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
DOOR = SceneOptions(track=TrackOptions(confirm=1), lines={"line": LineOptions(points=((0.5, 0.0), (0.5, 1.0)))}, zones={
    "door": ZoneOptions(points=ALL, settle_s=0), "mirror": ZoneOptions(points=((0.9, 0.0), (1.0, 0.0), (1.0, 1.0), (0.9, 1.0)),
                                                                       exclude=True)})


def test_a_result_says_who_where_and_how_many() -> None:
    scene, frame = Scene(DOOR), Frame(FrameFormat("GREY", 2, 2))
    for number in range(3):
        frame.monotonic_ns = number * SECOND
        seen = scene.see(detections([at(0.3, 0.8), at(0.95, 0.8)]), frame)
    assert seen.document() == {
        "count": 1, "detections": [{"label": "person", "index": 0, "score": 0.9, "box": [0.25, 0.6, 0.35, 0.8], "track": 1, "age_s": 2.0}],
        "zones": {"door": {"count": 1, "occupied": True, "entered": 1}}, "lines": {"line": {"in": 0, "out": 0}}}
    assert seen.state() == "person:1;door:1"
    assert scene.figures()["left_out"] == 3
    assert scene.topics == ("zone/door", "line/line")


def test_figures_are_told_at_first_and_when_they_change() -> None:
    scene, frame = Scene(DOOR), Frame(FrameFormat("GREY", 2, 2))
    scene.see(detections([]), frame)
    assert dict(scene.changed()) == {"zone/door": {"count": 0, "occupied": False, "entered": 0}, "line/line": {"in": 0, "out": 0}}
    assert scene.changed() == []
    scene.see(detections([at(0.3, 0.8)]), frame)
    assert dict(scene.changed()) == {"zone/door": {"count": 1, "occupied": True, "entered": 1}}


def test_who_is_left_is_told_once_and_identities_go_on() -> None:
    scene, frame = Scene(DOOR), Frame(FrameFormat("GREY", 2, 2))
    scene.see(detections([at(0.3, 0.8)]), frame)
    scene.leave()
    assert [(event.reason, event.track) for event in scene.events] == [("leave", 1), ("empty", 0)]
    scene.leave()
    assert len(scene.events) == 0
    assert dict(scene.changed())["zone/door"]["count"] == 0
    frame.monotonic_ns = SECOND
    assert scene.see(detections([at(0.3, 0.8)]), frame).document()["detections"][0]["track"] == 2
    assert Scene(DOOR, begun=2).see(detections([at(0.3, 0.8)]), frame).document()["detections"][0]["track"] == 3


def test_a_zone_that_nobody_was_in_is_left_without_a_word() -> None:
    count = {name: ZoneOptions(points=points, settle_s=0, events=("count",)) for name, points in (
        ("door", ALL), ("corner", ((0.0, 0.0), (0.1, 0.0), (0.0, 0.1))))}
    scene, frame = Scene(SceneOptions(track=TrackOptions(confirm=1), zones=count)), Frame(FrameFormat("GREY", 2, 2))
    scene.see(detections([at(0.3, 0.8)]), frame)
    scene.changed()
    scene.leave()
    assert [(event.reason, event.zone, event.count) for event in scene.events] == [("count", "door", 0)]
    assert [topic for topic, _ in scene.changed()] == ["zone/door"]


@pytest.mark.parametrize(("away_s", "identity"), [(1, 1), (3600, 2)])
def test_who_stands_where_another_stood_before_the_source_was_closed_is_another(away_s: int, identity: int) -> None:
    """After a pause of an hour a stay does not go on; after the moment that a camera needs to come back it does."""
    scene, frame = Scene(DOOR), Frame(FrameFormat("GREY", 2, 2))
    scene.see(detections([at(0.3, 0.8)]), frame)
    frame.monotonic_ns = away_s * SECOND
    assert scene.reopen(frame.monotonic_ns) == (identity == 2)
    assert [event.reason for event in scene.events] == (["leave", "empty"] if identity == 2 else ["enter", "occupied"])
    assert scene.see(detections([at(0.31, 0.8)]), frame).document()["detections"][0]["track"] == identity
    assert Scene(SceneOptions()).reopen(SECOND) is False


def test_a_scene_is_clear_when_nobody_is_about_to_come_or_go() -> None:
    """Not yet confirmed, out of sight, on the other side of an edge; a thing that a zone does not want never matters."""
    zones = {"door": ZoneOptions(points=((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), settle_s=2, labels=("person",))}
    scene, frame = Scene(SceneOptions(track=TrackOptions(confirm=2, lost_s=1.5, by_label=False), zones=zones)), Frame(FrameFormat("GREY", 2, 2))

    def unsettled(*boxes: Box) -> bool:
        frame.monotonic_ns += SECOND
        scene.see(detections(boxes), frame)
        return scene.unsettled

    assert [unsettled() for _ in range(2)] == [False, False]
    assert [unsettled(at(0.3, 0.8)) for _ in range(4)] == [True, True, False, False]
    assert [unsettled() for _ in range(2)] == [True, False]
    assert [unsettled(at(0.3, 0.8)) for _ in range(2)] == [True, True]
    assert not unsettled(at(0.3, 0.8, label="cat"))
    assert not Scene(SceneOptions()).unsettled


def test_time_that_the_motion_gate_held_back_is_no_time_out_of_sight() -> None:
    scene, frame = Scene(DOOR), Frame(FrameFormat("GREY", 2, 2))
    scene.see(detections([at(0.3, 0.8)]), frame)
    for second in range(1, 100):
        scene.rest(second * SECOND)
    frame.monotonic_ns = 100 * SECOND
    assert scene.see(detections([at(0.31, 0.8)]), frame).document()["detections"][0]["track"] == 1


def test_a_heartbeat_is_due_when_nothing_was_told_for_so_long() -> None:
    gate = Gate(GateOptions(on_change=True, heartbeat_s=10))
    assert gate.due(0)  # nothing was ever told
    gate.admit(Classes([Label(0, "cat", 0.9)], 1), 0)
    assert [gate.due(second * SECOND) for second in (9, 10)] == [False, True]
    assert not Gate(GateOptions(on_change=True)).due(1 << 60)
