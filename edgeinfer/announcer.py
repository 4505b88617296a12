"""When Home Assistant is told which entities this device has, and when that is taken back. Time is given; no thread.

A file beside the outbox remembers what was announced: what has vanished since, even over a restart, is removed by name, and
all of it once ``home_assistant`` is switched off.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from edgeinfer import durable
from edgeinfer.discovery import Described, Device, DiscoveryOptions, config_topic, document

__all__ = ["Announcer", "Step"]

_SETTLE_S = 1.5  # Home Assistant subscribes to an entity's topics up to a second after it was told of it
_BIRTH_S = (1.0, 6.0)  # all devices hear the birth at once
_REACHED_S = 5.0  # a broker that was there for so long has got what was sent
_MOST_GONE = 256
_MOST_BYTES = 1 << 20


class Step(msgspec.Struct, frozen=True):
    """What the sink shall do now: retained values to set (an empty one removes), and whether to tell all of them again."""

    values: tuple[tuple[str, bytes], ...] = ()
    repeat: bool = False


class _Announced(msgspec.Struct, frozen=True):
    """What the file remembers: the topic, the platform of each component, and topics that are still to be emptied."""

    topic: str = ""
    components: dict[str, str] = {}
    withdraw: tuple[str, ...] = ()


class Announcer:
    """Belongs to the main thread. ``advance`` each tick; times are CLOCK_MONOTONIC in s.

    Discovery goes first, then the values that the entities show: again, since who is told of a new entity needs a moment to
    subscribe, and since a value with an expiry may have gone.
    """

    def __init__(self, options: DiscoveryOptions, memory: Path) -> None:
        self._options = options
        self._memory = memory
        self._announced = self._read()
        self._facts: tuple[Device, tuple[Described, ...]] | None = None
        self._payload = b""
        self._emptied: set[str] = set()
        self._since = self._emptied_at = 0.0
        self._announce_at: float | None = None
        self._repeat_at: float | None = None
        self._connection: Any = None

    @property
    def topics(self) -> tuple[str, ...]:
        """What the sink shall listen to: Home Assistant's birth."""
        return (f"{self._options.prefix}/status",) if self._options.enabled else ()

    def hear(self, topic: str, payload: bytes, now: float) -> bool:
        """True when the message is Home Assistant's birth or will; after its birth all is told again, after a random delay."""
        if topic not in self.topics:
            return False
        if payload == b"online" and self._facts is not None and self._announce_at is None:
            self._announce_at = now + random.uniform(*_BIRTH_S)  # noqa: S311  spreads the devices, no secret
        return True

    def describe(self, device: Device, pipelines: Sequence[Described], now: float) -> None:
        """The facts as they are now; where they have changed they are announced at the next ``advance``."""
        facts = device, tuple(pipelines)
        if facts != self._facts:
            self._facts = facts
            self._announce_at = now

    def connected(self, connection: Any, now: float) -> None:
        """``connection``: anything that is another for each connection, None while there is none. The sink tells all retained
        values at a new one by itself, discovery among them; they are told again when the entities are there."""
        if connection != self._connection:
            self._connection, self._since = connection, now
            if connection is not None and self._payload:
                self._repeat_at = now + _SETTLE_S

    def advance(self, now: float) -> Step:
        """What is due."""
        values = self._withdrawals(now)
        if self._options.enabled and self._announce_at is not None and now >= self._announce_at and self._facts is not None:
            self._announce_at, self._repeat_at = None, now + _SETTLE_S
            values += self._announce(*self._facts, now)
        repeat = self._repeat_at is not None and now >= self._repeat_at
        if repeat:
            self._repeat_at = None
        return Step(values, repeat)

    def _announce(self, device: Device, pipelines: tuple[Described, ...], now: float) -> tuple[tuple[str, bytes], ...]:
        topic = config_topic(self._options, device.node)
        if self._announced.topic not in {topic, ""}:
            self._give_up()
        payload = document(self._options, device, pipelines, self._announced.components)
        components = {key: component["platform"] for key, component in payload["components"].items()}
        gone = [key for key, platform in components.items() if payload["components"][key] == {"platform": platform}]
        for key in gone[:-_MOST_GONE]:
            del components[key], payload["components"][key]
        withdraw = tuple(other for other in self._announced.withdraw if other != topic)
        self._remember(_Announced(topic, components, withdraw))
        self._payload = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        return (*self._withdrawals(now), (topic, self._payload))

    def _give_up(self) -> None:
        """What was announced under a topic that is ours no more, or while this was still switched on, is to be removed."""
        if self._announced.topic:
            self._remember(_Announced(withdraw=(*self._announced.withdraw, self._announced.topic)[-8:]))

    def _withdrawals(self, now: float) -> tuple[tuple[str, bytes], ...]:
        """Topics to be emptied, each once in this process; forgotten when the broker must have heard of it."""
        if not self._options.enabled:
            self._give_up()
        due = tuple(topic for topic in self._announced.withdraw if topic not in self._emptied)
        if due:
            self._emptied |= set(due)
            self._emptied_at = now
        elif self._announced.withdraw and self._connection is not None \
                and now - max(self._since, self._emptied_at) >= _REACHED_S:
            self._remember(msgspec.structs.replace(self._announced, withdraw=()))
            self._emptied.clear()
        return tuple((topic, b"") for topic in due)

    def _read(self) -> _Announced:
        try:
            with self._memory.open("rb") as file:
                return msgspec.json.decode(file.read(_MOST_BYTES), type=_Announced)
        except (OSError, ValueError, RecursionError):  # never announced, or damage: then nothing is removed by name
            return _Announced()

    def _remember(self, announced: _Announced) -> None:
        """A disk that fails costs the memory only."""
        if announced == self._announced:
            return
        self._announced = announced
        with suppress(OSError):
            if announced == _Announced():
                durable.remove(self._memory)
            else:
                self._memory.parent.mkdir(parents=True, exist_ok=True)
                durable.write(self._memory, msgspec.json.encode(announced))
