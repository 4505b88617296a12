"""What was sent and is not acknowledged, and what the broker refused and will be offered again. One thread."""

from __future__ import annotations

from typing import NamedTuple

from edgeinfer.outbox import Outgoing
from edgeinfer.sinks.transient import Unstored

__all__ = ["TRIES", "Sent", "Window"]

TRIES = 3
_WAITING = 256  # refused results that wait for their next try; no new ones are sent beyond
_REMEMBERED = 1024  # refused results whose tries are counted over reconnects


class Sent(NamedTuple):
    """One message in flight: a result (``outgoing``), a message from memory (``unstored``), or else a retained value."""

    at: float  # CLOCK_MONOTONIC, s
    topic: str
    outgoing: Outgoing | None = None
    unstored: Unstored | None = None


class _Refused(NamedTuple):
    """How often a result was refused, and how many others the broker had taken before the first time."""

    times: int
    accepted: int


class Window:
    """At most ``limit`` messages in flight. paho would send more, and after a reconnect all at once."""

    def __init__(self, limit: int, first_retry_s: float, last_retry_s: float) -> None:
        self.limit = limit
        self.waiting: list[Sent] = []  # ``at`` is when the next try is due
        self._sent: dict[int, Sent] = {}
        self._first_retry_s, self._last_retry_s = first_retry_s, last_retry_s
        self._accepted = 0
        self._refused: dict[int, _Refused] = {}  # by the row's id

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def room(self) -> int:
        """How many messages may be sent now."""
        return max(self.limit - len(self._sent), 0)

    @property
    def row_room(self) -> int:
        """How many rows may be taken from the outbox now."""
        return self.room if len(self.waiting) < _WAITING else 0

    def add(self, mid: int, sent: Sent) -> None:
        self._sent[mid] = sent

    def pop(self, mid: int) -> Sent | None:
        return self._sent.pop(mid, None)

    def accept(self, outgoing: Outgoing) -> None:
        """The broker took this one."""
        self._accepted += 1
        self._refused.pop(outgoing.row.id, None)

    def offer_again(self, sent: Sent, outgoing: Outgoing, now: float, for_now: bool = False) -> bool:
        """Let a refused result wait for another try. False when it had its three and the broker took others meanwhile: it
        is this one that is wrong. A broker that refuses everything (a wrong access list), or ``for_now`` (a quota), is waited
        out."""
        times, accepted = self._refused.pop(outgoing.row.id, _Refused(0, self._accepted))
        if not for_now and times + 1 >= TRIES and self._accepted > accepted:
            return False
        self._refused[outgoing.row.id] = _Refused(times + 1, accepted)
        if len(self._refused) > _REMEMBERED:
            del self._refused[next(iter(self._refused))]
        self._wait(sent, times, now)
        return True

    def postpone(self, sent: Sent, outgoing: Outgoing, now: float) -> bool:
        """True when this result was refused before: it waits, because brokers may end the connection over it, and the
        others shall pass first."""
        refused = self._refused.get(outgoing.row.id)
        if refused is not None:
            self._wait(sent, refused.times - 1, now)
        return refused is not None

    def _wait(self, sent: Sent, times: int, now: float) -> None:
        delay = min(self._first_retry_s * 2.0 ** min(times, 16), self._last_retry_s)
        self.waiting.append(sent._replace(at=now + delay))

    def ripe(self, now: float) -> list[Sent]:
        """Refused results whose next try is due, as many as there is room for; no longer waiting."""
        ripe = sorted(sent for sent in self.waiting if sent.at <= now)[: self.room] if self.waiting else []
        for sent in ripe:
            self.waiting.remove(sent)
        return ripe

    def oldest(self) -> float | None:
        """When the message was sent that waits longest for its acknowledgement."""
        return next((sent.at for sent in self._sent.values()), None)

    def next_try(self) -> float | None:
        """When the next refused result is ripe."""
        return min((sent.at for sent in self.waiting), default=None) if self.room else None

    @property
    def in_flight(self) -> list[Sent]:
        """In the order of sending."""
        return list(self._sent.values())

    def largest(self) -> Outgoing | None:
        """The result with the most bytes among those in flight."""
        results = [sent.outgoing for sent in self._sent.values() if sent.outgoing is not None]
        return max(results, key=lambda outgoing: len(outgoing.row.payload), default=None)

    def clear(self) -> None:
        """The connection is down."""
        self._sent.clear()
        self.waiting.clear()
