"""What is heard: only the topics that were asked for, bounded in size, counted."""

from __future__ import annotations

from collections.abc import Callable

from edgeinfer.mqtt.message import Message

__all__ = ["MAX_PAYLOAD", "Listening", "matches"]

MAX_PAYLOAD = 64 * 1024  # bytes of a message that is heard


class Listening:
    """``hear`` is called by paho's thread and never raises; the counters may be read by any."""

    def __init__(self, topics: tuple[str, ...] = (), post: Callable[[Message], None] | None = None) -> None:
        self.topics = topics
        self._post = post
        self._posted = self._unasked = self._too_long = self._failed = 0

    def hear(self, message: Message) -> None:
        """A broker that kept the session of an earlier configuration sends what nobody asks for any more."""
        if self._post is None or not any(matches(topic, message.topic) for topic in self.topics):
            self._unasked += 1
        elif len(message.payload) > MAX_PAYLOAD:
            self._too_long += 1
        else:
            try:
                self._post(message)
            except Exception:  # noqa: BLE001  a fault of the receiver must not end the connection
                self._failed += 1
            else:
                self._posted += 1

    def counts(self) -> dict[str, int]:
        """For health."""
        return {"posted": self._posted, "unasked": self._unasked, "too_long": self._too_long, "failed": self._failed}


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic is one of a subscription's (MQTT 5.0, 4.7): + is one level, a last # all that follow."""
    wanted, levels = pattern.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted, levels = wanted[:-1], levels[: len(wanted) - 1]
    return len(wanted) == len(levels) and all(one in {"+", level} for one, level in zip(wanted, levels, strict=True))
