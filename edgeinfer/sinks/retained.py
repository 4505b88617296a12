"""The newest value of each retained topic: what is worth telling again to a broker that forgot."""

from __future__ import annotations

import threading

__all__ = ["Retained"]

_TOPICS = 256


class Retained:
    """Latest values, bounded in topics. ``set`` is for any thread; the rest for the network thread.

    A value is due when it is new, when the connection is, or when its publication was lost. In between, newer values
    replace older ones that were never sent.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, bytes] = {}
        self._due: dict[str, None] = {}
        self._sent: dict[str, bytes] = {}
        self.ignored = 0  # values of topics beyond the bound

    def set(self, topic: str, payload: bytes) -> bool:
        """The newest value of ``topic``. True when nothing was due before: the network thread may sleep."""
        with self._lock:
            if topic not in self._values and len(self._values) >= _TOPICS:
                self.ignored += 1
                return False
            first = not self._due
            self._values[topic] = payload
            self._due[topic] = None
            return first

    def all_due(self) -> None:
        """The connection is new: the broker may have restarted with nothing retained."""
        with self._lock:
            self._sent.clear()
            self._due = dict.fromkeys(self._values)

    def take(self) -> tuple[str, bytes] | None:
        """The next value to publish, if one is due whose topic has nothing in flight."""
        with self._lock:
            for topic in self._due:
                if topic not in self._sent:
                    del self._due[topic]
                    self._sent[topic] = self._values[topic]
                    return topic, self._sent[topic]
        return None

    def acknowledge(self, topic: str) -> None:
        """The broker has it (or refuses it, which a repetition would not change)."""
        with self._lock:
            payload = self._sent.pop(topic, None)
            if payload == b"" and topic not in self._due:
                self._values.pop(topic, None)  # removed at the broker, so nothing to tell again

    @property
    def settled(self) -> bool:
        """Nothing is due and nothing in flight."""
        with self._lock:
            return not self._due and not self._sent
