"""Detector, tracker, zones, lines and a second model on films whose truth is known: identities kept, counts exact, no event
twice, boxes of crops back in the frame."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import ConfigError
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.modelfile import describe
from edgeinfer.model.proposal import propose
from edgeinfer.plan import bill_of, make_plans, try_models
from quantize.pack import Given, pack
from tests import bundles
from tests.docs.pages import TOPICS
from tests.markdown import Shape
from tests.scene.blobs import blobs
from tests.scene.film import Actor, Film, background, cut_out, shape
from tests.scene.stage import Stage, configured

LEFT = [[0, 0], [0.3, 0], [0.3, 1], [0, 1]]
RIGHT = [[0.7, 0], [1, 0], [1, 1], [0.7, 1]]
MIDDLE = [[0.5, 0], [0.5, 1]]  # from the top down: "in" is to the left of the frame
SECONDS, PILLAR = 6.4, (220, 420)  # whoever is 80 wide and makes 120 pixels a second is fully hidden for a second


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The bundle of a detector of coloured blocks that makes no mistake."""
    monkeypatch.setitem(DECODERS.entries, "blobs", "tests.scene.blobs:Blobs")
    return str(blobs(tmp_path).folder)


def passing(first: np.ndarray, second: np.ndarray, scenery: np.ndarray) -> Film:
    """Two pass each other behind a pillar: the first to the right, the second to the left."""
    return Film(scenery, [Actor("first", first, lambda t: (20 + 100 * t, 430)),
                          Actor("second", second, lambda t: (620 - 100 * t, 460))], [PILLAR])


def who(film: Film, t: float, box: list[float], height: int = 480, width: int = 640) -> str:
    """The actor whose true box overlaps most with a box that was found; "" where none does."""
    best, name = 0.0, ""
    for actor in film.actors:
        true = actor.box(t)
        assert true is not None
        left, top, right, bottom = box[0] * width, box[1] * height, box[2] * width, box[3] * height
        across, down = min(right, true[2]) - max(left, true[0]), min(bottom, true[3]) - max(top, true[1])
        if across > 0 and down > 0 and across * down > best:
            best, name = across * down, actor.name
    return name


def events(played: list[tuple[float, dict[str, Any]]]) -> list[tuple[str, str, int]]:
    """(reason, zone or line and direction, track) of all, in order."""
    told = [payload for _, payload in played if "event" in payload["result"]]
    return [(payload["reason"], event.get("zone") or f"{event['line']} {event['direction']}", event.get("track", 0))
            for payload in told for event in [payload["result"]["event"]]]


def check_passing(film: Film, played: list[tuple[float, dict[str, Any]]], label: set[str]) -> dict[str, int]:
    """The truth about two that pass each other; the identity of each."""
    seen: dict[str, Counter[int]] = {"first": Counter(), "second": Counter()}
    for t, payload in played:
        for row in payload["result"].get("detections", []):
            if row["label"] in label and "track" in row:
                seen[who(film, t, row["box"])][row["track"]] += 1
    assert all(len(identities) == 1 for identities in seen.values()), seen  # from before the pillar to behind it
    first, second = (next(iter(seen[name])) for name in ("first", "second"))
    assert first != second
    told = events(played)
    assert Counter(told) == Counter([
        ("enter", "left", first), ("leave", "left", first), ("enter", "right", first),
        ("enter", "right", second), ("leave", "right", second), ("enter", "left", second),
        ("crossed", "middle out", first), ("crossed", "middle in", second)]), told
    hidden = [t for t, payload in played if payload["reason"] == "frame" and not any(
        row["label"] in label for row in payload["result"]["detections"])]
    assert hidden[-1] - hidden[0] >= 0.9  # both are out of sight for a second
    return {"first": first, "second": second}


def watched(bundle: str, labels: list[str], **more: Any) -> dict[str, Any]:
    told = {"labels": labels, "events": ["enter", "leave"], "settle_s": 0.2}
    return {"bundle": bundle, "track": {}, "zones": {"left": {"points": LEFT, **told}, "right": {"points": RIGHT, **told}},
            "lines": {"middle": {"points": MIDDLE, "labels": labels}}, **more}


def test_two_blocks_pass_behind_a_pillar_and_each_is_told_its_colour(detector: str, tmp_path: Path) -> None:
    """Both are red for the detector, so that only their ways tell them apart; the second model sees the shade."""
    film = passing(shape((0, 0, 255), 150, 80), shape((70, 70, 180), 170, 76), np.full((480, 640, 3), 120, np.uint8))
    second = {"bundle": str(bundles.colours(tmp_path).folder), "margin": 0, "most": 1, "every_s": 0.3}
    stage = Stage(tmp_path, watched(detector, ["red"], then=second))
    played = stage.play(film, SECONDS)
    identities = check_passing(film, played, {"red"})
    shades: dict[int, set[float]] = {}
    for _, payload in played:
        for row in payload["result"].get("detections", []):
            if "then" in row and row["box"][0] > 0.1 and row["box"][2] < 0.9 and row["box"][2] - row["box"][0] > 0.11:
                shades.setdefault(row["track"], set()).add(round(row["then"]["classes"][0]["score"], 1))
    assert shades[identities["first"]] == {1.0}
    assert shades[identities["second"]] == {0.7}
    assert stage.notes.retained["zone/left"] == {"count": 1, "occupied": True, "entered": 2}
    assert stage.notes.retained["line/middle"] == {"in": 1, "out": 1}
    figures = stage.pipeline.figures()
    assert figures["then"]["inferred"] <= 2 * SECONDS / 0.3
    assert figures["scene"]["tracks"]["begun"] == 2
    assert figures["scene"]["events"] == {"enter": 4, "leave": 2, "crossed": 2}
    numbers = [payload["seq"] for _, payload in played]
    assert numbers == list(range(1, len(numbers) + 1))  # events are results among results
    stage.close()


def test_what_a_look_at_stillness_finds_is_looked_at_until_it_is_clear(detector: str, tmp_path: Path) -> None:
    """Somebody comes and goes behind the mask, one frame in three seconds is looked at: who is found then has an identity and has entered
    within the next frames, who is not there any more is given up within ``lost_s``, and nothing more is looked at than that."""
    film = Film(np.full((480, 640, 3), 120, np.uint8), [Actor("red", shape((0, 0, 255), 150, 80), lambda t: (500, 400) if 1 <= t < 10 else None)])
    motion = {"mask": [[[0, 0], [1, 0], [1, 1], [0, 1]]], "look_s": 3, "awake_s": 0.5}
    stage = Stage(tmp_path, watched(detector, ["red"], motion=motion) | {"track": {"lost_s": 0.5}})
    played = stage.play(film, 18)
    assert [(round(t, 1), payload["reason"]) for t, payload in played if "event" in payload["result"]] == [(3.6, "enter"), (12.9, "leave")]
    assert stage.pipeline.inferred <= 6 + 3 + 7 + 6
    stage.close()


def test_a_stay_does_not_go_on_through_an_hour_in_which_the_source_was_closed(detector: str, tmp_path: Path) -> None:
    """Switched off and on again: who is there now is another for all that is known, and what is told says so."""
    film = Film(np.full((480, 640, 3), 120, np.uint8), [Actor("red", shape((0, 0, 255), 150, 80), lambda _: (500, 400))])
    stage = Stage(tmp_path, watched(detector, ["red"]))
    stage.play(film, 1)
    stage.pipeline.capture.openings += 1
    told = [payload for number in range(10) for payload in stage.show(film, 3600 + number / 10)]
    assert events([(0, payload) for payload in told]) == [("leave", "right", 1), ("enter", "right", 2)]
    stage.close()


@pytest.mark.zoo
def test_two_men_pass_behind_a_pillar_on_a_playing_field(zoo: Path, tmp_path: Path) -> None:
    """Real cut-outs over a real background, found by FastestDet; MoveNet finds the nose of each where his head is."""
    pytest.importorskip("onnxruntime")
    first = cut_out(zoo / "pose/squat.bmp", (95, 120, 370, 605), 150, wall=150)
    second = cut_out(zoo / "detect/3.jpg", (38, 55, 152, 300), 150)
    film = passing(first, second, background(zoo / "detect/3.jpg", (0, 34), 480, 640))
    file = describe(zoo / "detect/FastestDet.onnx")
    best = propose(file.inputs, file.outputs, 80)[0]
    person = pack(zoo / "detect/FastestDet.onnx", tmp_path / "fastestdet", Given(
        decoder=best.decoder, parameters=dict(best.parameters), labels=str(zoo / "detect/coco.names"),
        preprocess={"colour": "BGR", "mean": [0.0], "std": [255.0]})).bundle
    pose = pack(zoo / "pose/movenet_single_pose_lightning_ptq.tflite", tmp_path / "movenet", Given(
        decoder="pose", parameters={"variant": "movenet"}, preprocess={"resize": "letterbox"})).bundle
    second_model = {"bundle": str(pose.folder), "labels": ["person"], "margin": 0.2, "square": True, "most": 2, "every_s": 0}
    stage = Stage(tmp_path, watched(str(person.folder), ["person"], then=second_model))
    played = stage.play(film, SECONDS)
    check_passing(film, played, {"person"})
    noses = 0
    for t, payload in played:
        for row in payload["result"].get("detections", []):
            left, _, right, _ = row["box"]
            whole = 0.02 < left < right < 0.98 and not (left < PILLAR[1] / 640 and right > PILLAR[0] / 640)
            if row["label"] == "person" and whole and row.get("then", {}).get("count"):
                x, y, score = row["then"]["detections"][0]["keypoints"]["nose"]
                if score > 0.3:
                    noses += 1
                    true = next(actor for actor in film.actors if actor.name == who(film, t, row["box"])).box(t)
                    assert true is not None
                    assert true[0] < x * 640 < true[2]
                    assert true[1] < y * 480 < true[1] + 0.3 * (true[3] - true[1])
    assert noses > 20
    stage.close()


def test_the_bill_holds_the_second_model_and_the_scene(detector: str, tmp_path: Path) -> None:
    then = str(bundles.colours(tmp_path).folder)
    plain = configured(tmp_path, {"bundle": then})
    composed = configured(tmp_path, {"bundle": then, "motion": {}})
    plans = [make_plans(config) for config in (plain, composed)]
    verdicts = try_models(plain, plans[0])
    lines = [[line.what for line in bill_of(plain, one, verdicts, 0).lines] for one in plans]
    assert set(lines[1]) - set(lines[0]) == {"motion gate and scene"}


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a zone needs a detector": ({"zones": {"door": {"points": LEFT}}}, "pipelines.door.zones: expected a model that finds things"),
    "a label the bundle does not have": (
        {"blobs": True, "zones": {"door": {"points": LEFT, "labels": ["rad"]}}}, "did you mean 'red'"),
    "a second model that is not there": ({"blobs": True, "then": {"bundle": "nowhere"}}, "nowhere"),
    "motion that sleeps before the tracker forgets": (
        {"blobs": True, "track": {"lost_s": 9}, "motion": {}}, "motion.awake_s of at least track.lost_s"),
    "a zone outside of the frame": ({"blobs": True, "zones": {"door": {"points": [[0, 0], [2, 0], [0, 1]]}}}, "fractions"),
    "a zone's name that is no topic": ({"blobs": True, "zones": {"a/b": {"points": LEFT}}}, "zones with names of letters"),
    "an option that there is not": ({"blobs": True, "motion": {"sensitivty": 1}}, "did you mean 'sensitivity'"),
}


@pytest.mark.parametrize("claim", FAULTS)
def test_what_does_not_fit_together_is_one_clear_error(claim: str, detector: str, tmp_path: Path) -> None:
    pipeline, says = FAULTS[claim]
    bundle = detector if pipeline.pop("blobs", False) else str(bundles.colours(tmp_path).folder)
    with pytest.raises(Exception, match=says) as caught:
        make_plans(configured(tmp_path, {"bundle": bundle, **pipeline}))
    assert isinstance(caught.value, ConfigError) or "nowhere" in says


def test_the_table_of_the_scenes_health_is_what_a_scene_tells(detector: str, tmp_path: Path) -> None:
    """Each field of the page is there, and no other."""
    film = passing(shape((0, 0, 255), 150, 80), shape((0, 0, 255), 170, 76), np.full((480, 640, 3), 120, np.uint8))
    stage = Stage(tmp_path, watched(detector, ["red"], then={"bundle": str(bundles.colours(tmp_path).folder)}, motion={},
                                    schedule={"active": ["00:00-24:00"]}))
    stage.play(film, 1)
    figures = {name: value for name, value in stage.pipeline.figures().items() if name in ("schedule", "motion", "scene", "then")}
    shape_of = Shape(TOPICS.table("Health of the scene"))
    shape_of.check(figures)
    assert not shape_of.unseen
    stage.close()
