"""The newest value of each retained topic: what is worth telling again to a broker that forgot."""

from __future__ import annotations

import threading
from time import monotonic
from typing import NamedTuple

__all__ = ["Retained", "Value"]

_TOPICS = 256
_WITHHELD_S = 600.0


class Value(NamedTuple):
    """What a topic shall show. ``expires`` is when it is worthless (CLOCK_MONOTONIC, s; 0: never)."""

    payload: bytes
    expires: float


class Retained:
    """Latest values, bounded in topics. ``set`` and ``all_due`` are for any thread; the rest for the network thread.

    A value is due when it is new, when the connection is, or when its publication was lost. In between, newer values
    replace older ones that were never sent.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, Value] = {}
        self._due: dict[str, None] = {}
        self._sent: dict[str, Value] = {}
        self._withheld: dict[str, float] = {}  # until when (CLOCK_MONOTONIC, s)
        self.ignored = 0  # values of topics beyond the bound

    def set(self, topic: str, payload: bytes, expires: float = 0.0) -> bool:
        """The newest value of ``topic``. True when nothing was due before: the network thread may sleep."""
        with self._lock:
            if topic not in self._values and len(self._values) >= _TOPICS:
                self.ignored += 1
                return False
            first = not self._due
            self._values[topic] = Value(payload, expires)
            self._make_due(topic)
            return first

    def _make_due(self, *topics: str) -> None:
        now = monotonic()
        self._due.update(dict.fromkeys(topic for topic in topics if self._withheld.get(topic, now) <= now))

    def withhold(self, topic: str) -> None:
        """The broker hangs up over this one: it is not told for ten minutes."""
        with self._lock:
            self._withheld[topic] = monotonic() + _WITHHELD_S
            self._due.pop(topic, None)
            self._sent.pop(topic, None)

    def repeat(self) -> None:
        """Tell all values again; any thread."""
        with self._lock:
            self._make_due(*self._values)

    def all_due(self) -> None:
        """The connection is new: the broker may have restarted with nothing retained."""
        with self._lock:
            self._sent.clear()
            self._make_due(*self._values)

    def take(self) -> tuple[str, Value] | None:
        """The next value to publish, if one is due whose topic has nothing in flight."""
        with self._lock:
            for topic in list(self._due):
                value = self._values[topic]
                if topic in self._sent:
                    continue
                del self._due[topic]
                if value.expires and value.expires <= monotonic():
                    del self._values[topic]  # the broker has forgotten it as well
                    continue
                self._sent[topic] = value
                return topic, value
        return None

    def acknowledge(self, topic: str) -> None:
        """The broker has it (or refuses it, which a repetition would not change)."""
        with self._lock:
            value = self._sent.pop(topic, None)
            if value is not None and value.payload == b"" and topic not in self._due:
                self._values.pop(topic, None)  # removed at the broker, so nothing to tell again

    @property
    def settled(self) -> bool:
        """Nothing is due and nothing in flight."""
        with self._lock:
            return not self._due and not self._sent
