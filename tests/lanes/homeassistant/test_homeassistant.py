"""What a person sees in Home Assistant: every entity, what they follow, what acts, what survives, what is removed.

One Home Assistant, one broker and one daemon; the tests build upon each other in the order of the file. Times are printed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.publish
import pytest

from edgeinfer.admission import install
from edgeinfer.store import Store
from quantize.pack import Given, pack
from tests.broker import Broker, Listener, until
from tests.bundles import configuration, vibration
from tests.conftest import ROOT
from tests.daemon import DaemonProcess
from tests.installs import MAKER, make_eib
from tests.lanes.homeassistant.hass import HomeAssistant
from tests.models import tiny_tflite

GONE = {"unavailable", "missing"}
ABSENT = {*GONE, "unknown"}

CAMERA = """
import os, sys, time
tone = 0
while os.path.exists(sys.argv[1]):
    tone = (tone + 40) % 256
    sys.stdout.buffer.write(bytes((tone, 255 - tone, 20)) * (64 * 48))
    sys.stdout.buffer.flush()
    time.sleep(0.1)
sys.exit("the camera was unplugged")
"""

OF_THE_DEVICE = ["sensor.lane_memory", "sensor.lane_waiting_results", "sensor.lane_dropped_results", "sensor.lane_reconnects",
                 "binary_sensor.lane_connection"]
OF_THE_PIPELINES = {
    "digits": ["binary_sensor.lane_digits_occupancy", "sensor.lane_digits_count", "sensor.lane_digits_class",
               "sensor.lane_digits_score", "event.lane_digits_result", "binary_sensor.lane_digits_7_occupancy",
               "sensor.lane_digits_7_count", "number.lane_digits_threshold"],
    "camera": ["sensor.lane_camera_class", "sensor.lane_camera_score", "event.lane_camera_result",
               "number.lane_camera_threshold"],
    "motor": ["binary_sensor.lane_motor_problem", "sensor.lane_motor_score", "number.lane_motor_threshold"],
    "mean": ["sensor.lane_mean_red", "sensor.lane_mean_green", "sensor.lane_mean_blue"],
    "raw": ["sensor.lane_raw_last_result"],
}
OF_EACH = ["sensor.lane_{}_model", "update.lane_{}_model", "switch.lane_{}_enabled"]
CHATTY = ["sensor.lane_digits_latency_p50", "sensor.lane_digits_latency_p95", "sensor.lane_digits_rate"]


def entities(*pipelines: str) -> list[str]:
    return [entity for name in pipelines for entity in
            [*OF_THE_PIPELINES[name], *(pattern.format(name) for pattern in OF_EACH)]]


EVERY = OF_THE_DEVICE + entities(*OF_THE_PIPELINES)


class Lane:
    """What the tests share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = Broker(folder / "broker").start()
        self.flag = folder / "plugged-in"
        self.flag.touch()
        self.config = self._configuration()
        self.listener = Listener(self.broker.port)
        self.daemon = DaemonProcess(folder, self.config)
        started = time.monotonic()
        self.home = HomeAssistant(folder / "home", self.broker.port)
        print(f"\nHome Assistant runs with its MQTT integration after {time.monotonic() - started:.1f} s")

    def _configuration(self) -> dict[str, Any]:
        models = self.folder / "models"
        models.mkdir()
        (self.folder / "state" / "models").mkdir(parents=True)
        store = Store(self.folder / "state" / "models")
        install(store, make_eib(models, 1), keys=(MAKER.public,))
        mean = pack(tiny_tflite(models / "mean.tflite"), models / "mean", Given(
            decoder="regress", parameters={"names": ["red", "green", "blue"]}))
        raw = pack(tiny_tflite(models / "raw.tflite"), models / "raw", Given(decoder="raw"))
        digits = ROOT / "examples" / "digits"
        frames = {"kind": "synthetic", "width": 64, "height": 48, "fps": 2}
        camera = {"kind": "command", "command": [sys.executable, "-c", CAMERA, str(self.flag)], "width": 64, "height": 48}
        pipelines = {
            "digits": {"bundle": str(digits / "bundle"), "gate": {"on_change": True, "heartbeat_s": 60},
                       "source": {"kind": "images", "path": str(digits / "pictures"), "interval_s": 0.5, "loop": True}},
            "camera": {"model": "colours", "source": camera, "gate": {"on_change": True}},
            "motor": {"bundle": str(vibration(models).folder), "gate": {"min_interval_s": 1},
                      "source": {"kind": "synthetic", "yields": "samples", "channels": 1, "rate": 80}},
            "mean": {"bundle": str(mean.bundle.folder), "source": frames, "gate": {"min_interval_s": 1}},
            "raw": {"bundle": str(raw.bundle.folder), "source": frames, "gate": {"min_interval_s": 1}},
        }
        return configuration(self.broker.port, pipelines, node="lane", commands={"enabled": True}, health={"interval_s": 2},
                             home_assistant={"enabled": True, "labels": ["7"], "area": "Workshop"},
                             updates={"probation_s": 2})

    def close(self) -> None:
        self.home.stop()
        self.listener.close()
        if self.daemon.process.poll() is None:
            self.daemon.kill()
        self.broker.stop()

    def states(self, wanted: list[str]) -> dict[str, str]:
        known = self.home.states()
        return {entity: known[entity]["state"] if entity in known else "missing" for entity in wanted}

    def wait(self, what: str, met: Callable[[], bool], seconds: float = 60) -> None:
        started = time.monotonic()
        until(met, what, seconds)
        print(f"{what}: {time.monotonic() - started:.1f} s")

    def wait_all(self, what: str, wanted: list[str], absent: set[str]) -> None:
        """Until none of the entities is in one of the states; names those that are."""
        started = time.monotonic()
        left: dict[str, str] = {}
        while time.monotonic() < started + 60:
            left = {entity: state for entity, state in self.states(wanted).items() if state in absent}
            if not left:
                print(f"{what}: {len(wanted)} entities, {time.monotonic() - started:.1f} s")
                return
            time.sleep(0.3)
        pytest.fail(f"{what}: {left}\n{self.daemon.log[-2000:]}\n{self.home.complaints()[-5:]}")

    def send(self, topic: str, payload: str, retain: bool = False) -> None:
        paho.mqtt.publish.single(topic, payload, qos=1, retain=retain, hostname="127.0.0.1", port=self.broker.port)


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    made = Lane(tmp_path_factory.mktemp("lane"))
    yield made
    made.close()


def test_every_entity_appears_with_a_state(lane: Lane) -> None:
    """Those of each task, of the device and of the model; chatty ones are there, switched off."""
    lane.wait_all("every entity has a state", EVERY, ABSENT)
    states = lane.states(EVERY)
    assert states["binary_sensor.lane_connection"] == "on"
    assert states["update.lane_camera_model"] == "off"
    assert states["switch.lane_digits_enabled"] == "on"
    assert states["number.lane_digits_threshold"] == "0.5"
    assert states["binary_sensor.lane_motor_problem"] == "off"
    assert not set(CHATTY) & set(lane.home.states())
    attributes = lane.home.states()["binary_sensor.lane_digits_occupancy"]["attributes"]
    assert attributes["device_class"] == "occupancy"
    assert attributes["friendly_name"] == "lane digits occupancy"
    assert lane.home.complaints() == []


def test_states_are_those_of_the_results(lane: Lane) -> None:
    """Count, best class and score of a detection are those of the payload; an event has the reason as its type."""

    def agrees() -> bool:
        states = lane.states(OF_THE_PIPELINES["digits"])
        result = json.loads(lane.listener.on("edgeinfer/lane/digits/state")[-1])["result"]
        found = result["detections"]
        best = found[0] if found else {"label": "none", "score": 0}
        return (int(states["sensor.lane_digits_count"]) == result["count"]
                and states["sensor.lane_digits_class"] == best["label"]
                and float(states["sensor.lane_digits_score"]) == round(best["score"] * 100, 1)
                and int(states["sensor.lane_digits_7_count"]) == sum(row["label"] == "7" for row in found)
                and states["binary_sensor.lane_digits_7_occupancy"] == ("on" if any(row["label"] == "7" for row in found) else "off"))

    lane.wait("the states of a detection agree with the payload", agrees)
    event = lane.home.states()["event.lane_digits_result"]["attributes"]
    assert event["event_type"] == "change"
    assert {"count", "label", "score", "id", "ts"} <= set(event)
    assert event["event_types"] == ["change", "off", "score", "frame"]


def test_all_come_back_after_home_assistant_restarts(lane: Lane) -> None:
    """Discovery and states are retained, and told again at its birth."""
    lane.home.restart()
    lane.wait_all("after a restart of Home Assistant", EVERY, ABSENT)


def test_all_come_back_after_the_broker_forgot_everything(lane: Lane) -> None:
    """A broker without persistence, killed: daemon and Home Assistant find each other again."""
    lane.broker.kill()
    lane.wait("unavailable without a broker", lambda: lane.home.state("sensor.lane_memory") == "unavailable")
    lane.broker.start()
    lane.wait_all("after a restart of the broker", EVERY, GONE)


def test_all_appear_in_a_home_assistant_that_starts_after_the_broker_forgot(lane: Lane) -> None:
    """Nobody but the daemon can tell it: nothing of the time before is left."""
    lane.home.stop()
    lane.broker.kill()
    lane.broker.start()
    lane.home.start()
    lane.wait_all("both were gone", EVERY, GONE)


def test_availability_follows_the_camera(lane: Lane) -> None:
    """Only that pipeline's results go; its switch and its model stay, for they can still be used."""
    lane.flag.unlink()
    follow = entities("camera")[:3]
    lane.wait("the camera is unplugged", lambda: set(lane.states(follow).values()) == {"unavailable"})
    stay = [entity for entity in EVERY if entity not in follow]
    assert not set(lane.states(stay).values()) & GONE
    lane.flag.touch()
    lane.wait_all("it is plugged in again", follow, GONE)


def test_availability_follows_the_daemon(lane: Lane) -> None:
    """SIGKILL: the last will, after its delay. The connection is then off, and everything else unavailable."""
    lane.daemon.kill()
    rest = [entity for entity in EVERY if entity != "binary_sensor.lane_connection"]
    lane.wait("the daemon was killed", lambda: set(lane.states(rest).values()) == {"unavailable"})
    assert lane.home.state("binary_sensor.lane_connection") == "off"
    lane.daemon.start()
    lane.wait_all("it is back", EVERY, GONE)


def test_a_switch_acts_and_its_state_comes_back(lane: Lane) -> None:
    """Off: no frame is taken any more. It holds over a restart of the daemon."""
    lane.home.call("switch.turn_off", "switch.lane_camera_enabled")
    lane.wait("switched off", lambda: lane.home.state("switch.lane_camera_enabled") == "off")
    assert lane.listener.on("edgeinfer/lane/camera/enabled")[-1] == b"OFF"
    captured = _captured(lane, 2)  # one may have been on its way
    assert _captured(lane, 2) == captured, "frames are still taken"
    lane.daemon.terminate()
    lane.daemon.start()
    lane.wait("still off after a restart", lambda: lane.home.state("switch.lane_camera_enabled") == "off")
    lane.home.call("switch.turn_on", "switch.lane_camera_enabled")
    lane.wait("switched on", lambda: lane.home.state("switch.lane_camera_enabled") == "on")
    lane.wait("frames again", lambda: _captured(lane, 1) > 5)


def _captured(lane: Lane, documents: int) -> int:
    """Frames of the camera, after so many further health documents."""
    seen = len(lane.listener.on("edgeinfer/lane/health"))
    until(lambda: len(lane.listener.on("edgeinfer/lane/health")) >= seen + documents, "health")
    return int(json.loads(lane.listener.on("edgeinfer/lane/health")[-1])["pipelines"]["camera"]["captured"])


def test_a_number_acts_within_the_bundles_bounds(lane: Lane) -> None:
    """A stricter threshold is taken; one below the bundle's own is answered with an error."""
    lane.home.call("number.set_value", "number.lane_digits_threshold", value=0.7)
    lane.wait("the threshold is set", lambda: lane.home.state("number.lane_digits_threshold") == "0.7")
    lane.send("edgeinfer/lane/command/digits/threshold", "0.1")
    answers = "edgeinfer/lane/response/digits/threshold"
    until(lambda: len(lane.listener.on(answers)) == 2, "two answers")
    good, bad = (json.loads(payload) for payload in lane.listener.on(answers))
    assert good == {"status": "ok", "data": {}}
    assert bad["status"] == "error"
    assert "expected a number from 0.5 to 1" in bad["error"]
    assert lane.home.state("number.lane_digits_threshold") == "0.7"


def test_a_retained_command_is_ignored(lane: Lane) -> None:
    """Somebody ticked "retain": it would come again at each connection."""
    lane.send("edgeinfer/lane/command/mean/enabled", "OFF", retain=True)
    lane.wait("it is told to the log", lambda: "refused (retained)" in lane.daemon.log)
    assert lane.home.state("switch.lane_mean_enabled") == "on"
    lane.send("edgeinfer/lane/command/mean/enabled", "", retain=True)


def test_an_update_entity_installs_the_bundle_that_waits(lane: Lane) -> None:
    """A staged bundle shows as an update; pressing install switches to it while the camera runs."""
    install(Store(lane.folder / "state" / "models"), make_eib(lane.folder / "models", 2), keys=(MAKER.public,), stage=True)
    entity = "update.lane_camera_model"
    lane.wait("the update is offered", lambda: lane.home.state(entity) == "on")
    assert lane.home.states()[entity]["attributes"]["latest_version"] == "v2"
    lane.home.call("update.install", entity)
    lane.wait("it is installed", lambda: lane.home.states()[entity]["attributes"]["installed_version"] == "v2")
    lane.wait("nothing is offered", lambda: lane.home.state(entity) == "off")
    lane.wait("the model sensor shows it", lambda: lane.home.state("sensor.lane_camera_model") == "colours:v2")


def test_a_pipeline_that_is_removed_takes_its_entities_along(lane: Lane) -> None:
    """While the daemon runs, and while it does not."""
    for name, restart in (("raw", False), ("mean", True)):
        del lane.config["pipelines"][name]
        gone = entities(name)
        if restart:
            assert lane.daemon.terminate() == 0, lane.daemon.log[-2000:]
            lane.daemon.write(lane.config)
            lane.daemon.start()
        else:
            lane.daemon.write(lane.config)
            lane.daemon.process.send_signal(signal.SIGHUP)
        lane.wait(f"{name} is removed", lambda gone=gone: set(lane.states(gone).values()) == {"missing"})  # type: ignore[misc]
    lane.wait_all("the others stay", OF_THE_DEVICE + entities("digits", "camera", "motor"), GONE)


def test_switching_discovery_off_removes_the_device(lane: Lane) -> None:
    """And nothing of it is left at the broker."""
    lane.config["home_assistant"] = {"enabled": False}
    lane.daemon.write(lane.config)
    lane.daemon.process.send_signal(signal.SIGHUP)
    lane.wait("the device is removed", lambda: not [entity for entity in lane.home.states() if ".lane_" in entity])
    lane.listener.close()
    with Listener(lane.broker.port) as late:
        until(lambda: (b"online", True) in [(payload, retained) for _, payload, retained in late.messages], "what is retained")
        time.sleep(0.5)
        assert not [topic for topic, payload, retained in late.messages if topic.startswith("homeassistant/") and retained]


def test_home_assistant_did_not_complain(lane: Lane) -> None:
    """No entity refused, no template that failed, in all that went before."""
    assert lane.home.complaints() == []
    print(f"home assistant {os.environ['EDGEINFER_HASS']}: {len(EVERY)} entities of {len(OF_THE_PIPELINES)} pipelines")
