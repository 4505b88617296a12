"""Commands and Home Assistant's birth, from a sink's messages to a daemon's methods and back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.commands import CommandOptions
from edgeinfer.discovery import Described, Device, DiscoveryOptions
from edgeinfer.errors import UsageError
from edgeinfer.remote import Remote
from edgeinfer.sinks import Message


class Daemon:
    """Does what it is told and remembers it; an update fails."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def device(self) -> Device:
        return Device(node="porch", version="1", commands=True)

    def described(self) -> Sequence[Described]:
        return [Described(name="door", task="detection", threshold=0.4, installed=True)]

    def set_enabled(self, pipeline: str, enabled: bool) -> None:
        self.done.append((pipeline, enabled))

    def set_threshold(self, pipeline: str, threshold: float) -> None:
        self.done.append((pipeline, threshold))

    def install_update(self, pipeline: str) -> None:
        raise UsageError("pipelines.door", "a bundle that waits", "none")


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.topics: tuple[str, ...] = ()
        self.sent: list[tuple[str, dict[str, Any], bytes]] = []
        self.retained: dict[str, bytes] = {}
        self.repeats = 0
        self.post: Callable[[Message], None]

    def listen(self, topics: Sequence[str], post: Callable[[Message], None]) -> None:
        self.topics, self.post = tuple(topics), post

    def send(self, topic: str, payload: bytes, *, correlation: bytes = b"", expiry_s: float = 0) -> None:
        self.sent.append((topic, json.loads(payload), correlation))

    def set_retained(self, topic: str, payload: bytes, expiry_s: float = 0) -> None:
        self.retained[topic] = payload

    def repeat_retained(self) -> None:
        self.repeats += 1

    def state(self) -> dict[str, Any]:
        return {"connected": True, "since": "now", "reconnects": 0}


def remote(folder: Path, commands: bool = True, discovery: bool = True) -> tuple[Remote, Daemon, Any]:
    made = Remote(CommandOptions(enabled=commands), DiscoveryOptions(enabled=discovery), "porch", folder, lambda: None)
    sink = Sink()
    made.attach(sink)  # type: ignore[arg-type]  # the half of a sink that is used here
    return made, Daemon(), sink


def test_commands_are_carried_out_and_answered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each is an event of security: the log has it. What a daemon cannot do is the answer's error."""
    caplog.set_level(logging.INFO, "edgeinfer")
    made, daemon, sink = remote(tmp_path)
    root = "edgeinfer/porch/command/door"
    for name, payload in (("enabled", b"OFF"), ("threshold", b"0.5"), ("update", b"install"), ("threshold", b"0.1")):
        sink.post(Message(f"{root}/{name}", payload, False, "", b"\x01"))
    made.tick(daemon, sink, 1.0)
    assert daemon.done == [("door", False), ("door", 0.5)]
    assert [document["status"] for _, document, _ in sink.sent] == ["ok", "ok", "error", "error"]
    assert "a bundle that waits" in sink.sent[2][1]["error"]
    assert "0.4 to 1" in sink.sent[3][1]["error"]
    state = made.state()
    assert (state["accepted"], state["refused"]["invalid"], sum(state["refused"].values()), state["overflowed"]) == (3, 1, 1, 0)
    assert "command: door enabled False" in caplog.text
    assert "refused (invalid)" in caplog.text


def test_discovery_is_announced_and_told_again_at_birth(tmp_path: Path) -> None:
    """Through the sink's retained values."""
    made, daemon, sink = remote(tmp_path)
    assert sink.topics == ("edgeinfer/porch/command/#", "homeassistant/status")
    made.tick(daemon, sink, 1.0)
    assert b"door.occupancy" in sink.retained["homeassistant/device/porch/config"]
    made.tick(daemon, sink, 3.0)
    assert sink.repeats == 1
    sink.post(Message("homeassistant/status", b"online"))
    made.tick(daemon, sink, 10.0)
    made.tick(daemon, sink, 17.0)
    made.tick(daemon, sink, 19.0)
    assert sink.repeats == 2
    assert daemon.done == []


def test_switched_off_nothing_is_listened_to(tmp_path: Path) -> None:
    """No subscription, no announcement."""
    made, daemon, sink = remote(tmp_path, commands=False, discovery=False)
    assert sink.topics == ()
    made.tick(daemon, sink, 1.0)
    assert sink.retained == {}
