"""Sources that fall silent, die, come back, or change their pictures' size, on the real daemon."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber
from tests.e2e.conftest import picture_pipeline, sensor_pipeline
from tests.faults.witnessed import all_published, equations_hold, nothing_is_missing

# Twenty units, and then: silence, an error, or half a unit and its end
PROGRAM = """
import os, sys, time
unit, end = int(sys.argv[1]), sys.argv[2]
for number in range(20):
    os.write(1, bytes([number]) * unit)
    time.sleep(0.02)
if end == "silence":
    time.sleep(600)
if end == "half":
    os.write(1, bytes(unit // 2))
sys.exit(5 if end == "error" else 0)
"""
FRAME_BYTES, WINDOW_BYTES = 64 * 48 * 3, 8 * 4
ENDS = {"silence": "expected bytes within 0.7 s, got none", "error": "its end with exit code 5", "half": "its end with exit code 0"}


def command(unit: int, end: str, **more: Any) -> dict[str, Any]:
    return {"kind": "command", "command": shlex.join([sys.executable, "-c", PROGRAM, str(unit), end]), "timeout_s": 0.7, **more}


def test_sources_that_fall_silent_or_die_are_started_anew(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                          tmp_path: Path) -> None:
    """Of frames and of samples: each outage is counted and told once on its edge, results come again after each, and the
    pipeline beside them never stops."""
    pipelines = {f"frames-{end}": {"bundle": models["colours"], "source": command(FRAME_BYTES, end, width=64, height=48)}
                 for end in ENDS}
    pipelines["samples-silence"] = {"bundle": models["vibration"], "source": command(WINDOW_BYTES, "silence", dtype="f32le")}
    bad = list(pipelines)
    with DaemonProcess(tmp_path, configuration(broker.port, {**pipelines, "door": picture_pipeline(models)})) as daemon:
        until(lambda: subscriber.health and all(subscriber.health[-1]["pipelines"][name]["source"]["failures"] >= 2
                                                for name in bad), "two outages of each", 30)
        seen = {name: subscriber.count(name) for name in [*bad, "door"]}
        until(lambda: all(subscriber.count(name) > seen[name] for name in seen), "results after the outages")
        assert daemon.terminate() == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    for name in bad:
        source = subscriber.health[-1]["pipelines"][name]["source"]
        assert ENDS[name.partition("-")[2]] in source["error"]
        edges = daemon.log.count(f"pipeline {name}: ")
        assert edges <= 2 * source["failures"] + 1, daemon.log
        assert "the source delivers" in daemon.log
        all_published(subscriber, name)
        nothing_is_missing(subscriber, name)
    equations_hold(subscriber)
    assert "Traceback" not in daemon.log


def test_pictures_that_change_their_size_cost_only_those_that_do_not_fit(broker: Broker, subscriber: Subscriber,
                                                                         models: dict[str, str], tmp_path: Path) -> None:
    """Pictures become smaller (taken as they are), larger than the memory that was measured for them (counted), and good
    again; all the while the sensor's windows come."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(4):
        write_picture(folder / f"{index}.png", 48, 64)
    source = {"kind": "images", "path": str(folder), "loop": True, "interval_s": 0.02}
    config = configuration(broker.port, {"door": {"bundle": models["colours"], "source": source},
                                         "motor": sensor_pipeline(models)})
    with DaemonProcess(tmp_path, config) as daemon:
        until(lambda: subscriber.health and subscriber.count("door") > 10, "results")
        write_picture(folder / "1.png", 12, 16)
        seen = subscriber.count("door")
        until(lambda: subscriber.count("door") > seen + 20, "results with a smaller picture among them")
        assert subscriber.health[-1]["pipelines"]["door"]["source"]["failures"] == 0
        write_picture(folder / "2.png", 96, 128)
        until(lambda: subscriber.health[-1]["pipelines"]["door"]["source"]["failures"] >= 2, "a larger one is counted")
        write_picture(folder / "2.png", 48, 64)
        seen = subscriber.count("door")
        until(lambda: subscriber.count("door") > seen + 20, "results again")
        until(lambda: subscriber.health[-1]["pipelines"]["door"]["source"]["working"], "health says so")
        assert daemon.terminate() == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    assert "128x96" in subscriber.health[-1]["pipelines"]["door"]["source"]["error"]
    for name in ("door", "motor"):
        all_published(subscriber, name)
        nothing_is_missing(subscriber, name)
    equations_hold(subscriber)
    assert "Traceback" not in daemon.log


def write_picture(path: Path, height: int, width: int) -> None:
    """Whole at once: the daemon reads it at any time."""
    import cv2

    fresh = path.with_suffix(".new.png")
    cv2.imwrite(str(fresh), np.full((height, width, 3), 99, np.uint8))
    fresh.replace(path)
