"""A subscriber at the broker's own port that keeps counts, not messages: an hour of results is a hundred thousand."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import paho.mqtt.client as mqtt

from tests.daemon import Session, check_equations

__all__ = ["Stream", "Witness"]


class Stream:
    """The results of one pipeline in one boot. ``last``: all up to this one came, in order."""

    def __init__(self) -> None:
        self.last = 0
        self.received = 0
        self.duplicates = 0
        self.replayed = 0
        self.faults: list[str] = []

    def take(self, result: dict[str, Any]) -> None:
        number = result["seq"]
        self.received += 1
        self.replayed += bool(result.get("replayed"))
        if result["id"] != f"{result['boot']}-{result['pipeline']}-{number}":
            self.faults.append(f"{result['id']} is not of number {number}")
        if number <= self.last:
            self.duplicates += 1
            return
        if number != self.last + 1:
            self.faults.append(f"{number} came after {self.last}")
        self.last = number


class Witness(Session):
    """A persistent session of MQTT 3.1.1 at QoS 1. After a restart of the broker, which forgets it, ``ready`` again."""

    def __init__(self, port: int) -> None:
        self.streams: dict[tuple[str, str], Stream] = {}
        self.health: dict[str, dict[str, Any]] = {}  # the last document of each boot
        self.documents = 0
        self.unbalanced: list[str] = []
        self.status: Counter[str] = Counter()
        self.last_status = ""
        super().__init__(port)

    def take(self, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rsplit("/", 1)[1]
        if kind == "status":
            self.last_status = message.payload.decode()
            self.status[self.last_status] += 1
        elif kind == "result":
            result = json.loads(message.payload)
            self.streams.setdefault((result["boot"], result["pipeline"]), Stream()).take(result)
        elif kind == "health":
            self._examine(json.loads(message.payload))

    def _examine(self, health: dict[str, Any]) -> None:
        self.documents += 1
        self.health[health["boot"]] = health
        try:
            check_equations(health)
        except AssertionError as error:
            self.unbalanced.append(f"{health['boot']} at {health['uptime_s']} s: {error}")

    @property
    def received(self) -> int:
        """Messages with a result, duplicates among them."""
        return sum(stream.received for stream in list(self.streams.values()))
