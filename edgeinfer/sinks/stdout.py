"""Results as JSON lines on stdout, for a pipe or a first look."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from edgeinfer.outbox import OutboxOptions
from edgeinfer.sinks import Message

__all__ = ["StdoutOptions", "StdoutSink"]


class StdoutOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There is nothing to set."""


class StdoutSink:
    """One result, one line. A reader that went away (``| head``) costs the results from then on; they are counted."""

    Options = StdoutOptions

    def __init__(self, options: StdoutOptions, topic: str, outbox: OutboxOptions) -> None:
        self._lock = threading.Lock()  # pipelines of several engines write whole lines
        self._written = self._dropped = 0

    def check(self) -> None:
        """Nothing is named."""

    def probe(self, timeout_s: float) -> str:
        """There is always a stdout."""
        return "stdout"

    def start(self) -> None:
        """Nothing to open."""

    def listen(self, topics: Sequence[str], post: Callable[[Message], None]) -> None:
        """Nobody speaks on stdout."""

    def publish(self, topic: str, payload: bytes, pipeline: str) -> None:
        """Write ``payload``, which is JSON already, as a line."""
        with self._lock:
            try:
                sys.stdout.write(payload.decode() + "\n")
                sys.stdout.flush()
                self._written += 1
            except (OSError, AttributeError):  # started without one (>&-) there is no sys.stdout
                self._dropped += 1

    def send(self, topic: str, payload: bytes, *, correlation: bytes = b"", expiry_s: float = 0) -> None:
        """Nobody asked."""

    def set_retained(self, topic: str, payload: bytes, expiry_s: float = 0) -> None:
        """States are not shown: they repeat the results."""

    def repeat_retained(self) -> None:
        """Nothing is kept."""

    def drain(self, deadline_s: float) -> bool:
        """Each line was flushed as it was written."""
        return True

    def stop(self) -> None:
        """Nothing to close."""

    def state(self) -> dict[str, Any]:
        """The equation of results: produced = acknowledged (written) + queued (none) + dropped."""
        with self._lock:
            dropped = {"closed": self._dropped} if self._dropped else {}
            counts = {"produced": self._written + self._dropped, "carried": 0, "acknowledged": self._written, "queued": 0,
                      "dropped": dropped}
            return {"connected": not dropped, "outbox": counts}
