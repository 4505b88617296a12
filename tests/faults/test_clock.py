"""The clock jumps, as on a board without one that finds the time at last, or loses it: only time stamps change."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber
from tests.e2e.conftest import sensor_pipeline
from tests.faults.witnessed import FULL, LEAST_RATE, all_published, equations_hold, nothing_is_missing, wait

SPAN_S = 10.0 if FULL else 1.0
JUMPS_S = (3600, -3600, 86400, -86400) if FULL else (3600, -86400)
LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")


class Clock:
    """CLOCK_REALTIME of a process, as far beside the true one as ``jump`` says; CLOCK_MONOTONIC is left alone."""

    def __init__(self, folder: Path) -> None:
        found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
        if not found:
            pytest.skip("a clock that jumps needs libfaketime: apt install faketime")
        self._file = folder / "clock"
        self.jump(0)
        self.environment = {"LD_PRELOAD": str(found[0]), "FAKETIME_TIMESTAMP_FILE": str(self._file), "FAKETIME_NO_CACHE": "1",
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def jump(self, seconds: int) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._file)


def test_jumps_of_the_clock_change_nothing_but_time_stamps(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                           tmp_path: Path) -> None:
    """An hour and a day, forwards and backwards: results and health come at the same rate over the same connection, none is
    taken for one that waited, latencies stay what they were, and nothing is missing."""
    clock = Clock(tmp_path)
    with DaemonProcess(tmp_path, configuration(broker.port, {"motor": sensor_pipeline(models)}), clock.environment) as daemon:
        until(lambda: subscriber.health and subscriber.count("motor") > 10, "results")
        rates = {0: results_a_second(subscriber)}
        before = len(subscriber.results)
        for jump in JUMPS_S:
            clock.jump(jump)
            seen = len(subscriber.results)
            until(lambda: any(abs(offset(result) - jump) < 60 for result in subscriber.results[seen:]), "the jump")  # noqa: B023
            rates[jump] = results_a_second(subscriber)
        assert daemon.terminate() == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    print("results a second after a jump of:", ", ".join(f"{jump:+d} s {rate:.1f}" for jump, rate in rates.items()))
    if FULL:  # else the machine is busy with other tests
        assert min(rates.values()) > LEAST_RATE * rates[0]
    waited = [result for result in subscriber.results[before:] if result.get("replayed")]
    assert len(waited) <= (0 if FULL else len(subscriber.results[before:]) // 4)  # a busy disk may hold some up
    assert all(0 <= result["latency_ms"] < 5000 for result in subscriber.results)
    assert all(0 <= health["uptime_s"] < 300 and health["pipelines"]["motor"]["rate"] >= 0 for health in subscriber.health)
    assert subscriber.health[-1]["sink"]["reconnects"] == 0
    all_published(subscriber, "motor")
    nothing_is_missing(subscriber, "motor")
    equations_hold(subscriber)
    assert "Traceback" not in daemon.log


def results_a_second(subscriber: Subscriber) -> float:
    """By arrival: time stamps are of no use here. Health comes all the while."""
    seen, told, begin = len(subscriber.results), len(subscriber.health), time.monotonic()
    wait(SPAN_S)
    until(lambda: len(subscriber.health) > told and len(subscriber.results) > seen + 5, "health and results")
    return (len(subscriber.results) - seen) / (time.monotonic() - begin)


def offset(result: dict[str, str]) -> float:
    """How far the time stamp of a result that has just come is from the true time, in seconds."""
    stamp = datetime.fromisoformat(result["ts"].replace("Z", "+00:00"))
    return (stamp - datetime.now(stamp.tzinfo)).total_seconds()
