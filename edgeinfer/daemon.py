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
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from edgeinfer import notify, vitals
from edgeinfer.assembly import Assembly, Group
from edgeinfer.config import Config, load
from edgeinfer.description import described, device
from edgeinfer.discovery import Described, Device
from edgeinfer.errors import EdgeinferError, StorageError, UnavailableError, UsageError
from edgeinfer.health import Health, summary
from edgeinfer.introductions import Introductions
from edgeinfer.log import log
from edgeinfer.model.trial import Verdict
from edgeinfer.pipeline import Pipeline
from edgeinfer.plan import Plan, bill_of, make_plans, try_models
from edgeinfer.preparation import Preparation, Prepared
from edgeinfer.registry import closest
from edgeinfer.remote import Remote
from edgeinfer.settings import PipelineSettings, Settings
from edgeinfer.settlement import settle, unblamed
from edgeinfer.sinks import Sink
from edgeinfer.standing import Standing
from edgeinfer.update import Running, Updates

__all__ = ["Daemon"]

_TRIM_AFTER_S = 10.0  # at the latest: a camera that is not there is not waited for
_DRAIN_S = 10.0
_NONE: Mapping[str, str] = MappingProxyType({})


class Daemon:
    """One configuration, run until a signal or the end of every replay. The main thread calls all but ``request_stop``."""

    def __init__(self, path: Path, on_start: Callable[[Daemon], None] | None = None) -> None:
        self.boot = secrets.token_hex(6)
        self.sink: Sink
        self.running: Running
        self.updates: Updates
        self._path = path
        self._on_start = on_start
        self._wake = threading.Event()
        self._stopping = False
        self._reloading = False
        self._preparation: Preparation | None = None
        self._progress: tuple[int, ...] = ()
        self._trimmed = False
        self._health = Health(self.boot)
        self._standing = Standing()
        self._introductions = Introductions()
        self._sink_is_of: tuple[Any, ...] = ()

    @property
    def config(self) -> Config:
        return self.running.config

    @property
    def assembly(self) -> Assembly:
        return self.running.assembly

    def run(self) -> None:
        """Everything, to the end. Raises EdgeinferError from set-up; after READY only a hung thread is an error."""
        self._catch_signals()
        config = load(self._path)
        self._settings = Settings(config.state_folder)
        if self._settings.damage:
            log.warning("settings: %s", self._settings.damage)
        with unblamed(config):
            left = settle(config, self._settings)
            plans = make_plans(config, self._settings.thresholds())
            verdicts, resident = try_models(config, plans), vitals.pss_bytes()
            self.bill = bill_of(config, plans, verdicts, resident)
            self._start_sink(config)
        try:
            self.running = Running(config, Assembly(config, plans, self.sink, self.boot, {}), verdicts, resident)
            self._begin(left=left)
            notify.ready()
            if self._on_start is not None:
                self._on_start(self)
            self._ticks()
        finally:
            notify.stopping()
            self._shut_down()

    def _begin(self, since: Updates | None = None, left: Mapping[str, str] = _NONE) -> None:
        """Start what was assembled, as it was set."""
        for pipeline in self.assembly.pipelines:
            if not self._settings.of(pipeline.name).enabled:
                pipeline.capture.pause()
        self.updates = Updates(self.running, self._settings, self._exchange_models, since, left)
        self._device = device(self.config)
        self._remote.desks = self.assembly.desks
        self._introductions.refresh(self.assembly.lanes, self.config.state_folder)
        self.assembly.start()

    def request_stop(self) -> None:
        """Any thread."""
        self._stopping = True
        self._wake.set()

    @staticmethod
    def _make_sink(config: Config) -> Sink:
        sink: Sink = config.sink.make(f"edgeinfer/{config.node}", config.outbox)
        return sink

    def _start_sink(self, config: Config) -> None:
        self._sink_is_of = _of_sink(config)
        self.sink = self._make_sink(config)
        self._remote = Remote(config.commands, config.home_assistant, config.node, config.state_folder, self._wake.set)
        self._remote.attach(self.sink, config.request_topics)
        self.sink.start()

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
        while not (self._stopping or self.assembly.finished or self.assembly.died):
            now = time.monotonic()
            self._reload()
            self._feed_watchdog()
            self.assembly.keep_schedules(time.time_ns())
            self._introductions.refresh(self.assembly.lanes, self.config.state_folder)
            if self._preparation is None:  # what changes models and settings waits until the new configuration has them
                if self.updates.tick(now):
                    vitals.trim_heap()
                self._remote.tick(self, self.sink, now)
            self._standing.publish(self.config.node, self.assembly, self.updates, self.config.store, self.sink)
            if now >= next_health:
                self.publish_health()
                next_health = now + self.config.health.interval_s
            if not self._trimmed and not self.updates.preparing and self._preparation is None and self._is_warm(now):
                self._trim()
            self._wake.wait(min(interval_s, max(next_health - time.monotonic(), 0.0)))
            self._wake.clear()
        if self.assembly.died:  # a supervisor starts the daemon anew; without inference it would be of no use
            raise UnavailableError("inference", "a thread that lives as long as the daemon", f"it died of {self.assembly.died}")

    def _feed_watchdog(self) -> None:
        """Only when every inference thread has moved since the last time: the broker and the camera do not matter to it."""
        progress = self.assembly.progress
        if len(progress) != len(self._progress) or all(map(operator.gt, progress, self._progress)):
            self._progress = progress
            notify.watchdog()

    def _is_warm(self, now_s: float) -> bool:
        every = all(pipeline.inferred for pipeline in self.assembly.pipelines)
        return every or now_s - self._health.started_s > _TRIM_AFTER_S

    def _trim(self) -> None:
        """Once, after the first frames: what set-up needed and the frame loop does not goes back to the system. Nothing may be
        loaded meanwhile (see ``vitals.trim``)."""
        self._trimmed = True
        gc.collect()
        gc.freeze()
        vitals.trim()

    def _reload(self) -> None:
        """The new configuration, checked beside inference before the old one is let go; the old one is taken up again where it
        fails. A signal that comes meanwhile is obeyed afterwards."""
        if self._preparation is None and self._reloading:
            self._reloading = False
            notify.reloading()
            thresholds, resident = self._settings.thresholds(), self.running.resident
            self._preparation = Preparation(lambda: self._prepared(thresholds, resident), self._wake.set)
        if self._preparation is None or not self._preparation.ended:
            return
        try:
            prepared = self._preparation.result()
        except EdgeinferError as error:
            log.error("reload: the configuration has faults, the old one stays\n%s", error)
        else:
            self._take_up(prepared.config, prepared.plans, prepared.verdicts)
            self.bill = prepared.bill if self.config is prepared.config else self.bill
        self._preparation = None
        notify.ready()

    def _prepared(self, thresholds: Mapping[str, float], resident: int) -> Prepared:
        """The reload's thread."""
        config = load(self._path)
        plans = make_plans(config, thresholds)
        self._make_sink(config).check()
        verdicts = try_models(config, plans)
        return Prepared(config, plans, verdicts, bill_of(config, plans, verdicts, resident))

    def _take_up(self, config: Config, plans: list[Plan], verdicts: dict[str, Verdict]) -> None:
        before = self.running
        self.updates.stop()
        try:
            self._exchange(config, plans)
        except EdgeinferError as error:
            log.error("reload: the new configuration cannot run, the old one is taken up again\n%s", error)
            self._exchange(before.config, make_plans(before.config, self._settings.thresholds()))
        else:
            self.running = Running(config, self.assembly, verdicts, before.resident)
            if config.state_folder != before.config.state_folder:
                self._settings = Settings(config.state_folder)
            log.info("reload: %d pipelines run", len(plans))
        self._begin(self.updates)

    def _exchange_models(self, plans: list[Plan]) -> None:
        """The same configuration with these plans: other windows for a new model."""
        self._exchange(self.config, plans)
        for pipeline in self.assembly.pipelines:
            if not self._settings.of(pipeline.name).enabled:
                pipeline.capture.pause()
        self.assembly.start()

    def _exchange(self, config: Config, plans: list[Plan]) -> None:
        """Stop what runs and assemble ``config``; the sink and its outbox stay where they are the same. The watchdog, whom nothing
        feeds meanwhile, hears of each step that came to its end."""
        self.assembly.stop()
        notify.watchdog()
        sequences, identities = self.assembly.sequences(), self.assembly.identities()
        if _of_sink(config) != self._sink_is_of:
            self.sink.drain(_DRAIN_S)
            self.sink.stop()
            self._start_sink(config)
            notify.watchdog()
        self.running.assembly = Assembly(config, plans, self.sink, self.boot, sequences, identities)
        notify.watchdog()
        self._remote.desks = self.assembly.desks
        self._progress = ()

    def device(self) -> Device:
        """What Home Assistant is told of this device."""
        return self._device

    def described(self) -> tuple[Described, ...]:
        """What Home Assistant is told of each pipeline, as it runs now."""
        return described(self.assembly)

    def set_enabled(self, pipeline: str, enabled: bool) -> None:
        """Open or close a pipeline's source; that holds after a restart, too. Raises UsageError for one that is not there."""
        _, found, _ = self._found(pipeline)
        if enabled:
            found.capture.resume()
        else:
            found.capture.pause()
        self._keep(pipeline, msgspec.structs.replace(self._settings.of(pipeline), enabled=enabled))

    def set_threshold(self, pipeline: str, threshold: float) -> None:
        """Another threshold from the next frame on; that holds after a restart, too. Raises UsageError for a pipeline that is
        not there, ConfigError for a threshold below the bundle's."""
        group, found, _ = self._found(pipeline)
        group.set_threshold(found, threshold)
        self._keep(pipeline, msgspec.structs.replace(self._settings.of(pipeline), threshold=threshold))

    def install_update(self, pipeline: str) -> None:
        """Switch to the bundle that waits for this pipeline's model; it is taken up at the next tick. Raises UsageError where
        there is no such pipeline or its model is no installed one, and what ``Store.promote`` raises."""
        model = self._found(pipeline)[2].config.model
        if not model:
            raise UsageError(f"pipelines.{pipeline}", "an installed model (model: NAME)", "a bundle named by its path")
        self.config.store.promote(model)
        self._wake.set()

    def _found(self, pipeline: str) -> tuple[Group, Pipeline, Plan]:
        try:
            return self.assembly.found(pipeline)
        except KeyError as error:
            names = [one.name for one in self.assembly.pipelines]
            raise UsageError("pipeline", "one of " + ", ".join(names), repr(pipeline)[:80], closest(pipeline, names)) from error

    def _keep(self, pipeline: str, settings: PipelineSettings) -> None:
        try:
            self._settings.set(pipeline, settings)
        except StorageError as error:
            log.warning("set, but not for longer than this run: %s", error)
        self._wake.set()

    def publish_health(self) -> None:
        """The retained health document, to the sink and to whoever looks at this machine."""
        document = self.health()
        raw = msgspec.json.encode(document)
        self.sink.set_retained(f"edgeinfer/{self.config.node}/health", raw, 3 * self.config.health.interval_s + 30)
        self._health.keep(raw)
        notify.status(summary(document))

    def health(self) -> dict[str, Any]:
        """What the daemon says of itself; documented in docs/topics-and-payloads.md."""
        document = self._health.document(self.config, self.assembly, self.updates, self.bill, self.sink)
        return {**document, "commands": self._remote.state()}

    def _shut_down(self) -> None:
        """Stop capturing, then commit and send what was made. A thread that hangs is left to die with the process."""
        if hasattr(self, "updates"):
            if self._stopping or (self.assembly.finished and not self.assembly.died):
                self.updates.end()
            if not self.assembly.stop():
                log.error("a thread hangs in a camera driver or a model and is left behind")
            self.publish_health()
        if not self.sink.drain(_DRAIN_S):
            log.warning("stopped before everything was acknowledged; the outbox keeps the rest and sends it next time")
        self.sink.stop()


def _of_sink(config: Config) -> tuple[Any, ...]:
    """What a sink is made of, and what it listens to: it stays over a reload where this is the same."""
    return (config.sink, config.outbox, config.node, config.commands, config.home_assistant, config.state_folder,
            config.request_topics)
