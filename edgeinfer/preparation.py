"""A reload that is being prepared: read, checked and tried on a thread of its own, while the daemon goes on as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from edgeinfer.config import Config
from edgeinfer.model.memory import Bill
from edgeinfer.model.trial import Verdict
from edgeinfer.plan import Plan

__all__ = ["Preparation", "Prepared"]


class Prepared(msgspec.Struct, frozen=True):
    """A configuration that can be taken up."""

    config: Config
    plans: list[Plan]
    verdicts: dict[str, Verdict]
    bill: Bill


class Preparation:
    """A model's trial may take a minute, and a watchdog waits for less. ``prepare`` is called by its thread, then ``wake``;
    the rest is for the main thread."""

    def __init__(self, prepare: Callable[[], Prepared], wake: Callable[[], None]) -> None:
        self._prepare, self._wake = prepare, wake
        self._outcome: Prepared | Exception
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._prepare()
        except Exception as error:  # noqa: BLE001  the outermost place of this thread: ``result`` raises it
            self._outcome = error
        self._wake()

    @property
    def ended(self) -> bool:
        return hasattr(self, "_outcome")

    def result(self) -> Prepared:
        """Once it has ended. Raises what ``prepare`` raised: EdgeinferError for what is wrong with the new configuration."""
        self._thread.join()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome
