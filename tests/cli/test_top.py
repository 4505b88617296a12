"""edgeinfer top: the health of a real daemon as a person reads it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgeinfer.cli.top import command
from edgeinfer.daemon import Daemon
from edgeinfer.errors import DataError, EdgeinferError, UnavailableError
from tests import bundles


@pytest.fixture
def health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a daemon whose replay is over has written."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    source = {"kind": "synthetic", "width": 64, "height": 48, "count": 5}
    config = {"node": "workshop", "sink": {"kind": "stdout"},
              "pipelines": {"door": {"bundle": str(bundles.colours(tmp_path).folder), "source": source}}}
    (tmp_path / "edgeinfer.yaml").write_text(json.dumps(config))  # which is YAML
    thread = threading.Thread(target=Daemon(tmp_path / "edgeinfer.yaml").run)
    thread.start()
    thread.join(60)
    return tmp_path / "health.json"


def told(path: Path) -> str:
    run = CliRunner().invoke(command, ["--file", str(path)], standalone_mode=False)
    if isinstance(run.exception, EdgeinferError):
        raise run.exception
    assert run.exit_code == 0, run.output
    return run.output


def changed(path: Path, where: str, value: Any) -> Path:
    """The document with another value; keys are parted by dots."""
    document = json.loads(path.read_bytes())
    *way, last = where.split(".")
    found = document
    for key in way:
        found = found[key]
    found[last] = value
    path.write_text(json.dumps(document))
    return path


def test_it_tells_rates_latencies_memory_and_the_sink(health: Path) -> None:
    """A line for each pipeline; nothing is wrong, and so nothing is said of it."""
    lines = told(health).splitlines()
    assert lines[0].startswith("workshop: up 0 min ")
    assert "MB of a bill of" in lines[1]
    assert "acknowledged, 0 queued, 0 dropped" in lines[2]
    assert lines[4].split()[:3] == ["pipeline", "model", "a"]
    assert lines[5].split()[:2] == ["door", "colours:1"]
    assert lines[5].split()[3] == "5"
    assert len(lines) == 6


@pytest.mark.parametrize(("where", "value", "line"), [
    ("sink", {"broker": "b:8883", "connected": False, "last_error": "refused", "outbox": {
        "acknowledged": 1, "queued": 2, "dropped": {"full": 3}, "storage": "disk I/O error"}}, "broker: refused"),
    ("sink.outbox.storage", "disk I/O error", "outbox: disk I/O error"),
    ("pipelines.door.source", {"paused": True, "working": False, "error": ""}, "door: switched off"),
    ("pipelines.door.source", {"paused": False, "working": False, "error": "no such device"}, "door: no such device"),
    ("pipelines.door.source", {"paused": False, "working": False, "error": "no such device\n  hint: ls /dev"}, "  hint: ls /dev"),
    ("pipelines.door.skipped.failed", 4, "door: 4 frames and 0 results failed"),
    ("models.door.fallbacks", ["no edgetpu"], "door: not as configured: no edgetpu"),
    ("models.door.probation", {"state": "watching", "reason": "", "until": None}, "door: its model is watching"),
    ("models.door.probation", {"state": "rolled back", "reason": "late", "until": None}, "door: its model is rolled back late"),
    ("models.door.fallbacks", ["\x1b[31m"], r"'door: not as configured: \x1b[31m'"),
])
def test_what_is_wrong_has_a_line(health: Path, where: str, value: Any, line: str) -> None:
    """Below the table; nothing in it reaches the terminal as anything but text."""
    assert line in told(changed(health, where, value)).splitlines()[7:]


def test_without_a_daemon_there_is_one_clear_error(tmp_path: Path) -> None:
    """And where to look."""
    with pytest.raises(UnavailableError, match="expected the health of a daemon that runs, got none"):
        told(tmp_path / "health.json")


@pytest.mark.parametrize("document", ["{}", '{"v": 1, "pipelines": {"door": 1}, "models": {"door": 2}}', '{"pipelines": []}'])
def test_another_document_is_refused(tmp_path: Path, document: str) -> None:
    """A JSON file that is none of health."""
    (tmp_path / "other.json").write_text(document)
    with pytest.raises(DataError, match="expected a health document, version 1"):
        told(tmp_path / "other.json")
