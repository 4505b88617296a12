"""A started MQTT sink, and what its tests ask of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeinfer.mqtt.broker import MqttOptions
from edgeinfer.outbox import OutboxOptions
from edgeinfer.sinks.mqtt import MqttSink
from tests.broker import until

TOPIC = "edgeinfer/cam"
RESULTS = f"{TOPIC}/door/result"
STATUS = f"{TOPIC}/status"
QUICK = {"host": "127.0.0.1", "plain_text": True, "first_retry_s": 0.05, "last_retry_s": 0.3, "ack_timeout_s": 0.5,
         "connect_timeout_s": 2.0}


class Running:
    """A started sink that is stopped with the test."""

    def __init__(self, folder: Path, port: int, outbox: dict[str, Any] | None = None, **options: Any) -> None:
        settings = OutboxOptions(path=str(folder / "outbox.db"), **{"commit_delay_ms": 5, **(outbox or {})})
        self.sink = MqttSink(MqttOptions(**{**QUICK, "port": port, **options}), TOPIC, settings)

    def __enter__(self) -> MqttSink:
        self.sink.start()
        return self.sink

    def __exit__(self, *_: object) -> None:
        self.sink.stop()
        balance(self.sink)


def balance(sink: MqttSink) -> dict[str, Any]:
    counts: dict[str, Any] = sink.state()["outbox"]
    assert counts["produced"] + counts["carried"] == (
        counts["acknowledged"] + counts["queued"] + sum(counts["dropped"].values())), counts
    return counts


def publish(sink: MqttSink, *numbers: int, topic: str = RESULTS) -> None:
    for number in numbers:
        sink.publish(topic, b'{"n":%d}' % number, "door")


def numbers(payloads: list[bytes]) -> list[int]:
    return [json.loads(payload)["n"] for payload in payloads]


def first_occurrences(received: list[int]) -> list[int]:
    return list(dict.fromkeys(received))


def connected(sink: MqttSink) -> None:
    until(lambda: sink.state()["connected"], "the sink is connected")
