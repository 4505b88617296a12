"""A real mosquitto on a free loopback port, and a listener that remembers what it was told."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.certificates import Certificates


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on: below those that the system gives to outgoing connections, and of a range
    that is this test process's own, so that nobody takes it before it is used."""
    first = 18000 + 3000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4)
    while True:
        port = random.randrange(first, first + 3000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def accepts(port: int) -> bool:
    """Somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True

PATIENCE = float(os.environ.get("EDGEINFER_PATIENCE", "1"))  # times as long on a machine as slow as an emulated one

def until(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
    """Wait for a state of another thread or process; the test fails when it does not come."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"within {seconds:g} s: {what}")
        time.sleep(0.01)


class Broker:
    """``start``, ``stop`` and ``kill`` as often as wanted, always on the same port.

    ``passwords``: user to password, none: anonymous. ``acl``: lines of an access list. ``settings``: further lines of
    mosquitto.conf. With ``certificates`` it speaks TLS and demands a client certificate.
    """

    def __init__(self, folder: Path, passwords: dict[str, str] | None = None, acl: str = "", settings: str = "",
                 certificates: Certificates | None = None) -> None:
        if shutil.which("mosquitto") is None:
            pytest.skip("mosquitto is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "max_queued_messages 1000000", settings]
        if os.geteuid() == 0:
            lines.append("user root")
        if acl:
            (folder / "acl").write_text(acl)
            (folder / "acl").chmod(0o600)
            lines.append(f"acl_file {folder}/acl")
        lines.append(f"allow_anonymous {str(passwords is None).lower()}")
        if passwords is not None:
            lines.append(f"password_file {folder}/passwords")
            self.set_passwords(passwords)
        if certificates is not None:
            certificate, key = certificates.server
            lines += [f"cafile {certificates.ca}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def set_passwords(self, passwords: dict[str, str]) -> None:
        """Takes effect at the next start."""
        file = self._folder / "passwords"
        file.write_text("".join(f"{user}:{word}\n" for user, word in passwords.items()))
        file.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True, capture_output=True)

    def start(self) -> Broker:
        with (self._folder / "log").open("ab") as log:
            command = ["mosquitto", "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: accepts(self.port), "mosquitto listens")
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Broker:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


_AMQTT = """
import asyncio, sys
from amqtt.broker import Broker
async def main():
    await Broker({"listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[1]}}, "plugins": {
        "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}}).start()
    await asyncio.sleep(600)
asyncio.run(main())
"""


class OldBroker:
    """A broker that speaks MQTT 3.1.1 only: amqtt, in a process of its own."""

    def __enter__(self) -> OldBroker:
        pytest.importorskip("amqtt")
        self.port = free_port()
        self._process = subprocess.Popen([sys.executable, "-c", _AMQTT, str(self.port)], stderr=subprocess.DEVNULL)
        until(lambda: accepts(self.port), "amqtt listens")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()


class Listener:
    """Subscribes to everything at QoS 1 and keeps it, in order; stays subscribed over restarts of the broker."""

    def __init__(self, port: int, username: str = "", password: str = "") -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._subscribed = False
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda _c, _u, message: self.messages.append(
            (message.topic, message.payload, message.retain))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        until(lambda: self._subscribed, "the listener is subscribed")

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed = True

    def on(self, topic: str) -> list[bytes]:
        """Payloads of one topic, in order of arrival."""
        return [payload for name, payload, _ in self.messages if name == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
