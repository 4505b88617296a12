"""Asking over MQTT 5 on loopback: from publishing a transaction to its answer, one after the other and twenty a second."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

from tests.broker import Broker
from tests.bundles import configuration
from tests.conftest import ROOT
from tests.daemon import DaemonProcess
from tests.transactions import Asking, transactions

TOPIC = "edgeinfer/test/fraud/request"


def requests(_zoo: Path, folder: Path) -> None:
    """mosquitto, a daemon in a process of its own, an MQTT client in this one. As it comes, mosquitto lets a small packet wait
    until TCP has acknowledged the one before, which the other end delays by 40 ms."""
    bundle = transactions(folder)
    config = configuration(0, {"fraud": {"bundle": str(bundle.folder), "source": {"kind": "requests", "per_second": 10000},
                                         "gate": {"min_score": 2}}})  # answers only: no result that must be on disk first
    for name, settings, count in (("set_tcp_nodelay true", "set_tcp_nodelay true", 1000), ("mosquitto as it comes", "", 100)):
        home = folder / name
        with Broker(home, settings=settings) as broker:
            config["sink"]["port"] = broker.port
            with DaemonProcess(home, config, {"PYTHONPATH": str(ROOT)}) as daemon, Asking(broker.port) as asking:
                asking.ready(TOPIC)
                for pace, asked, gap_s in (("one after the other", count, 0.0), ("20 a second", count // 5, 0.05)):
                    took = [_ask(asking, number, gap_s) for number in range(asked)]
                    quantiles = statistics.quantiles(took, n=100)
                    print(f"{name}, {pace}: p50 {statistics.median(took):.2f} ms, p95 {quantiles[94]:.2f} ms, "
                          f"p99 {quantiles[98]:.2f} ms, longest {max(took):.1f} ms, of {asked}")
                daemon.terminate()


def _ask(asking: Asking, number: int, gap_s: float) -> float:
    """Milliseconds."""
    time.sleep(gap_s)
    started = time.perf_counter()
    answer = asking.ask(TOPIC, json.dumps({"amount": number, "country": "DE", "night": False}).encode())
    took = (time.perf_counter() - started) * 1e3
    assert answer["status"] == "ok", answer
    return took
