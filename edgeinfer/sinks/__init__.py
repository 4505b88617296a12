"""Where results go. Plug-ins do not know each other, and nothing here can reach a frame."""

from __future__ import annotations

from typing import Any, Protocol

from edgeinfer.registry import Table

__all__ = ["SINKS", "Sink"]


class Sink(Protocol):
    """Where results go. Constructed without side effects from its options (a frozen msgspec Struct, class attribute
    ``Options``), the topic that all others begin with ("edgeinfer/<node>"), and OutboxOptions.

    ``publish``, ``set_retained`` and ``state`` are for any thread and never wait for a disk or a network; the rest is for
    the thread that made the sink.
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

    def publish(self, topic: str, payload: bytes, pipeline: str) -> None:
        """One result, to be delivered at least once."""
        ...

    def set_retained(self, topic: str, payload: bytes) -> None:
        """The newest value of a topic that late-comers shall see; an empty payload removes it."""
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
