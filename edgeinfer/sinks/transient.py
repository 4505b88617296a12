"""Messages that live in memory only, such as answers to commands: at least once while this process lives, bounded."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

__all__ = ["Transient", "Unstored"]

_MOST, _MOST_BYTES = 1024, 1 << 20  # of messages waiting or in flight, and of their payloads
_MAX_BYTES = 64 * 1024  # of one


class Unstored(NamedTuple):
    """One message. ``expires`` is when it is worthless (CLOCK_MONOTONIC, s; 0: never)."""

    topic: str
    payload: bytes
    correlation: bytes
    expires: float


class Transient:
    """A short queue. ``put`` is for any thread; the rest for the network thread. What is beyond the bound goes, oldest first."""

    def __init__(self) -> None:
        self.dropped = 0  # pushed out, too long, refused or expired
        self._bytes = 0
        self._lock = threading.Lock()
        self._waiting: deque[Unstored] = deque()
        self._sent: dict[int, Unstored] = {}  # by identity: two may be equal

    def put(self, message: Unstored) -> bool:
        """True when nothing else waits: the network thread may sleep."""
        with self._lock:
            if len(message.payload) > _MAX_BYTES:
                self.dropped += 1
                return False
            self._waiting.append(message)
            self._bytes += len(message.payload)
            while len(self._waiting) > 1 and (len(self._waiting) + len(self._sent) > _MOST or self._bytes > _MOST_BYTES):
                self._forget(self._waiting.popleft())
                self.dropped += 1
            return len(self._waiting) == 1

    def take(self, now: float) -> Unstored | None:
        """The next one to send, if any; it is in flight until it is acknowledged, dropped or released."""
        with self._lock:
            while self._waiting:
                message = self._waiting.popleft()
                if not message.expires or now < message.expires:
                    self._sent[id(message)] = message
                    return message
                self._forget(message)
                self.dropped += 1
        return None

    def _forget(self, message: Unstored) -> None:
        self._bytes -= len(message.payload)

    def acknowledge(self, message: Unstored) -> None:
        """The broker has it."""
        with self._lock:
            if self._sent.pop(id(message), None) is not None:
                self._forget(message)

    def drop(self, message: Unstored) -> None:
        """The broker does not take it."""
        with self._lock:
            if self._sent.pop(id(message), None) is not None:
                self._forget(message)
                self.dropped += 1

    def release(self) -> None:
        """The connection is down: what was in flight is sent again over the next one, first."""
        with self._lock:
            self._waiting.extendleft(reversed(self._sent.values()))
            self._sent.clear()

    @property
    def settled(self) -> bool:
        """Nothing waits and nothing is in flight."""
        with self._lock:
            return not self._waiting and not self._sent
