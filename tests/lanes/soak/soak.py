"""An hour (or what EDGEINFER_SOAK_S says) of a real daemon behind a network that fails in every way, at random but seeded."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.broker import Broker, free_port, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess
from tests.e2e.conftest import picture_pipeline, sensor_pipeline
from tests.faults.faultproxy import Fault, FaultProxy
from tests.lanes.soak.alone import alone, mapped
from tests.lanes.soak.samples import Sample, Sampler
from tests.lanes.soak.witness import Witness

__all__ = ["PIPELINES", "Soak"]

PIPELINES = ("camera", "sensor")
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]
SINK = {"ack_timeout_s": 3.0, "connect_timeout_s": 2.0, "keepalive_s": 5, "last_retry_s": 2.0}
CUT, BROKER = "cut", "broker killed"


class Soak:
    """``run`` it once; then everything it found is there.

    In the first quarter the daemon is killed again and again, too; then it lives to the end, and its memory is watched.
    """

    def __init__(self, folder: Path, models: dict[str, str], seconds: float, seed: int, table: Path) -> None:
        self.seconds = seconds
        self.disturbances: Counter[str] = Counter()
        self.kills = 0
        self.stored: dict[tuple[str, str], int] = {}  # the highest number on disk after a kill
        self.quiet: list[Sample] = []  # taken when nothing had been disturbed for a while
        self.exit_code: int | None = None
        self.log = ""
        self.calm_from = seconds / 4  # no kills from here on
        self._random = random.Random(seed)
        self._folder = folder
        self._broker = Broker(folder / "broker", settings="max_queued_messages 1000000").start()
        self.witness = Witness(self._broker.port).ready()
        self._proxy = FaultProxy(self._broker.port)
        self._what = ""
        pipelines = {"camera": picture_pipeline(models, fps=15, source={"width": 320, "height": 240}),
                     "sensor": sensor_pipeline(models, rate=160)}
        config = configuration(self._proxy.port, pipelines, sink=SINK, health={"interval_s": 2.0})
        self._daemon = DaemonProcess(folder, config, under=self._rehearse(config))
        self.sampler = Sampler(table, lambda: self._daemon.process.pid, lambda: self._what, 2.0 if seconds > 600 else 0.5)

    def _rehearse(self, config: dict[str, Any]) -> tuple[str, ...]:
        """Run the daemon for a moment to see what it maps; the one of the test maps copies, so that what other processes share
        is no part of its PSS."""
        (self._folder / "rehearsal").mkdir()
        rehearsal = DaemonProcess(self._folder / "rehearsal", {**config, "sink": {**config["sink"], "port": free_port()}})
        until(lambda: "refused" in rehearsal.log, "the rehearsal runs, and has no broker")
        time.sleep(5.0)
        words = alone(self._folder / "own", mapped(rehearsal.process.pid))
        rehearsal.terminate()
        self.alone = bool(words)
        return words

    def run(self) -> None:
        """Blocks for the whole time, and then until everything has arrived."""
        try:
            next_word = 60.0
            while self.sampler.seconds < self.seconds:
                self._rest()
                self._disturb()
                if self.sampler.seconds > next_word:
                    next_word += 60
                    print(f"{self.sampler.seconds:.0f} s: {self.witness.received} results, {self.kills} kills, "
                          f"{sum(self.disturbances.values())} disturbances", flush=True)
            told = self.witness.documents
            until(lambda: self.witness.last_status == "online" and self.witness.documents > told + 2, "health after it all", 90)
            self.exit_code = self._daemon.terminate(60)
            until(lambda: self.witness.last_status == "offline", "the goodbye")
            time.sleep(1.0)
        finally:
            self._close()

    def _close(self) -> None:
        self.sampler.close()
        self._proxy.close()
        if self._daemon.process.poll() is None:
            self._daemon.kill()
        self.log = self._daemon.log
        self.witness.close()
        self._broker.stop()

    def _rest(self) -> None:
        """Until all is quiet: the sink has sent what had waited."""
        time.sleep(self._random.uniform(2.0, 7.0))
        sample = self.sampler.take()
        if sample is not None and self.sampler.seconds > self.calm_from:
            self.quiet.append(sample)

    def _disturb(self) -> None:
        kind = self._random.choice([*FAULTS, CUT, BROKER])
        self._what = kind.name.lower() if isinstance(kind, Fault) else kind
        self.disturbances[self._what] += 1
        if kind is BROKER:
            self._kill_the_broker()
        elif isinstance(kind, Fault):
            self._proxy.fault = kind
            self._pass(self._random.uniform(0.5, 6.0))
        else:
            self._proxy.cut()
            self._pass(self._random.uniform(0.0, 0.5))
        self._proxy.fault = Fault.NONE
        self._what = ""

    def _kill_the_broker(self) -> None:
        """What mosquitto has acknowledged and not yet given to the witness would die with it, which is no fault of the daemon:
        the black hole first. The daemon comes back only when the witness is subscribed anew."""
        self._proxy.fault = Fault.BLACK_HOLE
        time.sleep(0.5)
        self._broker.kill()
        self._proxy.fault = Fault.REFUSE
        self._pass(self._random.uniform(0.5, 5.0))
        self._broker.start()
        self.witness.ready()

    def _pass(self, seconds: float) -> None:
        """The time of a fault; in the first part the daemon may be killed in the midst of it."""
        if self.sampler.seconds < self.calm_from and self._random.random() < 0.7:
            first = self._random.uniform(0, seconds)
            time.sleep(first)
            self._kill_the_daemon()
            seconds -= first
        time.sleep(seconds)

    def _kill_the_daemon(self) -> None:
        self._daemon.kill()
        self.kills += 1
        for document in stored(self._folder / "state" / "outbox.db"):
            key = document["boot"], document["pipeline"]
            self.stored[key] = max(self.stored.get(key, 0), document["seq"])
        self._daemon.start()


def stored(database: Path) -> list[dict[str, Any]]:
    """The results in the outbox of a daemon that is dead; its file must be whole."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return []
        return [json.loads(payload) for (payload,) in connection.execute("SELECT payload FROM results")]
