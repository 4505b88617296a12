"""A bundle that scores a transaction, with an answer one can work out by hand, and a client that asks for it."""

from __future__ import annotations

import json
import math
import socket
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgeinfer.model.bundle import Bundle
from quantize.pack import Given, pack
from tests.broker import until
from tests.models import Op, Tensor, write_onnx

__all__ = ["TABLE", "Asking", "fraud", "transactions"]

TABLE: list[dict[str, Any]] = [
    {"name": "amount"}, {"name": "country", "categories": {"DE": 0, "FR": 1}, "one_hot": True, "unknown": -1},
    {"name": "night", "missing": 0}]


def transactions(folder: Path) -> Bundle:
    """amount, DE, FR, night to two classes: a softmax of (0, amount / 100 + FR + 2 night - 3)."""
    weights = np.array([[0, 0.01], [0, 0], [0, 1], [0, 2]], np.float32)
    tensors = [Tensor("row", (1, 4)), Tensor("w", (4, 2), values=weights), Tensor("b", (2,), values=np.array([0, -3], np.float32)),
               Tensor("product", (1, 2)), Tensor("sum", (1, 2)), Tensor("probabilities", (1, 2))]
    ops = [Op("MatMul", ("row", "w"), ("product",)), Op("Add", ("product", "b"), ("sum",)), Op("Softmax", ("sum",), ("probabilities",))]
    model = write_onnx(folder / "transactions.onnx", tensors, ops, ["row"], ["probabilities"])
    labels = folder / "labels.txt"
    labels.write_text("fine\nfraud\n")
    given = Given(decoder="classify", labels=str(labels), parameters={"threshold": 0},
                  preprocess={"kind": "window", "length": 1, "channels": 4, "normalize": "none", "table": TABLE})
    return pack(model, folder / "transactions", given).bundle


def fraud(amount: float, country: str, night: bool) -> float:
    """What the model answers."""
    return 1 / (1 + math.exp(3 - amount / 100 - (country == "FR") - 2 * night))


class Asking:
    """An MQTT 5 client with a response topic of its own."""

    def __init__(self, port: int) -> None:
        self.topic = f"asking/{uuid.uuid4().hex}"
        self.answers: dict[bytes, dict[str, Any]] = {}
        self._came = threading.Condition()
        self._ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(self.topic, 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.on_socket_open = lambda _c, _u, it: it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        with self._came:
            self.answers[message.properties.CorrelationData] = json.loads(message.payload)
            self._came.notify()

    def send(self, topic: str, payload: bytes, correlation: bytes, retain: bool = False) -> None:
        """Ask, and do not wait."""
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic, properties.CorrelationData = self.topic, correlation
        self._client.publish(topic, payload, 1, retain, properties)

    def ask(self, topic: str, row: Any) -> dict[str, Any]:
        """The answer."""
        correlation = uuid.uuid4().bytes
        self.send(topic, row if isinstance(row, bytes) else json.dumps(row).encode(), correlation)
        with self._came:
            assert self._came.wait_for(lambda: correlation in self.answers, 10)
        return self.answers[correlation]

    def ready(self, topic: str) -> None:
        """Until somebody answers."""
        def answered() -> bool:
            self.send(topic, b"?", b"ready")
            return b"ready" in self.answers
        until(answered, "requests are answered")

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
