"""Installed models are followed while the daemon runs: another bundle becomes current, and takes over between two frames.

    current changed ▶ read, verify ▶ trial in a child ▶ bill ▶ engine, lanes, warm-up ▶ exchange between two frames ▶ probation
                      └──────────────── on a thread of its own, beside inference ──┘                                  │
    whatever fails: store.rollback, and the one before goes on (or takes over again) ◀───────────────────────────────┘

A daemon that ends without having been asked while a model is on probation may have been ended by it: that is counted at the next
start, in ``settlement``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from edgeinfer.assembly import Assembly, Group, Replacement
from edgeinfer.config import Config
from edgeinfer.errors import ConfigError, DataError, EdgeinferError
from edgeinfer.log import log
from edgeinfer.model.bundle import Bundle, read
from edgeinfer.model.trial import Verdict
from edgeinfer.payload import timestamp
from edgeinfer.plan import Plan, bill_of, make_plan, make_plans, try_models
from edgeinfer.probation import Figures, Probation
from edgeinfer.settings import Settings
from edgeinfer.settlement import kernel_boot, quietly
from edgeinfer.store import Probation as Record

__all__ = ["Running", "Updates"]

_NONE: Mapping[str, str] = MappingProxyType({})
_RETRY_S = 60.0  # after a failure that is not the bundle's: a full disk, a runtime that is being upgraded


class Running(msgspec.Struct):
    """What runs now, as the daemon holds it; a whole exchange puts another assembly into it."""

    config: Config
    assembly: Assembly
    verdicts: dict[str, Verdict]
    resident: int  # bytes, before anything was loaded


class _Follower:
    """One installed model that pipelines name."""

    def __init__(self, name: str, serving: Path) -> None:
        self.name = name
        self.serving = serving
        self.state = "accepted"
        self.reason = ""
        self.watch: Probation | None = None
        self.preparation: _Preparation | None = None
        self.trusted: Path | None = None  # comes back: it needs no probation
        self.refused: Path | None = None  # stays current because the store cannot be written to, or has nothing else
        self.retry_at_s = 0.0


class _Preparation(threading.Thread):
    """Everything about a new bundle that takes its time."""

    def __init__(self, running: Running, name: str, folder: Path, thresholds: Mapping[str, float], watched: bool) -> None:
        super().__init__(name=f"prepare {name}", daemon=True)
        self.folder = folder
        self.error: EdgeinferError | None = None
        self.ready: list[tuple[Group, Replacement]] = []
        self.verdicts: dict[str, Verdict] = {}
        self.plans: list[Plan] = []
        self.whole = False  # the ring or the engines' shares change: everything is stopped and started
        self._running, self._name, self._thresholds, self._watched = running, name, thresholds, watched

    def run(self) -> None:
        try:
            self._prepare()
        except EdgeinferError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001  the outermost place of this thread: the old model goes on
            self.error = DataError(self.folder.name, "a bundle that can be taken up", f"{type(error).__name__}: {error}")
        if self.error is not None:
            for _, replacement in self.ready:
                replacement.engine.close()
            self.ready = []

    def _prepare(self) -> None:
        config, assembly, name = self._running.config, self._running.assembly, self._name
        keys = config.keys()
        groups = [group for group in assembly.groups if group.plans[0].config.model == name]
        old = [plan for group in groups for plan in group.plans]
        made = {plan.name: make_plan(config, plan.name, self.folder, keys, self._thresholds.get(plan.name)) for plan in old}
        seconds = [plan for plan in assembly.plans if plan.name not in made and name in plan.config.models]
        made |= {plan.name: make_plan(config, plan.name, plan.bundle.folder, keys, plan.threshold) for plan in seconds}
        self.plans = list(made.values())
        self.verdicts = try_models(config, self.plans)
        rest = [plan for plan in assembly.plans if plan.name not in made]
        bill_of(config, [*rest, *self.plans], {**self._running.verdicts, **self.verdicts}, self._running.resident)
        shares = [{made[plan.name].engine_key for plan in group.plans} for group in groups]
        self.whole = any(len(keys) > 1 for keys in shares) or not all(made[plan.name].fits_ring_of(plan) for plan in old)
        self.whole |= any(name == then.model for plan in self.plans if (then := plan.config.then) is not None)
        if self._watched:  # before the model is loaded in this process, which it might kill
            digest = next(bundle.digest for plan in self.plans for model, bundle in _installed(plan) if model == name)
            config.store.save_probation(name, Record(digest=digest, begun_wall=time.time(), boot_id=kernel_boot(), clean=False,
                                                     old=_figures(self._running, name)))
        for group in () if self.whole else groups:
            self.ready.append((group, Replacement([made[plan.name] for plan in group.plans])))


class Updates:
    """Follows the installed models of one configuration. The main thread calls ``tick`` at least each second."""

    def __init__(self, running: Running, settings: Settings, take_up: Callable[[list[Plan]], None],
                 since: Updates | None = None, left: Mapping[str, str] = _NONE) -> None:
        """``take_up`` stops everything and starts these plans (raises EdgeinferErrors); ``since``: what followed before a
        reload, whose watches and counts go on; ``left``: what ``settle`` gave up at start, and why."""
        self.counts: dict[str, int] = dict(since.counts) if since is not None else {"swapped": 0, "rejected": 0, "rolled_back": 0}
        self._running, self._settings, self._take_up = running, settings, take_up
        self._store = running.config.store
        self._followers: dict[str, _Follower] = {}
        self.counts["rolled_back"] += len(left)
        for plan in running.assembly.plans:
            for name, bundle in _installed(plan):
                if name not in self._followers:
                    self._follow(name, bundle, since)
        for name, reason in left.items():
            self._followers[name].state, self._followers[name].reason = "rolled back", reason

    def _follow(self, name: str, bundle: Bundle, since: Updates | None) -> None:
        follower = self._followers[name] = _Follower(name, bundle.folder)
        before = since._followers.get(name) if since is not None else None
        if before is not None and before.serving == follower.serving:
            follower.watch, follower.state, follower.reason = before.watch, before.state, before.reason
        elif not self._settings.accepted(name, bundle.digest) and self._store.previous(name) is not None:
            record = quietly(partial(self._store.probation, name))
            old = record.old if record is not None and record.digest == bundle.digest else {}
            self._begin_watch(follower, Probation(self._running.config.updates, old, time.monotonic(), restarted=True))

    def tick(self, now_s: float) -> bool:
        """Look at every installed model once; True when another took over. Raises nothing that a bundle or a disk can cause."""
        swapped = self.counts["swapped"]
        for follower in self._followers.values():
            try:
                self._tick(follower, now_s)
            except EdgeinferError as error:
                log.error("model %s: %s", follower.name, error)
                follower.retry_at_s = now_s + _RETRY_S
                if self._running.assembly.finished:
                    raise  # an exchange that failed both ways: nothing runs any more
        return self.counts["swapped"] != swapped

    @property
    def preparing(self) -> bool:
        """Something is being loaded."""
        return any(follower.preparation is not None for follower in self._followers.values())

    def _tick(self, follower: _Follower, now_s: float) -> None:
        preparation = follower.preparation
        if preparation is not None:
            if not preparation.is_alive():
                follower.preparation = None
                self._finish(follower, preparation, now_s)
            return
        if follower.watch is not None:
            self._judge(follower, follower.watch, now_s)
        wanted = self._wanted(follower)
        if wanted != follower.serving and now_s >= follower.retry_at_s:
            self._running.config.keys()  # a folder of keys that is in disorder is no bundle's fault
            follower.preparation = _Preparation(self._running, follower.name, wanted, self._settings.thresholds(),
                                                self._watched(follower, wanted))
            follower.preparation.start()

    def _wanted(self, follower: _Follower) -> Path:
        current = self._store.current(follower.name)
        if current is None or current == follower.refused:
            return follower.trusted or follower.serving
        follower.refused = None  # the store went back; should it come again, somebody insists
        return current

    def _watched(self, follower: _Follower, folder: Path) -> bool:
        """Not one that passed before: who goes back to it by hand has seen that the other one, though quicker, is wrong."""
        passed = folder == follower.trusted or self._settings.accepted(follower.name, folder.name.partition("-")[2])
        return not passed and self._running.config.updates.probation_s > 0

    def _judge(self, follower: _Follower, watch: Probation, now_s: float) -> None:
        state = watch.judge(_figures(self._running, follower.name), now_s)
        if state == "watching":
            return
        follower.watch = None
        if state == "violated":
            self._go_back(follower, follower.serving, watch.reason, "rolled_back")
        else:
            follower.state = "accepted"
            log.info("model %s: %s passed its probation", follower.name, follower.serving.name)
            self._accept(follower.name, follower.serving)

    def _accept(self, name: str, folder: Path) -> None:
        self._settings.accept(name, read(folder, verify=False).digest)
        self._store.end_probation(name)

    def _finish(self, follower: _Follower, prepared: _Preparation, now_s: float) -> None:
        """What was prepared takes over, or is refused."""
        if prepared.error is not None:
            if not isinstance(prepared.error, DataError | ConfigError):
                raise prepared.error
            self._go_back(follower, prepared.folder, str(prepared.error), "rejected")
            return
        running, before = self._running, follower.serving
        watched = self._watched(follower, prepared.folder)
        old = _figures(running, follower.name)
        if prepared.whole:
            if not self._exchange_whole(follower, prepared):
                return
        elif not all(group.replace(replacement) for group, replacement in prepared.ready):
            log.error("model %s: inference hangs, and the new bundle waits for it", follower.name)
        for group, _ in prepared.ready:
            group.set_thresholds(self._settings.thresholds())  # one may have been set meanwhile
        running.verdicts.update(prepared.verdicts)
        follower.serving, follower.reason = prepared.folder, follower.reason if follower.state == "rolled back" else ""
        self.counts["swapped"] += 1
        log.info("model %s: %s took over from %s%s", follower.name, prepared.folder.name, before.name,
                 " (with a stop: another window, share of engines or second model)" if prepared.whole else " between two frames")
        if watched:
            self._begin_watch(follower, Probation(running.config.updates, old, now_s))
        else:
            follower.state = follower.state if follower.state == "rolled back" else "accepted"
            self._accept(follower.name, prepared.folder)

    def _exchange_whole(self, follower: _Follower, prepared: _Preparation) -> bool:
        """Stop and start everything, since frames come otherwise for the new model. False when that failed."""
        plans = {plan.name: plan for plan in prepared.plans}
        others = [plan for plan in self._running.assembly.plans if plan.name not in plans]
        try:
            self._take_up([*others, *prepared.plans])
        except EdgeinferError as error:
            self._go_back(follower, prepared.folder, str(error), "rejected")
            self._take_up(make_plans(self._running.config, self._settings.thresholds()))
            return False
        return True

    def _begin_watch(self, follower: _Follower, watch: Probation) -> None:
        follower.watch, follower.state, follower.reason = watch, "watching", ""

    def _go_back(self, follower: _Follower, bad: Path, reason: str, counter: str) -> None:
        """The bundle in ``bad`` is refused from now on; what was there before is current, and is taken up where it is not what
        runs."""
        self.counts[counter] += 1
        follower.state, follower.reason = counter.replace("_", " "), " ".join(reason.split())[:500]
        log.error("model %s: %s is %s: %s", follower.name, bad.name, follower.state, reason)
        follower.refused = bad
        follower.trusted = before = self._store.previous(follower.name)
        try:
            found = self._store.rollback(follower.name, follower.reason, bad=bad)
            follower.trusted = before if found == before else None  # one that somebody switched to meanwhile is new
        except EdgeinferError as error:  # none to go back to, or a disk that cannot be written to: in this process it is so
            log.error("model %s: %s", follower.name, error)

    def health(self, model: str) -> dict[str, Any] | None:
        """Of an installed model's probation: ``state``, ``reason``, ``until`` (RFC 3339, None when it is over)."""
        follower = self._followers.get(model)
        if follower is None:
            return None
        left_s = follower.watch.until_s - time.monotonic() if follower.watch is not None else None
        until = None if left_s is None else timestamp(time.time_ns() + int(left_s * 1e9))
        return {"state": follower.state, "reason": follower.reason, "until": until}

    def in_progress(self, model: str) -> bool:
        """Another bundle is being prepared."""
        follower = self._followers.get(model)
        return follower is not None and follower.preparation is not None

    def stop(self) -> None:
        """What is being prepared is not waited for any longer; what is watched stays so."""
        for follower in self._followers.values():
            if follower.preparation is not None:
                follower.preparation.join(5.0)

    def end(self) -> None:
        """The daemon ends because it was asked to: no model is to blame."""
        self.stop()
        for follower in self._followers.values():
            record = quietly(partial(self._store.probation, follower.name))
            if record is not None:
                quietly(partial(self._store.save_probation, follower.name, msgspec.structs.replace(record, clean=True)))


def _figures(running: Running, model: str) -> dict[str, Figures]:
    """Of the pipelines that an installed model runs in, by their names. Any thread."""
    return {pipeline.name: pipeline.model_figures() for pipeline in running.assembly.pipelines
            if model in running.config.pipelines[pipeline.name].models}


def _installed(plan: Plan) -> list[tuple[str, Bundle]]:
    """The installed models that run in a pipeline, its own and the second one."""
    then = plan.composition.then
    named = [(plan.config.model, plan.bundle), *([(then.options.model, then.bundle)] if then is not None else [])]
    return [(name, bundle) for name, bundle in named if name]
