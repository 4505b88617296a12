"""Exchanging an installed model under 30 frames a second: the longest gap between two results, frames lost, memory."""

from __future__ import annotations

import itertools
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from edgeinfer.store import Store
from tests.broker import Broker, until
from tests.bundles import configuration, deploy, variant
from tests.conftest import ROOT
from tests.daemon import DaemonProcess, Subscriber
from tests.zoo_bundles import mobilenet_onnx, mobilenet_tflite

SWAPS = 12
SECONDS = 8  # without an exchange, to compare with


def swap(zoo: Path, folder: Path) -> None:
    """MobileNet v2 INT8 on LiteRT and on ONNX Runtime, 640x480."""
    for name, make in (("LiteRT", mobilenet_tflite), ("ONNX Runtime", mobilenet_onnx)):
        home = folder / name.replace(" ", "")
        (home / "state").mkdir(parents=True)
        store = Store(home / "state/models")
        first = make(zoo, home / "first")
        folders = [deploy(store, first), deploy(store, variant(first, home / "second", "2"))]
        source = {"kind": "synthetic", "width": 640, "height": 480, "fps": 30}
        with Broker(home / "broker") as broker:
            subscriber = Subscriber(broker.port).ready()
            config = configuration(broker.port, {"door": {"model": first.manifest.name, "source": source}},
                                   updates={"probation_s": 0})
            with DaemonProcess(home, config, {"WATCHDOG_USEC": "2000000", "PYTHONPATH": str(ROOT)}) as daemon:
                _measure(name, daemon, subscriber, store, folders)
            subscriber.close()


def _measure(name: str, daemon: DaemonProcess, subscriber: Subscriber, store: Store, folders: list[Path]) -> None:
    until(lambda: subscriber.count("door") > 90, "results", 60)
    seen = len(subscriber.results)
    time.sleep(SECONDS)
    quiet = _gaps(subscriber.results[seen:])
    before = _process(subscriber, 0)
    seen = len(subscriber.results)
    for number in range(SWAPS):
        store.switch(folders[0].parent.name, folders[number % 2])
        until(lambda number=number: _process(subscriber, number + 1) is not None, f"exchange {number + 1}", 60)
        time.sleep(0.5)
    busy = _gaps(subscriber.results[seen:])
    time.sleep(3)  # what loading needed is given back
    after = subscriber.health[-1]["process"]
    daemon.terminate()
    figures = subscriber.health[-1]["pipelines"]["door"]
    print(f"{name}: longest gap {max(busy):.0f} ms over {SWAPS} exchanges, {max(quiet):.0f} ms without (a frame: 33 ms); "
          f"{figures['skipped']['overwritten']} of {figures['captured']} frames overwritten; PSS "
          f"{before['pss_bytes'] / 1e6:.1f} MB before, {after['pss_bytes'] / 1e6:.1f} MB after")


def _process(subscriber: Subscriber, swapped: int) -> Any:
    health = subscriber.health[-1] if subscriber.health else None
    return health["process"] if health and health["updates"]["swapped"] >= swapped else None


def _gaps(results: list[dict[str, Any]]) -> list[float]:
    """Milliseconds between the ends of two results' ways."""
    ends = [datetime.fromisoformat(one["ts"].replace("Z", "+00:00")).timestamp() * 1e3 + one["latency_ms"] for one in results]
    return [later - earlier for earlier, later in itertools.pairwise(ends)]
