"""The tables of JSON documents, held against what real runs print."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeinfer import outbox
from edgeinfer.cli import program as edgeinfer
from edgeinfer.daemon import Daemon
from edgeinfer.mqtt.broker import MqttOptions
from edgeinfer.service import systemd
from edgeinfer.service.layout import Layout
from edgeinfer.service.report import report
from edgeinfer.sinks.mqtt import MqttSink
from edgeinfer.sources import SOURCES
from edgeinfer.sources.mqtt_values import ChannelOptions
from quantize.cli import program as quantize
from tests.docs.pages import COMMANDS, TOPICS
from tests.docs.programs import commands, flags
from tests.markdown import Shape
from tests.quantize import runs

RUNS = {  # a document's section, and the runs that together show all of its fields
    "The document of check": ["check CONFIG --json", "check CONFIG --online --json"],
    "The document of infer": ["infer BUNDLE PICTURE --json"],
    "The document of batch": ["batch BUNDLE PICTURE -o OUT/batch.jsonl --restart --json"],
    "The document of inspect": ["inspect BUNDLE --json", "inspect BARE --json"],
    "The document of bench": ["bench BUNDLE --frames 10 --device raspberry-pi-5 --json"],
    "The document of devices": ["devices --json", "devices jetson-orin-nano --json"],
    "The document of install": ["install PACKED --state STATE/new --keys STATE/keys --allow-unsigned --json"],
    "The document of models": ["models --state STATE --keys STATE/keys --json"],
    "The document of rollback": ["rollback colours --state STATE --json"],
    "The document of enroll": ["enroll EMBED red PICTURE --state STATE --json"],
    "The document of quantize run": [f"run FLOAT --data PICTURES {' '.join(runs.FLAGS)} --rounding nearest -o OUT --json"],
    "The document of quantize check": ["check FLOAT --target coral-dev --json"],
    "The document of quantize calibrate": ["calibrate FLOAT --data PICTURES --mean 0 --std 255 -o OUT --json"],
    "The document of quantize compare": ["compare FLOAT OUT/net.onnx --data PICTURES --mean 0 --std 255 --json"],
    "The document of quantize evaluate": ["evaluate OUT/net-onnx.eib OUT/net.eib OUT/net.eib --data PICTURES --json"],
    "The document of pack": ["pack BARE --decoder classify --name packed -o PACKED --json"],
    "The document of quantize inspect": ["inspect BARE --json"],
}
BEFORE = {"The document of install": "pack BUNDLE -o PACKED"}


def _run(line: str, files: Mapping[str, str], program: Any) -> None:
    words = [str(Path(files[word.split("/")[0]], *word.split("/")[1:])) if word.split("/")[0] in files else word
             for word in line.split()]
    with contextlib.suppress(SystemExit):
        program(words, standalone_mode=False)


@pytest.mark.parametrize("heading", RUNS)
def test_a_table_of_fields_is_the_document(heading: str, files: Mapping[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    """What a real run prints with --json has exactly the fields that the page lists, of the types that it lists."""
    program = quantize if heading.endswith("pack") or "quantize" in heading else edgeinfer
    shape = Shape(COMMANDS.table(heading))
    if heading in BEFORE:
        _run(BEFORE[heading], files, quantize)
        capfd.readouterr()
    for line in RUNS[heading]:
        _run(line, files, program)
        shape.check(json.loads(capfd.readouterr().out))
    assert not shape.unseen


def test_every_document_has_a_table() -> None:
    """Each command with --json is run by the test above; that of the service needs a systemd, and has a test of its own."""
    with_json = {f"{name} {command}" for name, command, found in commands() if "--json" in flags(found)}
    assert len(with_json - {"edgeinfer service status"}) == len(RUNS)


def test_the_table_of_the_services_status_is_its_document(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a service that runs and has written its health, and of none."""
    running = {"LoadState": "loaded", "MainPID": "17", "ExecMainStatus": "0", "MemoryCurrent": "1000", "MemoryMax": "2000"}
    shape = Shape(COMMANDS.table("The document of service status"))
    (tmp_path / "health.json").write_text('{"v": 1}')
    monkeypatch.setattr(Layout, "health", tmp_path / "health.json")
    for facts in (running, {}):
        monkeypatch.setattr(systemd, "show", lambda *_, facts=facts: facts)
        shape.check(report(Layout()))
        (tmp_path / "health.json").unlink(missing_ok=True)
    assert not shape.unseen


@pytest.fixture(scope="module")
def health(made: Path) -> dict[str, Any]:
    """The last health of a real daemon whose replays are over."""
    daemon = Daemon(made / "edgeinfer.yaml")
    thread = threading.Thread(target=daemon.run)  # the main thread's signals stay pytest's
    thread.start()
    thread.join(60)
    document: dict[str, Any] = json.loads(msgspec.json.encode(daemon.health()))
    return document


def test_the_table_of_health_is_the_document(health: dict[str, Any]) -> None:
    """The health of a real daemon has exactly the fields that the page lists."""
    shape = Shape(TOPICS.table("Health"))
    shape.check(health)
    assert shape.unseen == COUNTED


NUMBERS = "missed", "damaged", "bad", "missing", "unknown", "answered", "refused", "retained", "too_many", "overflowed", "while_closed"
COUNTED = {f"pipelines.*.source.{name}" for name in (*NUMBERS, "edges", "untriggered")}  # by sources that need hardware or a broker
ASLEEP: dict[str, dict[str, Any]] = {"camera": {}, "iio": {"device": "bmp280", "channels": ("temp",), "rate": 10.0}, "requests": {},
          "serial": {"device": "/dev/ttyUSB0", "columns": (0,)},
          "mqtt": {"broker": MqttOptions(host="broker.local"), "channels": (ChannelOptions(topic="freezer"),)}}


@pytest.mark.parametrize("kind", ASLEEP)
def test_what_a_source_counts_is_listed(kind: str) -> None:
    """Each counter of a source is a field of health."""
    cls = SOURCES.load(kind, "test")
    counts = cls(cls.Options(**ASLEEP[kind])).counts()
    assert counts
    assert {f"pipelines.*.source.{name}" for name in counts} <= COUNTED


def test_both_equations_hold_in_health(health: dict[str, Any]) -> None:
    """Every frame and every result is accounted for."""
    frames, results = health["pipelines"]["door"], health["sink"]["outbox"]
    assert frames["captured"] == 5 == frames["inferred"] + sum(frames["skipped"].values()) + frames["waiting"]
    assert frames["inferred"] == frames["published"] + sum(frames["held_back"].values())
    assert results["produced"] + results["carried"] == results["acknowledged"] + results["queued"] + sum(
        results["dropped"].values())


def test_the_table_of_the_sinks_health_is_its_state(tmp_path: Path) -> None:
    """So has the state of the MQTT sink."""
    options = outbox.OutboxOptions(path=str(tmp_path / "outbox.db"), staging=1)
    sink = MqttSink(MqttOptions(host="127.0.0.1", plain_text=True), "edgeinfer/n", options)
    sink.publish("edgeinfer/n/p/result", b"{}", "p")
    sink.publish("edgeinfer/n/p/result", b"{}", "p")  # more than staging holds: one is dropped
    shape = Shape(TOPICS.table("Health of the sink"))
    shape.check(sink.state())
    assert not shape.unseen
