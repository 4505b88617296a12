"""What an end of the daemon says of a model on probation: settled at the next start, before anything is loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from edgeinfer.config import Config
from edgeinfer.errors import DataError, EdgeinferError
from edgeinfer.log import log
from edgeinfer.model.bundle import read
from edgeinfer.plan import make_plan, try_models
from edgeinfer.probation import CRASHES, REBOOTS
from edgeinfer.settings import Settings
from edgeinfer.store import Probation

__all__ = ["kernel_boot", "quietly", "restarted", "settle", "unblamed"]

T = TypeVar("T")


def settle(config: Config, settings: Settings) -> dict[str, str]:
    """At start, before a model is loaded: a new one that ended the daemon too often, or that fails its trial, gives way to
    the one before it. Why, by model. Raises nothing: what is left to complain of, ``make_plans`` does."""
    reasons: dict[str, str] = {}
    for name in _named(config):
        reason = " ".join((quietly(partial(_settle, config, settings, name)) or "").split())[:500]
        if reason:
            log.error("model %s: rolled back: %s", name, reason)
            if quietly(partial(config.store.rollback, name, reason)) is not None:
                reasons[name] = reason
    return reasons


@contextmanager
def unblamed(config: Config) -> Iterator[None]:
    """Around a start until a model runs. One that an error ends (a fault of the configuration, an outbox that another daemon has)
    says nothing of a model: what ``settle`` counted is taken back."""
    before = {name: quietly(partial(config.store.probation, name)) for name in _named(config)}
    try:
        yield
    except EdgeinferError:
        for name, record in before.items():
            if quietly(partial(config.store.probation, name)) not in (None, record):
                quietly(partial(config.store.save_probation, name, record) if record is not None
                        else partial(config.store.end_probation, name))
        raise


def _named(config: Config) -> list[str]:
    return sorted({model for pipeline in config.pipelines.values() for model in pipeline.models})


def _settle(config: Config, settings: Settings, name: str) -> str:
    """Why the current bundle is not to be loaded; "" when it is."""
    store = config.store
    current = store.current(name)
    if current is None:
        return ""
    try:
        digest = read(current, verify=False).digest
    except DataError as error:  # a block of the card went bad; where that is in another file, the trial finds it
        is_new = store.previous(name) is not None and not settings.accepted(name, current.name.partition("-")[2])
        return str(error) if is_new else ""
    if store.previous(name) is None or settings.accepted(name, digest):
        settings.accept(name, digest)
        if store.probation(name) is not None:
            store.end_probation(name)
        return ""
    record = store.probation(name)
    if record is None or record.digest != digest:
        record = Probation(digest=digest, begun_wall=time.time(), boot_id=kernel_boot(), clean=True)
    record = restarted(record, kernel_boot())
    store.save_probation(name, record)
    if record.starts >= CRASHES or record.boots >= REBOOTS:
        return f"the daemon died {record.starts} times with it, and the device was restarted {record.boots} times"
    return _failed_trial(config, name, current)


def restarted(record: Probation, boot_id: str) -> Probation:
    """The record at a start of the daemon: an end that nobody asked for counts against the model, one that came with another
    start of the kernel (a power cut, most likely) on a longer list."""
    same = record.boot_id == boot_id
    starts, boots = record.starts + (not record.clean and same), record.boots + (not record.clean and not same)
    return msgspec.structs.replace(record, starts=starts, boots=boots, boot_id=boot_id, clean=False)


def _failed_trial(config: Config, name: str, current: Path) -> str:
    try:
        keys = config.keys()
        plans = [make_plan(config, pipeline, current if one.model == name else config.bundle_path(pipeline), keys)
                 for pipeline, one in config.pipelines.items() if name in one.models]
        try_models(config, plans)
    except DataError as error:
        return str(error)
    return ""


def quietly(step: Callable[[], T]) -> T | None:
    """What the store says, or None when its disk fails, which is told: the models run all the same."""
    try:
        return step()
    except EdgeinferError as error:
        log.error("%s", error)
        return None


def kernel_boot() -> str:
    """This start of the kernel (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
