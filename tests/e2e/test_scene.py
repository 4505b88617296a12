"""A film before the real daemon: events over MQTT, counts retained, stillness skipped, the equations."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer.model.bundle import read
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.manifest import DecoderSpec
from edgeinfer.store import Store
from tests import bundles, third_party
from tests.broker import Broker, until
from tests.bundles import configuration, deploy, variant
from tests.conftest import ROOT
from tests.daemon import DaemonProcess, Subscriber, check_equations
from tests.e2e.test_standing import Retained
from tests.scene.blobs import blobs
from tests.scene.film import Actor, Film, shape

HALF = [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The detector of blocks as a third party's package, for PYTHONPATH."""
    return third_party.install(tmp_path / "site", "blobs", {"blobs": "tests.scene.blobs:Blobs"})


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Fifty pictures: one second of nothing, a red block from left to right in two, two of nothing."""
    folder = tmp_path / "film"
    folder.mkdir()
    made = Film(np.full((120, 160, 3), 128, np.uint8), [
        Actor("red", shape((0, 0, 255), 60, 24), lambda t: (12 + 64 * (t - 1), 100) if 1 <= t < 3.4 else None)])
    for number in range(50):
        cv2.imwrite(str(folder / f"{number:03}.png"), made.picture(number / 10))
    return folder


def pipeline(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setitem(DECODERS.entries, "blobs", "tests.scene.blobs:Blobs")
    return {"bundle": str(blobs(tmp_path).folder), "source": {"kind": "images", "path": str(film), "interval_s": 0.1},
            "gate": {"on_change": True, "heartbeat_s": 0.5}, "motion": {"awake_s": 0.5, "look_s": 0}, "track": {"lost_s": 0.4},
            "zones": {"right": {"points": HALF, "settle_s": 0.1, "empty_s": 0.2}},
            "lines": {"middle": {"points": [[0.5, 1], [0.5, 0]]}},
            "then": {"bundle": str(bundles.colours(tmp_path).folder), "margin": 0, "every_s": 0.5}}


def test_a_block_that_crosses_is_told_and_counted_and_stillness_is_skipped(
        film: Path, site: Path, broker: Broker, subscriber: Subscriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks on sees enter, occupied, crossed, leave, empty once each; the counts are there for late-comers; heartbeats come
    while nothing moves; health accounts for every frame."""
    config = configuration(broker.port, {"door": pipeline(film, tmp_path, monkeypatch)})
    with DaemonProcess(tmp_path, config, {"PYTHONPATH": f"{site}:{ROOT}"}) as daemon:
        assert daemon.process.wait(60) == 0, daemon.log  # the film is over
    results = list({result["seq"]: result for result in subscriber.results}.values())
    events = [(result["reason"], result["result"]["event"]) for result in results if "event" in result["result"]]
    assert [reason for reason, _ in events] == ["crossed", "enter", "occupied", "leave", "empty"] or \
        [reason for reason, _ in events] == ["enter", "occupied", "crossed", "leave", "empty"], events
    assert {event["track"] for _, event in events if "track" in event} == {1}
    heartbeats = [result for result in results if result["reason"] == "heartbeat"]
    assert len(heartbeats) >= 3
    rows = [row for result in results for row in result["result"].get("detections", [])]
    assert {row["then"]["classes"][0]["label"] for row in rows if "then" in row} == {"red"}
    late = Retained(broker.port)
    until(lambda: late["zone/right"] and late["line/middle"], "the counts")
    assert json.loads(late["zone/right"]) == {"count": 0, "occupied": False, "entered": 1}
    assert json.loads(late["line/middle"]) == {"in": 1, "out": 0}
    late.close()
    figures = subscriber.health[-1]["pipelines"]["door"]
    check_equations(subscriber.health[-1])
    assert figures["captured"] == 50
    assert figures["skipped"]["still"] >= 8
    assert figures["then"]["inferred"] >= 1
    assert figures["scene"]["tracks"]["begun"] == 1


def test_outside_of_its_schedule_the_source_is_closed(
        film: Path, site: Path, broker: Broker, subscriber: Subscriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A span that is over: nothing is captured, which is no fault; another pipeline only skips, and counts it."""
    hour = (time.gmtime().tm_hour + 12) % 24
    elsewhen = f"{hour:02}:00-{hour:02}:30"
    base = {**pipeline(film, tmp_path, monkeypatch), "source": {"kind": "synthetic", "width": 160, "height": 120, "fps": 20}}
    config = configuration(broker.port, {
        "door": {**base, "schedule": {"active": [elsewhen], "clock": "utc", "close": True}},
        "yard": {**base, "schedule": {"active": [elsewhen], "clock": "utc"}}})
    with DaemonProcess(tmp_path, config, {"PYTHONPATH": f"{site}:{ROOT}"}) as daemon:
        until(lambda: subscriber.health and subscriber.health[-1]["pipelines"]["yard"]["skipped"]["schedule"] > 10, "skipped frames")
        assert daemon.terminate() == 0
    door, yard = (subscriber.health[-1]["pipelines"][name] for name in ("door", "yard"))
    check_equations(subscriber.health[-1])
    assert door["schedule"] == {"active": False}
    assert (door["source"]["working"], door["source"]["failures"]) == (False, 0)
    assert door["captured"] <= 3
    assert yard["inferred"] == 0
    assert not subscriber.results




def test_an_installed_second_model_is_followed_and_a_bad_one_refused(
        site: Path, broker: Broker, subscriber: Subscriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another bundle takes over with a stop; the next one, whose decoder nobody understands, is refused, and the one before
    goes on."""
    (tmp_path / "state").mkdir()
    store = Store(tmp_path / "state" / "models")
    first = bundles.colours(tmp_path)
    deploy(store, variant(first, tmp_path / "one", "1"))
    monkeypatch.setitem(DECODERS.entries, "blobs", "tests.scene.blobs:Blobs")
    config = configuration(broker.port, {"door": {
        "bundle": str(blobs(tmp_path).folder), "source": {"kind": "synthetic", "width": 160, "height": 120, "fps": 20},
        "then": {"model": "colours"}}}, updates={"probation_s": 0})

    def runs(model: str, **counts: int) -> bool:
        health = subscriber.health[-1] if subscriber.health else None
        return health is not None and health["pipelines"]["door"]["then"]["model"] == model \
            and all(health["updates"][name] == count for name, count in counts.items()) \
            and health["pipelines"]["door"]["inferred"] > 0

    with DaemonProcess(tmp_path, config, {"PYTHONPATH": f"{site}:{ROOT}", "WATCHDOG_USEC": "200000"}) as daemon:
        until(lambda: runs("colours:1"), "the first one", 30)
        deploy(store, variant(first, tmp_path / "two", "2"))
        until(lambda: runs("colours:2", swapped=1), "the second one", 30)
        deploy(store, variant(first, tmp_path / "three", "3", DecoderSpec("classify", {"nonsense": 1})))
        until(lambda: runs("colours:2", rejected=1), "the third one refused", 30)
        assert daemon.terminate() == 0
    current = store.current("colours")
    assert current is not None
    assert read(current).manifest.version == "2"
