"""The daemon's life: set up, READY, a tick at least each second (watchdog, health, trim), drain, exit.

    SIGTERM, SIGINT   stop capturing, commit and send what was made, say goodbye, exit 0
    SIGHUP            read the configuration again; where it has faults, log them and go on with the old one
"""

from __future__ import annotations

import gc
import operator
import secrets
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edgeinfer import __version__, notify, vitals
from edgeinfer.assembly import Assembly, Plan, bill_of, make_plans, try_models
from edgeinfer.config import Config, load
from edgeinfer.errors import EdgeinferError
from edgeinfer.log import log
from edgeinfer.model.memory import Bill
from edgeinfer.pipeline import Pipeline
from edgeinfer.sinks import Sink

__all__ = ["Daemon"]

_TRIM_AFTER_S = 10.0  # at the latest: a camera that is not there is not waited for
_DRAIN_S = 10.0


class Daemon:
    """One configuration, run until a signal or the end of every replay. The main thread calls all but ``request_stop``."""

    def __init__(self, path: Path, on_start: Callable[[Daemon], None] | None = None) -> None:
        self.boot = secrets.token_hex(6)
        self.sink: Sink
        self.assembly: Assembly
        self._path = path
        self._on_start = on_start
        self._wake = threading.Event()
        self._stopping = False
        self._reloading = False
        self._started = time.monotonic()
        self._progress: tuple[int, ...] = ()
        self._trimmed = False
        self._inferred: dict[str, tuple[int, float]] = {}
        self._cpu = vitals.CpuShare()

    def run(self) -> None:
        """Everything, to the end. Raises EdgeinferError from set-up; after READY only a hung thread is an error."""
        self._catch_signals()
        self.config = load(self._path)
        plans = make_plans(self.config)
        verdicts = try_models(self.config, plans)
        self.bill = bill_of(self.config, plans, verdicts, vitals.pss_bytes())
        self.sink = self._make_sink(self.config)
        self._sink_is_of = self.config.sink, self.config.outbox, self.config.node
        self.sink.start()
        try:
            self.assembly = Assembly(self.config, plans, self.sink, self.boot, {})
            self.assembly.start()
            notify.ready()
            if self._on_start is not None:
                self._on_start(self)
            self._ticks()
        finally:
            notify.stopping()
            self._shut_down()

    def request_stop(self) -> None:
        """Any thread."""
        self._stopping = True
        self._wake.set()

    @staticmethod
    def _make_sink(config: Config) -> Sink:
        sink: Sink = config.sink.make(f"edgeinfer/{config.node}", config.outbox)
        return sink

    def _catch_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def reload(_number: int, _frame: object) -> None:
            self._reloading = True
            self._wake.set()

        def stop(_number: int, _frame: object) -> None:
            self.request_stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)

    def _ticks(self) -> None:
        interval_s = min(1.0, (notify.watchdog_interval() or 4.0) / 4)
        next_health = 0.0
        while not self._stopping and not self.assembly.finished:
            now = time.monotonic()
            if self._reloading:
                self._reload()
            self._feed_watchdog()
            if now >= next_health:
                self.publish_health()
                next_health = now + self.config.health.interval_s
            if not self._trimmed and (self._all_infer() or now - self._started > _TRIM_AFTER_S):
                self._trim()
            self._wake.wait(interval_s)
            self._wake.clear()

    def _feed_watchdog(self) -> None:
        """Only when every inference thread has moved since the last time: the broker and the camera do not matter to it."""
        progress = self.assembly.progress
        if len(progress) != len(self._progress) or all(map(operator.gt, progress, self._progress)):
            self._progress = progress
            notify.watchdog()

    def _all_infer(self) -> bool:
        return all(pipeline.inferred for pipeline in self.assembly.pipelines)

    def _trim(self) -> None:
        """Once, after the first frames: what set-up needed and the frame loop does not goes back to the system."""
        self._trimmed = True
        gc.collect()
        gc.freeze()
        vitals.trim()

    def _reload(self) -> None:
        """The new configuration, checked before the old one is let go; the old one is taken up again where it fails."""
        self._reloading = False
        notify.reloading()
        try:
            config = load(self._path)
            plans = make_plans(config)
            self._make_sink(config).check()
            bill = bill_of(config, plans, try_models(config, plans), vitals.pss_bytes())
        except EdgeinferError as error:
            log.error("reload: the configuration has faults, the old one stays\n%s", error)
        else:
            self._take_up(config, plans, bill)
        notify.ready()

    def _take_up(self, config: Config, plans: list[Plan], bill: Bill) -> None:
        sequences = self.assembly.sequences()
        try:
            self._exchange(config, plans, sequences)
        except EdgeinferError as error:
            log.error("reload: the new configuration cannot run, the old one is taken up again\n%s", error)
            self._exchange(self.config, make_plans(self.config), sequences)
        else:
            self.config, self.bill = config, bill
            log.info("reload: %d pipelines run", len(plans))

    def _exchange(self, config: Config, plans: list[Plan], sequences: dict[str, int]) -> None:
        """Stop what runs and start ``config``; the sink and its outbox stay where they are the same."""
        self.assembly.stop()
        wanted = (config.sink, config.outbox, config.node)
        if wanted != self._sink_is_of:
            self.sink.drain(_DRAIN_S)
            self.sink.stop()
            self._sink_is_of = wanted
            self.sink = self._make_sink(config)
            self.sink.start()
        self.assembly = Assembly(config, plans, self.sink, self.boot, sequences)
        self._progress = ()
        self.assembly.start()

    def publish_health(self) -> None:
        """The retained health document, to the sink."""
        document = self.health()
        self.sink.set_retained(f"edgeinfer/{self.config.node}/health", msgspec.json.encode(document))
        rates = ", ".join(f"{name} {figures['rate']:g}/s" for name, figures in document["pipelines"].items())
        notify.status(f"{rates}; {document['process']['pss_bytes'] / 1e6:.0f} MB")

    def health(self) -> dict[str, Any]:
        """What the daemon says of itself; documented in docs/topics-and-payloads.md."""
        return {
            "v": 1, "node": self.config.node, "boot": self.boot, "version": __version__,
            "uptime_s": round(time.monotonic() - self._started, 1),
            "process": {"pss_bytes": vitals.pss_bytes(), "bill_bytes": self.bill.total,
                        "cpu_share": round(self._cpu.share(), 4),
                        "temperature_c": vitals.temperature_c(), "threads": vitals.threads(),
                        "descriptors": vitals.descriptors()},
            "models": self.assembly.models(),
            "pipelines": {pipeline.name: self._pipeline_health(pipeline) for pipeline in self.assembly.pipelines},
            "sink": self.sink.state(),
        }

    def _pipeline_health(self, pipeline: Pipeline) -> dict[str, Any]:
        figures = pipeline.figures()
        now = time.monotonic()
        before, then = self._inferred.get(pipeline.name, (0, self._started))
        self._inferred[pipeline.name] = (figures["inferred"], now)
        rate = max(figures["inferred"] - before, 0) / max(now - then, 1e-9)
        return {"rate": round(rate, 2), **figures}

    def _shut_down(self) -> None:
        """Stop capturing, then commit and send what was made. A thread that hangs is left to die with the process."""
        assembly = getattr(self, "assembly", None)
        if assembly is not None:
            if not assembly.stop():
                log.error("a thread hangs in a camera driver or a model and is left behind")
            self.publish_health()
        if not self.sink.drain(_DRAIN_S):
            log.warning("stopped before everything was acknowledged; the outbox keeps the rest and sends it next time")
        self.sink.stop()
