"""A real daemon in a process of its own, and a subscriber that keeps what it receives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import paho.mqtt.client as mqtt
import yaml

from tests.broker import until

__all__ = ["DaemonProcess", "Session", "Subscriber", "check_equations", "check_frames", "until"]


class DaemonProcess:
    """``edgeinfer run`` on a configuration written into a folder; ``log`` is its stderr so far.

    ``under``: a program and its options that run it, and become it (strace -D, say).
    """

    def __init__(self, folder: Path, config: dict[str, Any], environment: dict[str, str] | None = None,
                 under: Sequence[str] = ()) -> None:
        self.path = folder / "edgeinfer.yaml"
        self.write(config)
        self._under = under
        self._environment = {**os.environ, **(environment or {})}
        self._lines: list[str] = []
        self.start()

    def write(self, config: dict[str, Any]) -> None:
        self.path.write_text(yaml.safe_dump(config))

    def start(self) -> None:
        self.process = subprocess.Popen([*self._under, sys.executable, "-m", "edgeinfer", "run", str(self.path)], text=True,
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=self._environment)
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            self._lines.extend(lines)

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def terminate(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(10)

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        self._reader.join(10)
        if kind is not None:
            print(self.log)


S = TypeVar("S", bound="Session")


class Session:
    """Everything published under edgeinfer/#, to ``take``, through a session of its own that a broker's restart does not forget."""

    def __init__(self, port: int, username: str = "", password: str = "") -> None:
        self._subscribed = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="witness", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_message = lambda _client, _user, message: self.take(message)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_connect = lambda *_: self._client.subscribe("edgeinfer/#", 1)
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def take(self, message: mqtt.MQTTMessage) -> None:
        """The network thread."""
        raise NotImplementedError

    def ready(self: S) -> S:
        """Wait for the subscription; the next call waits for the next one, after a restart of the broker."""
        assert self._subscribed.wait(20), "the subscriber could not subscribe"
        self._subscribed.clear()
        return self

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Subscriber(Session):
    """Keeps all of it."""

    def __init__(self, port: int, username: str = "", password: str = "") -> None:
        self.results: list[dict[str, Any]] = []
        self.health: list[dict[str, Any]] = []
        self.status: list[str] = []
        self.states: dict[str, dict[str, Any]] = {}
        super().__init__(port, username, password)

    def take(self, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rsplit("/", 1)[1]
        if kind == "status":
            self.status.append(message.payload.decode())
        elif kind == "result":
            self.results.append(json.loads(message.payload))
        elif kind == "health":
            self.health.append(json.loads(message.payload))
        elif kind == "state":
            self.states[message.topic.split("/")[2]] = json.loads(message.payload)

    def sequences(self, pipeline: str) -> dict[str, list[int]]:
        """By boot, the sequence numbers in order of first arrival, duplicates removed."""
        seen: dict[str, dict[int, None]] = {}
        for result in list(self.results):
            if result["pipeline"] == pipeline:
                seen.setdefault(result["boot"], {})[result["seq"]] = None
        return {boot: list(numbers) for boot, numbers in seen.items()}

    def count(self, pipeline: str) -> int:
        """Results of a pipeline, duplicates removed, over all boots."""
        return sum(len(numbers) for numbers in self.sequences(pipeline).values())


def check_equations(health: dict[str, Any]) -> None:
    """The equations of a health document: every frame and every result is accounted for."""
    for figures in health["pipelines"].values():
        check_frames(figures)
    counts = health["sink"]["outbox"]
    assert counts["produced"] + counts["carried"] == counts["acknowledged"] + counts["queued"] + sum(counts["dropped"].values())


def check_frames(figures: dict[str, Any]) -> None:
    """One pipeline's: every frame is accounted for, and what the gate did with each that was inferred."""
    assert figures["captured"] == figures["inferred"] + sum(figures["skipped"].values()) + figures["waiting"], figures
    assert figures["waiting"] >= 0, figures
    assert figures["inferred"] == figures["published"] + sum(figures["held_back"].values()), figures
