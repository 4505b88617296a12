"""No memory is left on the machine, as far as a running daemon can see."""

from __future__ import annotations

import resource
from pathlib import Path

from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber
from tests.e2e.conftest import picture_pipeline, sensor_pipeline
from tests.faults.faultproxy import Fault, FaultProxy
from tests.faults.witnessed import FULL, LEAST_RATE, all_published, equations_hold, nothing_is_missing, wait

SPAN_S = 10.0 if FULL else 1.0


def test_a_daemon_that_gets_not_a_page_more_goes_on(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                    tmp_path: Path) -> None:
    """Its address space is frozen while it runs: frames go on, results and health come, an outage of the broker is outlived,
    and SIGTERM ends it with 0. (The kernel's OOM killer is another matter: it looks like SIGKILL.)"""
    pipelines = {"door": picture_pipeline(models), "motor": sensor_pipeline(models)}
    with FaultProxy(broker.port) as proxy, DaemonProcess(tmp_path, configuration(proxy.port, pipelines)) as daemon:
        until(lambda: subscriber.health and min(map(subscriber.count, pipelines)) > 20, "results")
        before = results_a_second(subscriber)
        frozen = pages(daemon.process.pid) * resource.getpagesize()
        resource.prlimit(daemon.process.pid, resource.RLIMIT_AS, (frozen, frozen))
        during = results_a_second(subscriber)
        proxy.fault = Fault.REFUSE
        wait(SPAN_S)
        proxy.fault = Fault.NONE
        told = len(subscriber.health)
        until(lambda: len(subscriber.health) > told + 2, "health after the outage", 30)
        assert daemon.terminate() == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    print(f"{before:.1f} results a second before, {during:.1f} with frozen memory, ratio {during / before:.3f}")
    assert during > LEAST_RATE * before
    for name in pipelines:
        all_published(subscriber, name)
        nothing_is_missing(subscriber, name)
    equations_hold(subscriber)
    assert "Traceback" not in daemon.log


def pages(process: int) -> int:
    """Of its address space now."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[0])


def results_a_second(subscriber: Subscriber) -> float:
    seen = len(subscriber.results)
    begin, end = wait(SPAN_S)
    return (len(subscriber.results) - seen) / (end - begin)
