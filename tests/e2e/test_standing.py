"""What is set while the daemon runs, and what is retained of each pipeline beside its results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt
import pytest

from edgeinfer.errors import ConfigError, UsageError
from edgeinfer.model import bundle as bundles
from edgeinfer.store import Store
from tests.broker import Broker, until
from tests.bundles import configuration, deploy, variant
from tests.e2e.conftest import picture_pipeline
from tests.e2e.running import Running


class Retained:
    """The newest message of each topic."""

    def __init__(self, port: int) -> None:
        self.topics: dict[str, str] = {}
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _u, message: self.topics.__setitem__(message.topic, message.payload.decode())
        self._client.on_connect = lambda *_: self._client.subscribe("edgeinfer/#", 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __getitem__(self, name: str) -> str:
        return self.topics.get(f"edgeinfer/test/door/{name}", "")

    def publish(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, 1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def retained(broker: Broker) -> Iterator[Retained]:
    retained = Retained(broker.port)
    yield retained
    retained.close()


def test_a_pipeline_is_switched_off_and_on(broker: Broker, retained: Retained, models: dict[str, str], tmp_path: Path) -> None:
    """Its source is closed, which is told and no fault; that holds after a restart of the daemon; then it is switched on."""
    config = configuration(broker.port, {"door": picture_pipeline(models)})
    with Running(tmp_path, config) as daemon:
        until(lambda: retained["availability"] == "online" and retained["enabled"] == "ON", "a pipeline that runs")
        daemon.set_enabled("door", False)
        until(lambda: retained["enabled"] == "OFF", "the switch")
        with pytest.raises(UsageError, match=r"one of door, got 'dor'\n  hint: did you mean 'door'"):
            daemon.set_enabled("dor", False)
    with Running(tmp_path, config) as daemon:
        until(lambda: retained["enabled"] == "OFF", "the switch after a restart")
        figures = daemon.health()["pipelines"]["door"]
        assert figures["captured"] == 0
        assert figures["source"] == {"working": False, "paused": True, "failures": 0, "error": ""}
        daemon.set_enabled("door", True)
        until(lambda: daemon.health()["pipelines"]["door"]["inferred"] > 5, "results")
        until(lambda: retained["availability"] == "online" and retained["enabled"] == "ON", "the switch")


def test_a_command_from_the_broker_is_carried_out(broker: Broker, retained: Retained, models: dict[str, str],
                                                  tmp_path: Path) -> None:
    """Off, by a message: told by the state topic and by an answer; a threshold below the bundle's is refused."""
    config = configuration(broker.port, {"door": picture_pipeline(models)}, commands={"enabled": True})
    with Running(tmp_path, config) as daemon:
        until(lambda: retained["enabled"] == "ON", "a pipeline that runs")
        retained.publish("edgeinfer/test/command/door/enabled", "OFF")
        until(lambda: retained["enabled"] == "OFF", "the switch")
        until(lambda: "edgeinfer/test/response/door/enabled" in retained.topics, "the answer")
        retained.publish("edgeinfer/test/command/door/threshold", "-1")
        until(lambda: "error" in retained.topics.get("edgeinfer/test/response/door/threshold", ""), "the refusal")
        assert retained["threshold"] == "0"
        assert daemon.health()["pipelines"]["door"]["source"]["paused"]


def test_a_threshold_is_set_but_never_below_the_bundles(broker: Broker, retained: Retained, models: dict[str, str],
                                                        tmp_path: Path) -> None:
    """From the next frame on, without a gap in the figures; it holds after a restart, and gives way to a stricter bundle."""
    first = bundles.read(Path(models["colours"]))
    config = configuration(broker.port, {"door": picture_pipeline(models)})
    with Running(tmp_path, config) as daemon:
        until(lambda: retained["threshold"] == "0", "the bundle's own")
        until(lambda: daemon.health()["pipelines"]["door"]["inferred"] > 5, "results")
        daemon.set_threshold("door", 0.75)
        until(lambda: retained["threshold"] == "0.75", "the new one")
        until(lambda: daemon.health()["pipelines"]["door"]["latency_ms"]["invoke"]["count"] > 5, "figures that go on")
        with pytest.raises(ConfigError, match="at least 0"):
            daemon.set_threshold("door", -0.5)
    with Running(tmp_path, config) as daemon:
        until(lambda: retained["threshold"] == "0.75", "after a restart")

    decoder = msgspec.structs.replace(first.manifest.decoder, parameters={"threshold": 0.9})
    stricter = variant(first, tmp_path / "stricter", "2", decoder)
    config["pipelines"]["door"]["bundle"] = str(stricter.folder)
    with Running(tmp_path, config) as daemon:
        until(lambda: retained["threshold"] == "0.9", "the stricter bundle's")


def test_the_threshold_that_is_told_is_the_one_in_force(broker: Broker, retained: Retained, models: dict[str, str],
                                                        tmp_path: Path) -> None:
    """To the last digit: rounded down it would be less than the least that Home Assistant's number takes, and be left aside."""
    first = bundles.read(Path(models["colours"]))
    decoder = msgspec.structs.replace(first.manifest.decoder, parameters={"threshold": 0.30000001192092896})
    precise = variant(first, tmp_path / "precise", "2", decoder)
    config = configuration(broker.port, {"door": {**picture_pipeline(models), "bundle": str(precise.folder)}})
    with Running(tmp_path, config) as daemon:
        until(lambda: retained["threshold"] == "0.30000001192092896", "all digits")
        with pytest.raises(ConfigError, match=r"set threshold: 0\.30000001192092896 or more"):
            daemon.set_threshold("door", 0.3)


def test_a_staged_bundle_is_told_and_installed_on_demand(broker: Broker, retained: Retained, models: dict[str, str],
                                                         tmp_path: Path) -> None:
    """The model topic names it as the latest; ``install_update`` promotes it, and the daemon takes it up."""
    first = bundles.read(Path(models["colours"]))
    (tmp_path / "state").mkdir()
    store = Store(tmp_path / "state/models")
    deploy(store, first)
    deploy(store, variant(first, tmp_path / "second", "2"), stage=True)
    pipelines = {"door": {**picture_pipeline(models), "model": "colours"}, "path": picture_pipeline(models)}
    del pipelines["door"]["bundle"]
    with Running(tmp_path, configuration(broker.port, pipelines)) as daemon:
        until(lambda: retained["model"] != "" and json.loads(retained["model"]) == {
            "installed_version": "1", "latest_version": "2", "in_progress": False}, "the offer")
        with pytest.raises(UsageError, match="an installed model"):
            daemon.install_update("path")
        daemon.install_update("door")
        until(lambda: json.loads(retained["model"])["installed_version"] == "2", "the new version")
        until(lambda: daemon.health()["models"]["door"]["sequence"] == 2, "it in health")


def test_a_staged_bundle_that_is_damaged_is_not_offered(broker: Broker, retained: Retained, models: dict[str, str],
                                                         tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What runs goes on: a file that went bad on the card must not end the daemon."""
    first = bundles.read(Path(models["colours"]))
    (tmp_path / "state").mkdir()
    store = Store(tmp_path / "state/models")
    deploy(store, first)
    deploy(store, variant(first, tmp_path / "second", "2"), stage=True)
    (tmp_path / "state/models/colours/candidate/manifest.json").unlink()
    pipelines = {"door": {**picture_pipeline(models), "model": "colours"}}
    del pipelines["door"]["bundle"]
    with Running(tmp_path, configuration(broker.port, pipelines)):
        until(lambda: retained["model"] != "", "the model")
        assert json.loads(retained["model"])["latest_version"] == "1"
    assert len([record for record in caplog.records if "cannot be read" in record.message]) == 1


def test_a_source_that_does_not_deliver_is_offline(broker: Broker, retained: Retained, models: dict[str, str],
                                                   tmp_path: Path) -> None:
    """A camera that is not there: its pipeline is offline while the daemon is online."""
    camera = {"kind": "command", "command": "no-such-program", "width": 8, "height": 8, "pixel_format": "RGB"}
    with Running(tmp_path, configuration(broker.port, {"door": {"bundle": models["colours"], "source": camera}})):
        until(lambda: retained["availability"] == "offline", "offline")
        until(lambda: retained["enabled"] == "ON", "its switch is on")


def test_health_is_kept_for_who_looks_at_this_machine(broker: Broker, models: dict[str, str], tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """In systemd's runtime folder, the same document as on the broker."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path / 'run'}:/nowhere")
    with Running(tmp_path, configuration(broker.port, {"door": picture_pipeline(models)})):
        until((tmp_path / "run/health.json").exists, "the document")
        document = json.loads((tmp_path / "run/health.json").read_bytes())
    assert document["node"] == "test"
    assert document["pipelines"]["door"]["drift"] is None
    assert document["models"]["door"]["probation"] is None
