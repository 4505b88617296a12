"""The access list in docs/home-assistant.md, at a real broker: enough for a device, and no more."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.publish
import pytest

from edgeinfer.sinks import Message
from tests.broker import Broker, Listener, until
from tests.conftest import ROOT
from tests.sinks.running import Running, connected, publish

USERS = {"cam": "word-of-cam", "other": "word-of-other", "homeassistant": "word-of-home"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    page = (ROOT / "docs/home-assistant.md").read_text()
    (acl,) = re.findall(r"```text\n(# /etc/mosquitto/acl\n.*?)```", page, re.DOTALL)
    for user, word in USERS.items():
        (tmp_path / user).write_text(word)
    with Broker(tmp_path / "broker", passwords=USERS, acl=acl) as running:
        yield running


def test_the_list_that_is_shown_gives_a_device_what_it_needs_and_no_more(tmp_path: Path, broker: Broker) -> None:
    """Its own topics, its own discovery, Home Assistant's birth; not another device's commands."""
    running = Running(tmp_path, broker.port, username="cam", password_file=str(tmp_path / "cam"))
    heard: list[Message] = []
    running.sink.listen(["edgeinfer/cam/command/#", "homeassistant/status"], heard.append)
    with Listener(broker.port, "homeassistant", USERS["homeassistant"]) as home, running as sink:
        connected(sink)
        publish(sink, 1)
        sink.set_retained("homeassistant/device/cam/config", b"{}")
        sink.send("edgeinfer/cam/response/door/enabled", b"{}")
        until(lambda: {"edgeinfer/cam/status", "edgeinfer/cam/door/result", "homeassistant/device/cam/config",
                       "edgeinfer/cam/response/door/enabled"} <= {topic for topic, _, _ in home.messages}, "what it may say")
        for topic in ("homeassistant/status", "edgeinfer/cam/command/door/enabled"):
            paho.mqtt.publish.single(topic, b"online", 1, hostname="127.0.0.1", port=broker.port,
                                     auth={"username": "homeassistant", "password": USERS["homeassistant"]})
        until(lambda: len(heard) == 2, "what it may hear")
        until(lambda: len(home.messages) == 6, "the witness's own")
        before = len(home.messages)
        for topic in ("edgeinfer/other/command/door/enabled", "homeassistant/device/other/config", "homeassistant/status"):
            sink.send(topic, b"no")
            until(lambda topic=topic: topic in sink.state()["last_error"], f"{topic} is refused")  # type: ignore[misc]
        time.sleep(0.1)
        assert len(home.messages) == before
