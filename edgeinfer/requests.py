"""Requests over MQTT: a message with a response topic gets its prediction back. What is neither a frame nor a network.

    network thread ─ post ─▶ desk ◀─ take, refuse ─ capture thread ─▶ ring ─▶ inference thread ─ asker, answer ─▶ sink.send

The messages are told in docs/topics-and-payloads.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, NamedTuple, Protocol

import msgspec

from edgeinfer.bucket import Bucket
from edgeinfer.mqtt.message import Message, answered, own_response_topic

__all__ = ["Asker", "Desk", "RequestOptions", "Row"]

Row = Mapping[str, Any] | str
_ANSWER_S = 60.0  # an answer that comes later is of no use
_CLOSED = "the pipeline is paused or restarts: ask again later"
_TEXT = 200  # characters of a stranger's text that are repeated, and of an error that is told


class RequestOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whoever may publish on ``topic`` makes this device compute, and is answered."""

    topic: str = ""  # empty: edgeinfer/<node>/<pipeline>/request
    max_bytes: int = 16384  # a longer request is refused unread
    per_second: float = 200.0  # more are dropped; a burst of a second's is fine
    waiting: int = 64  # requests that wait for the model; more are dropped

    def __post_init__(self) -> None:
        if any(sign in self.topic for sign in "+#\0") or self.topic.startswith("$") or len(self.topic) > 1024:
            raise ValueError(f"expected topic to be one topic without + and #, got {self.topic[:80]!r}")
        if not 16 <= self.max_bytes <= 65536:
            raise ValueError(f"expected max_bytes from 16 to 65536, got {self.max_bytes}")
        if not 0 < self.per_second <= 1e6:
            raise ValueError(f"expected per_second above 0 and up to 1e6, got {self.per_second:g}")
        if not 1 <= self.waiting <= 4096:
            raise ValueError(f"expected waiting from 1 to 4096, got {self.waiting}")


class Send(Protocol):
    """``Sink.send``."""

    def __call__(self, topic: str, payload: bytes, *, correlation: bytes = b"", expiry_s: float = 0) -> None: ...


class Asker(NamedTuple):
    """Where the answer goes, and what makes it known to whoever asked. ``number`` is of the frame that the request became."""

    number: int
    topic: str
    correlation: bytes
    transaction: str | int | None


class Desk:
    """One pipeline's requests: bounded in number, size and rate; every one that is taken is answered, be it with an error.

    ``post`` is for the network thread and only enqueues, be it an answer; ``take``, ``refuse``, ``open``, ``close`` are the
    capture thread's; ``asker``, ``answer``, ``fail`` the inference thread's; ``attach`` comes before all of them; ``counts`` is
    for any.
    """

    def __init__(self, options: RequestOptions) -> None:
        self.topic = options.topic
        self._options = options
        self._answered = self._refused = self._retained = self._overflowed = self._too_many = self._closed = 0
        self._queue: SimpleQueue[Message | None] = SimpleQueue()
        self._open = False
        self._askers: deque[Asker] = deque()  # of the frames on their way; "" as topic: no answer is wanted
        self._number = 0
        self._rate = Bucket(options.per_second, max(options.per_second, 1.0))
        self._root = self._own = ""
        self._send: Send | None = None

    def attach(self, root: str, pipeline: str, send: Send) -> None:
        """``root`` is edgeinfer/<node>. The frames of the pipeline's ring are numbered from 0 from here on."""
        self.topic = self._options.topic or f"{root}/{pipeline}/request"
        self._root, self._own, self._send = root, f"{root}/response/{pipeline}/prediction", send
        self._number = 0
        self._askers.clear()

    def post(self, message: Message) -> None:
        """Put a request into the queue, if there is room; one that comes while the source is closed is told so."""
        if message.retained:  # it would be answered anew at each connection
            self._retained += 1
        elif not self._open:
            self._closed += 1
            if self._rate.take(monotonic()):
                self._tell(self._asker(message, None), _CLOSED)
        elif self._queue.qsize() >= self._options.waiting:
            self._overflowed += 1
        elif not self._rate.take(monotonic()):
            self._too_many += 1
        else:
            self._queue.put(message)

    def open(self) -> None:
        """Requests are taken from now on."""
        self._open = True

    def close(self) -> None:
        """No more; those that wait are told so."""
        self._open = False
        while not self._queue.empty():
            message = self._queue.get_nowait()
            if message is not None:
                self._reply(self._asker(message, None), _CLOSED)

    def interrupt(self) -> None:
        """Make ``take`` return; any thread."""
        self._queue.put(None)

    def take(self, timeout_s: float) -> Row | None:
        """The next request that can be read, counted as the next frame; None when interrupted or after the time."""
        deadline = monotonic() + timeout_s
        while (left := deadline - monotonic()) > 0:
            try:
                message = self._queue.get(timeout=left)
            except Empty:
                return None
            if message is None:
                return None
            row = self._row(message)
            if row is not None:
                return row
        return None

    def _row(self, message: Message) -> Row | None:
        """A JSON object, or a text; None where it was refused."""
        if len(message.payload) > self._options.max_bytes:
            self._reply(self._asker(message, None), f"expected at most {self._options.max_bytes} bytes, got {len(message.payload)}")
            return None
        try:
            row = msgspec.json.decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._reply(self._asker(message, None), f"expected JSON: {error}")
            return None
        transaction = row.get("transaction") if isinstance(row, dict) else None
        if isinstance(transaction, bool) or not (isinstance(transaction, str | int) and len(str(transaction)) <= _TEXT):
            transaction = None
        asker = self._asker(message, transaction)
        if not isinstance(row, dict | str):
            self._reply(asker, f"expected an object of named values, or a text, got {str(row)[:_TEXT]}")
            return None
        self._askers.append(asker)
        self._number += 1
        return row

    def _asker(self, message: Message, transaction: str | int | None) -> Asker:
        """Without a response topic, as under MQTT 3.1.1, the answer goes to a topic of ours, if there is a transaction."""
        topic = own_response_topic(message.response_topic, self._root)
        if not topic and transaction is not None:
            topic = self._own
        return Asker(self._number, topic, message.correlation, transaction)

    def refuse(self, reason: str) -> None:
        """The row that was taken last cannot be used, and becomes no frame."""
        self._number -= 1
        self._reply(self._askers.pop(), reason)

    def asker(self, number: int) -> Asker | None:
        """Who asked for this frame, once; None where nobody wants an answer."""
        askers = self._askers
        with suppress(IndexError):  # there is none, or the capture thread has just taken the last one back
            while askers[0].number <= number:
                asker = askers.popleft()
                if asker.number == number:
                    return asker if asker.topic else None
        return None

    def answer(self, asker: Asker, data: bytes) -> None:
        """``data``: a JSON object."""
        self._reply(asker, data=data)

    def fail(self, number: int, error: str) -> None:
        """The model failed on this frame."""
        asker = self.asker(number)
        if asker is not None:
            self._reply(asker, error)

    def _reply(self, asker: Asker, error: str = "", data: bytes = b"{}") -> None:
        if error:
            self._refused += 1
        else:
            self._answered += 1
        self._tell(asker, error, data)

    def _tell(self, asker: Asker, error: str = "", data: bytes = b"{}") -> None:
        if not asker.topic or self._send is None:
            return
        payload = answered(error, msgspec.Raw(data), asker.transaction)
        self._send(asker.topic, payload, correlation=asker.correlation, expiry_s=_ANSWER_S)

    def counts(self) -> dict[str, int]:
        """For health."""
        return {"answered": self._answered, "refused": self._refused, "retained": self._retained, "too_many": self._too_many,
                "overflowed": self._overflowed, "while_closed": self._closed}
