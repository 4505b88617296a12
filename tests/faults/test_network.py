"""The real daemon behind a network that refuses, swallows, tears, dawdles or falls silent: inference does not notice, nothing
is lost, and SIGTERM in the middle of it ends the daemon in time.

Short by default; ``make faults`` runs every fault at full length.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber
from tests.e2e.conftest import picture_pipeline, sensor_pipeline
from tests.faults.faultproxy import Fault, FaultProxy
from tests.faults.witnessed import FULL, LEAST_RATE, all_published, equations_hold, nothing_is_missing, rate, wait

QUICK = {"ack_timeout_s": 1.0, "connect_timeout_s": 1.0, "keepalive_s": 5, "last_retry_s": 0.5}
EVERY = [fault for fault in Fault if fault is not Fault.NONE]
OUTAGE_S = 15.0 if FULL else 0.8
SHUT_DOWN_S = 25.0  # the drain takes at most 10 s, the goodbye 2 s, threads that hang 5 s each


def test_every_fault_of_the_network_in_turn(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                            tmp_path: Path) -> None:
    """One daemon outlives all of them: frames go on at the same rate, all results come, in order, and the equations hold."""
    pipelines = {"door": picture_pipeline(models, fps=30), "motor": sensor_pipeline(models)}
    spans: dict[str, tuple[float, float]] = {}
    with FaultProxy(broker.port) as proxy, DaemonProcess(tmp_path, configuration(proxy.port, pipelines, sink=QUICK)) as daemon:
        until(lambda: subscriber.health and subscriber.count("door") > 10, "results")
        spans["none"] = wait(OUTAGE_S)
        for fault in EVERY:
            proxy.fault = fault
            spans[fault.name] = wait(OUTAGE_S)
            proxy.fault = Fault.NONE
            seen = len(subscriber.health)
            until(lambda: len(subscriber.health) > seen + 1, f"health after {fault.name}", 30)  # noqa: B023
            all_published(subscriber, "door")
        assert daemon.terminate(SHUT_DOWN_S) == 0, daemon.log
    for name in pipelines:
        all_published(subscriber, name)
        nothing_is_missing(subscriber, name)
        rates = {fault: rate(subscriber, name, *span) for fault, span in spans.items()}
        print(f"{name}: share of the undisturbed rate:", ", ".join(f"{f} {r / rates['none']:.3f}" for f, r in rates.items()))
        assert min(rates.values()) > LEAST_RATE * rates["none"], rates
    equations_hold(subscriber)
    assert subscriber.health[-1]["sink"]["reconnects"] >= 3
    assert subscriber.health[-1]["sink"]["crashes"] == 0
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("fault", EVERY if FULL else [Fault.REFUSE, Fault.NO_PUBACK, Fault.HALF_OPEN],
                         ids=lambda fault: fault.name.lower())
def test_sigterm_in_an_outage_ends_in_time_and_costs_nothing(fault: Fault, broker: Broker, subscriber: Subscriber,
                                                             models: dict[str, str], tmp_path: Path) -> None:
    """Exit code 0 while the network does not work; the next boot sends what the outbox kept."""
    config = {"motor": sensor_pipeline(models)}
    with FaultProxy(broker.port) as proxy, DaemonProcess(tmp_path, configuration(proxy.port, config, sink=QUICK)) as daemon:
        until(lambda: subscriber.count("motor") > 10, "results")
        proxy.fault = fault
        time.sleep(0.5)
        asked = time.monotonic()
        assert daemon.terminate(SHUT_DOWN_S) == 0, daemon.log
        print(f"{fault.name}: ended {time.monotonic() - asked:.2f} s after SIGTERM")
        proxy.fault = Fault.NONE
        daemon.start()
        until(lambda: len(subscriber.sequences("motor")) == 2, "results of the next boot")
        assert daemon.terminate(SHUT_DOWN_S) == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    all_published(subscriber, "motor")
    nothing_is_missing(subscriber, "motor")
    outbox = subscriber.health[-1]["sink"]["outbox"]
    assert not outbox["dropped"], outbox
    equations_hold(subscriber)
