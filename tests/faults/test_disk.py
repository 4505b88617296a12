"""The real daemon on a disk that fails under its outbox: results go on from memory, are counted, and the disk is used again."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber
from tests.e2e.conftest import sensor_pipeline
from tests.faults.faultproxy import Fault, FaultProxy
from tests.faults.faultydisk import FaultyDisk
from tests.faults.witnessed import FULL, LEAST_RATE, all_published, equations_hold, nothing_is_missing, rate, wait

SPAN_S = 10.0 if FULL else 1.0
FAILURES = {
    "EIO on fsync": f"sync {errno.EIO}",
    "EIO on write": f"write {errno.EIO}",
    "read-only": f"write {errno.EROFS}",
    "full": f"write {errno.ENOSPC}",
}


def says(subscriber: Subscriber, figure: str) -> Any:
    """What the last health document says of the outbox."""
    return subscriber.health[-1]["sink"]["outbox"][figure]


def told(daemon: DaemonProcess) -> int:
    """How often the log told of a fault."""
    return daemon.log.count("results wait in memory until the disk recovers")


@pytest.mark.parametrize("failure", FAILURES if FULL else ["EIO on fsync", "full"])
def test_a_disk_that_fails_costs_no_result(failure: str, broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                           tmp_path: Path) -> None:
    """Results are made at the same rate and arrive all the while; the log tells it once, health counts it, and afterwards the
    disk is used again: SIGKILL then loses nothing that it holds."""
    disk = FaultyDisk(tmp_path)
    with FaultProxy(broker.port) as proxy, DaemonProcess(
            tmp_path, configuration(proxy.port, {"motor": sensor_pipeline(models)}), disk.environment) as daemon:
        until(lambda: subscriber.health and subscriber.count("motor") > 10, "results")
        healthy = wait(SPAN_S)
        disk.fail(FAILURES[failure])
        until(lambda: told(daemon), "the fault in the log")
        broken = wait(SPAN_S)
        until(lambda: says(subscriber, "storage") != "ok", "the fault in health")
        until(lambda: says(subscriber, "storage_faults") > 0 and says(subscriber, "undurable") > 0, "results sent from memory")
        assert told(daemon) <= 2, daemon.log
        disk.heal()
        until(lambda: says(subscriber, "storage") == "ok", "the recovery in health", 60)
        assert "the disk takes results again" in daemon.log
        proxy.fault = Fault.REFUSE
        time.sleep(0.5)
        daemon.kill()
        stored = left_behind(tmp_path / "state" / "outbox.db")
        proxy.fault = Fault.NONE
        daemon.start()
        until(lambda: len(subscriber.sequences("motor")) == 2, "results of the next boot")
        assert daemon.terminate() == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    all_published(subscriber, "motor")
    assert stored > 0
    before, during = rate(subscriber, "motor", *healthy), rate(subscriber, "motor", *broken)
    print(f"{failure}: {before:.1f} results a second before, {during:.1f} while it failed, ratio {during / before:.3f}; "
          f"{stored} left on disk by SIGKILL")
    assert during > LEAST_RATE * before
    nothing_is_missing(subscriber, "motor")
    equations_hold(subscriber)
    assert "Traceback" not in daemon.log


def left_behind(database: Path) -> int:
    """Rows in the file of a daemon that is dead."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])


@pytest.mark.skipif(not FULL, reason="make faults: the drain takes its ten seconds")
def test_sigterm_on_a_broken_disk_without_a_broker_tells_what_is_lost(broker: Broker, subscriber: Subscriber,
                                                                      models: dict[str, str], tmp_path: Path) -> None:
    """Nothing can take the results: the daemon ends in time all the same, and one line says how many went."""
    disk = FaultyDisk(tmp_path)
    with FaultProxy(broker.port) as proxy, DaemonProcess(
            tmp_path, configuration(proxy.port, {"motor": sensor_pipeline(models)}), disk.environment) as daemon:
        until(lambda: subscriber.count("motor") > 10, "results")
        proxy.fault = Fault.REFUSE
        disk.fail(FAILURES["EIO on write"])
        until(lambda: told(daemon), "the fault in the log")
        time.sleep(0.5)
        asked = time.monotonic()
        assert daemon.terminate(25) == 0, daemon.log
        print(f"ended {time.monotonic() - asked:.2f} s after SIGTERM")
    assert daemon.log.count("results are lost: the disk does not take them") == 1, daemon.log
    assert "Traceback" not in daemon.log


def test_a_slow_disk_does_not_slow_inference(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                             tmp_path: Path) -> None:
    """Each fsync takes 400 ms, as on a worn card: results are made at the same rate, and all arrive."""
    disk = FaultyDisk(tmp_path)
    with DaemonProcess(tmp_path, configuration(broker.port, {"motor": sensor_pipeline(models)}), disk.environment) as daemon:
        until(lambda: subscriber.health and subscriber.count("motor") > 10, "results")
        quick = wait(SPAN_S)
        disk.fail("slow 400")
        slow = wait(SPAN_S + 1)
        disk.heal()
        assert daemon.terminate() == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    all_published(subscriber, "motor")
    before, during = rate(subscriber, "motor", *quick), rate(subscriber, "motor", *slow)
    print(f"slow fsync: {before:.1f} results a second before, {during:.1f} meanwhile, ratio {during / before:.3f}")
    assert during > LEAST_RATE * before
    nothing_is_missing(subscriber, "motor")
    equations_hold(subscriber)


def test_a_disk_that_is_read_only_at_boot_is_used_when_it_is_not(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                                 tmp_path: Path, small_disk: Path) -> None:
    """A card that the kernel mounted read-only: the daemon starts, results arrive from memory, and after a remount the outbox
    is on disk."""
    remount(small_disk, "ro")
    outbox = {"path": str(small_disk / "outbox.db")}
    with DaemonProcess(tmp_path, configuration(broker.port, {"motor": sensor_pipeline(models)}, outbox=outbox)) as daemon:
        until(lambda: subscriber.health and subscriber.count("motor") > 10, "results")
        assert "Read-only" in says(subscriber, "storage")
        remount(small_disk, "rw")
        until(lambda: says(subscriber, "storage") == "ok", "the recovery in health", 60)
        assert daemon.terminate() == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    all_published(subscriber, "motor")
    nothing_is_missing(subscriber, "motor")
    equations_hold(subscriber)
    assert (small_disk / "outbox.db").exists()
    assert "Traceback" not in daemon.log


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)
    assert os.access(folder, os.W_OK) == (mode == "rw")
