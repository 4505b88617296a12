"""``edgeinfer service`` in the container, and what it should lead to."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.lanes.container.machine import Machine

__all__ = ["CONFIG", "EXAMPLES", "OPT", "PACKAGES", "Service"]

OPT = "/opt/venv"
PACKAGES = f"{OPT}/lib/python3.13/site-packages"
EXAMPLES = f"{PACKAGES}/edgeinfer/_examples"
CONFIG = "/etc/edgeinfer/edgeinfer.yaml"


class Service:
    """The daemon's unit, by default ``edgeinfer.service``."""

    def __init__(self, machine: Machine, name: str = "") -> None:
        self.machine = machine
        self.unit = f"edgeinfer@{name}.service" if name else "edgeinfer.service"
        self._name = ["--name", name] if name else []

    @staticmethod
    def configuration(**pipeline: Any) -> dict[str, Any]:
        """Made-up pictures through the example's model, to the broker that wants a password."""
        synthetic = {"kind": "synthetic", "width": 320, "height": 240, "fps": 10}
        pipeline = {"bundle": f"{EXAMPLES}/digits/bundle", "source": synthetic, **pipeline}
        sink = {"kind": "mqtt", "host": "127.0.0.1", "plain_text": True, "username": "edge", "password_credential": "mqtt-password",
                "first_retry_s": 0.2, "last_retry_s": 1.0}
        return {"node": "box", "pipelines": {"digits": pipeline}, "sink": sink, "health": {"interval_s": 0.5}}

    def edgeinfer(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        line = " ".join([f"{OPT}/bin/python3 -m edgeinfer service", *arguments, *self._name])
        return self.machine.run(line, check=check)

    def install(self, *arguments: str, config: str = CONFIG) -> str:
        """What it said."""
        return self.edgeinfer("install", config, *arguments).stdout

    def watched(self, seconds: float) -> None:
        """A shorter watchdog than the unit's 30 s, before it is installed."""
        self.machine.write(f"/etc/systemd/system/{self.unit}.d/watchdog.conf", f"[Service]\nWatchdogSec={seconds}\n")

    def __getitem__(self, name: str) -> str:
        """A property, as systemctl show has it."""
        return self.machine.show(self.unit, name)

    @property
    def pid(self) -> int:
        return int(self["MainPID"])

    @property
    def is_active(self) -> bool:
        return self["ActiveState"] == "active"

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.edgeinfer("status", "--json", check=False).stdout)
        return found

    def received(self, topic: str, seconds: int = 20) -> dict[str, Any]:
        """The next message of a topic, with the broker's password."""
        ended = self.machine.run(f"mosquitto_sub -h 127.0.0.1 -u edge -P 'correct horse' -t '{topic}' -C 1 -W {seconds}")
        found: dict[str, Any] = json.loads(ended.stdout)
        return found
