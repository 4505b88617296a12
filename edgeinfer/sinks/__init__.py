"""Where results go. Plug-ins do not know each other, and nothing here can reach a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from edgeinfer.mqtt.message import Message
from edgeinfer.registry import Table

__all__ = ["SINKS", "Message", "Sink"]


class Sink(Protocol):
    """Where results go. Constructed without side effects from its options (a frozen msgspec Struct, class attribute
    ``Options``), the topic that all others begin with ("edgeinfer/<node>"), and OutboxOptions.

    ``publish``, ``send``, ``set_retained``, ``repeat_retained`` and ``state`` are for any thread and never wait for a disk or a
    network; the rest is for the thread that made the sink.
    """

    def check(self) -> None:
        """What can be known without the far end: files that are named are there. Raises ConfigError with all faults."""
        ...

    def probe(self, timeout_s: float) -> str:
        """Reach the far end once and say what it is, without ``start``. Raises UnavailableError."""
        ...

    def start(self) -> None:
        """Begin. A far end that is not there is no error: it may come later. Raises StorageError and ConfigError."""
        ...

    def listen(self, topics: Sequence[str], post: Callable[[Message], None]) -> None:
        """Hear what is published on ``topics`` (MQTT's wildcards allowed); before ``start``. ``post`` is called by a thread of
        the sink and must do no more than put the message into a queue. Payloads longer than 64 KiB are counted, not posted."""
        ...

    def publish(self, topic: str, payload: bytes, pipeline: str) -> None:
        """One result, to be delivered at least once."""
        ...

    def send(self, topic: str, payload: bytes, *, correlation: bytes = b"", expiry_s: float = 0) -> None:
        """One message from memory, such as the answer to a command: lost with the process, and dropped (and counted) where
        too many wait. ``expiry_s``: worthless to whoever gets it later; 0: never."""
        ...

    def set_retained(self, topic: str, payload: bytes, expiry_s: float = 0) -> None:
        """The newest value of a topic that late-comers shall see; an empty payload removes it. ``expiry_s``: the far end
        forgets it after so long; 0: never."""
        ...

    def repeat_retained(self) -> None:
        """Tell all retained values again, to a receiver that was not there."""
        ...

    def drain(self, deadline_s: float) -> bool:
        """Wait until all that was published is on disk, and acknowledged where the far end is there. False: not in time."""
        ...

    def stop(self) -> None:
        """Say goodbye and end. May be called twice, and without ``start``."""
        ...

    def state(self) -> dict[str, Any]:
        """For health, as plain JSON values."""
        ...


SINKS = Table("sinks", {
    "mqtt": "edgeinfer.sinks.mqtt:MqttSink",
    "stdout": "edgeinfer.sinks.stdout:StdoutSink",
})
