"""Hearing topics of a broker for as long as one wants, on a thread of its own; nothing is ever published."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic

from edgeinfer.mqtt.broker import MqttOptions
from edgeinfer.mqtt.connection import Connection
from edgeinfer.mqtt.link import Down, Event, Trouble, Up
from edgeinfer.mqtt.listening import Listening
from edgeinfer.mqtt.message import Message

__all__ = ["Subscription"]


class Subscription:
    """``hear`` is called by the network thread with each message of ``topics``, until ``close``.

    Its client has a name of its own, and a new session each time: what was published while it was away is old.
    """

    def __init__(self, options: MqttOptions, topics: Sequence[str], hear: Callable[[Message], None], meanwhile: str) -> None:
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        client_id = f"{options.client_id or 'edgeinfer'}-{secrets.token_hex(4)}"
        self._listening = Listening(tuple(topics), hear)
        self._connection = Connection(options, client_id, "", self._events.put, self._listening.hear, lasting=False,
                                      meanwhile=meanwhile)
        self._connection.topics = tuple(topics)
        self._down_since: float | None = monotonic()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="subscription", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def down_s(self) -> float:
        """For how long there has been no connection; 0 while there is one. Any thread."""
        since = self._down_since
        return 0.0 if since is None else monotonic() - since

    @property
    def last_error(self) -> str:
        """Any thread."""
        return str(self._connection.state()["last_error"])

    @property
    def broker(self) -> str:
        """host:port"""
        return self._connection.broker

    def _run(self) -> None:
        while not self._stopping:
            self._connection.advance(monotonic())
            event = self._next()
            if event is None or event.link is not self._connection.link:
                continue
            if isinstance(event, Up):
                self._connection.up(event, monotonic())
                self._connection.worked()
                self._down_since = None
            elif isinstance(event, Trouble):
                self._connection.note(event.reason)
            elif isinstance(event, Down):
                self._connection.down(event, monotonic())
                self._down_since = self._down_since or monotonic()
        if self._connection.link is not None:
            self._connection.link.close(2.0)

    def _next(self) -> Event | None:
        due = self._connection.due()
        try:
            return self._events.get(timeout=None if due is None else max(due - monotonic(), 0.0))
        except Empty:
            return None

    def close(self) -> None:
        """Disconnect, and end the thread."""
        self._stopping = True
        self._events.put(None)
        self._thread.join(5.0)
