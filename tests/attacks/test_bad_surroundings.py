"""What a running daemon outlives: sources that fail, a delegate that is missing, a full disk, a rival for its outbox.

Each is counted in health, told in the log, and costs no result that was made.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber, check_equations
from tests.e2e.conftest import picture_pipeline
from tests.faults.faultproxy import Fault, FaultProxy


def pipeline(models: dict[str, str], source: dict[str, Any], model: str = "colours") -> dict[str, Any]:
    return {"bundle": models[model], "source": source}


def command(line: str) -> dict[str, Any]:
    return {"kind": "command", "command": line, "width": 64, "height": 48}


def test_sources_that_fail_are_counted_and_tried_again(models: dict[str, str], broker: Broker, subscriber: Subscriber,
                                                       tmp_path: Path) -> None:
    """No camera, no program, one that exits with 3 and one that delivers half a frame: each is told once, counted and opened
    anew, and the pipeline beside them goes on."""
    bad = {"camera": ({"kind": "camera", "device": "/dev/video77"}, "no such device"),
           "missing": (command("no-such-program"), "No such file"), "fails": (command("sh -c 'exit 3'"), "exit code 3"),
           "half": (command("head -c 5000 /dev/zero"), "its end with exit code 0")}
    pipelines = {name: pipeline(models, source) for name, (source, _) in bad.items()}
    with DaemonProcess(tmp_path, configuration(broker.port, {**pipelines, "door": picture_pipeline(models)})) as daemon:
        until(lambda: subscriber.health and all(subscriber.health[-1]["pipelines"][name]["source"]["failures"] >= 2
                                                for name in bad), "two failures of each")
        seen = subscriber.count("door")
        until(lambda: subscriber.count("door") > seen + 20, "results of the sound pipeline")
        assert daemon.terminate() == 0, daemon.log
    for name, (_, reason) in bad.items():
        source = subscriber.health[-1]["pipelines"][name]["source"]
        assert not source["working"]
        assert reason in source["error"]
        assert daemon.log.count(f"pipeline {name}: ") == 1, daemon.log
    assert "Traceback" not in daemon.log
    check_equations(subscriber.health[-1])


def test_a_bad_part_of_a_replay_costs_that_part(models: dict[str, str], broker: Broker, subscriber: Subscriber,
                                                tmp_path: Path) -> None:
    """A broken picture among three, a bad cell among samples, a video cut in half: what is sound is inferred, what is not is
    counted, and the daemon ends with 0 when all is acknowledged."""
    import cv2

    (tmp_path / "pictures").mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / "pictures" / f"{index}.png"), np.full((12, 16, 3), 40 * index, np.uint8))
    broken = tmp_path / "pictures" / "1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    (tmp_path / "x.csv").write_text("x\n" + "1\n" * 40 + "oops\n" + "1\n" * 40)
    sources = {"pictures": ({"kind": "images", "path": "pictures"}, "colours"),
               "cells": ({"kind": "csv", "path": "x.csv", "pace": "fast"}, "vibration"),
               "video": ({"kind": "video", "path": str(cut_video(tmp_path)), "pace": "fast"}, "colours")}
    pipelines = {name: pipeline(models, source, model) for name, (source, model) in sources.items()}
    with DaemonProcess(tmp_path, configuration(broker.port, pipelines)) as daemon:
        assert daemon.process.wait(60) == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    figures = subscriber.health[-1]["pipelines"]
    assert (figures["pictures"]["inferred"], figures["pictures"]["source"]["failures"]) == (3, 1)
    assert figures["cells"]["source"]["failures"] == 1
    assert "line 42" in daemon.log
    assert 8 <= figures["cells"]["inferred"] < 10
    assert 0 < figures["video"]["inferred"] < 30
    assert "Traceback" not in daemon.log
    check_equations(subscriber.health[-1])


def cut_video(folder: Path) -> Path:
    """The first half of the bytes of 30 pictures."""
    import cv2

    writer = cv2.VideoWriter(str(folder / "cut.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for index in range(30):
        writer.write(np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    content = (folder / "cut.avi").read_bytes()
    (folder / "cut.avi").write_bytes(content[: len(content) // 2])
    return folder / "cut.avi"


def test_a_delegate_that_is_missing_is_told_and_the_cpu_runs(models: dict[str, str], broker: Broker, subscriber: Subscriber,
                                                             tmp_path: Path) -> None:
    """Without ``strict``: results come, and log and health say what does not run and why."""
    missing = picture_pipeline(models, runtime={"accelerators": ["/no/libdelegate.so"]})
    with DaemonProcess(tmp_path, configuration(broker.port, {"door": missing})) as daemon:
        until(lambda: subscriber.health and subscriber.count("door") > 5, "results")
        assert daemon.terminate() == 0, daemon.log
    (reason,) = subscriber.health[-1]["models"]["door"]["fallbacks"]
    assert "/no/libdelegate.so" in reason
    assert f"not as configured: {reason}" in daemon.log


def test_a_full_disk_costs_no_result(models: dict[str, str], broker: Broker, subscriber: Subscriber, tmp_path: Path,
                                     small_disk: Path) -> None:
    """The disk under the outbox is full and the broker away: results wait in memory. With the broker back they arrive, and with
    room on the disk the outbox uses it again: health has counted it, and every result is there."""
    outbox = {"path": str(small_disk / "outbox.db")}
    with FaultProxy(broker.port) as proxy, DaemonProcess(tmp_path, configuration(
            proxy.port, {"door": picture_pipeline(models)}, outbox=outbox)) as daemon:
        until(lambda: subscriber.health and subscriber.count("door") > 10, "results")
        proxy.fault = Fault.REFUSE
        fill(small_disk / "rubbish")
        until(lambda: "results wait in memory until the disk recovers" in daemon.log, "the full disk in the log")
        proxy.fault = Fault.NONE
        until(lambda: subscriber.health[-1]["sink"]["outbox"]["storage_faults"] > 0, "the full disk in health")
        seen = subscriber.count("door")
        until(lambda: subscriber.count("door") > seen + 50, "results while the disk is full")
        (small_disk / "rubbish").unlink()
        until(lambda: subscriber.health[-1]["sink"]["outbox"]["storage"] == "ok", "the recovery in health", 60)
        assert daemon.terminate() == 0, daemon.log
    (numbers,) = subscriber.sequences("door").values()
    assert sorted(numbers) == list(range(1, subscriber.health[-1]["pipelines"]["door"]["published"] + 1))
    assert "Traceback" not in daemon.log
    check_equations(subscriber.health[-1])


def fill(path: Path) -> None:
    """Until the disk takes no more."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def test_the_second_daemon_on_an_outbox_ends_and_the_first_goes_on(models: dict[str, str], broker: Broker, subscriber: Subscriber,
                                                                   tmp_path: Path) -> None:
    """One error with exit code 74; nothing of the first is lost."""
    config = configuration(broker.port, {"door": picture_pipeline(models)}, outbox={"path": str(tmp_path / "outbox.db")})
    with DaemonProcess(tmp_path, config) as first:
        until(lambda: subscriber.count("door") > 5, "results of the first")
        with DaemonProcess(tmp_path, config) as second:
            assert second.process.wait(30) == 74
        assert "error: " in second.log
        assert "expected an outbox that nobody else uses, got one that another edgeinfer has open" in second.log
        assert "Traceback" not in second.log
        seen = subscriber.count("door")
        until(lambda: subscriber.count("door") > seen + 20, "the first goes on")
        assert first.terminate() == 0, first.log
    (numbers,) = subscriber.sequences("door").values()
    assert numbers == list(range(1, len(numbers) + 1))
