"""A real daemon that is announced and commanded over a real broker."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import paho.mqtt.publish

from tests.broker import Broker, Listener, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess
from tests.e2e.conftest import picture_pipeline

CONFIG = "homeassistant/device/test/config"


def test_a_daemon_is_announced_and_obeys(broker: Broker, models: dict[str, str], tmp_path: Path) -> None:
    """Discovery is retained; a switch acts, its state and the answer come back and hold over a restart; a faulty command is
    answered; switching discovery off takes all of it back."""
    config = configuration(broker.port, {"door": picture_pipeline(models)}, commands={"enabled": True},
                           home_assistant={"enabled": True})

    def command(name: str, payload: str) -> None:
        paho.mqtt.publish.single(f"edgeinfer/test/command/door/{name}", payload, 1, hostname="127.0.0.1", port=broker.port)

    with Listener(broker.port) as listener, DaemonProcess(tmp_path, config) as daemon:
        until(lambda: listener.on("edgeinfer/test/door/enabled") == [b"ON"], "it is on")
        until(lambda: listener.on(CONFIG), "it is announced")
        components = json.loads(listener.on(CONFIG)[0])["components"]
        assert {"door.class", "door.score", "door.enabled", "door.threshold", "door.update", "memory"} <= set(components)
        command("enabled", "OFF")
        until(lambda: listener.on("edgeinfer/test/door/enabled")[-1] == b"OFF", "it is off")
        command("threshold", "2")
        until(lambda: listener.on("edgeinfer/test/response/door/threshold"), "the answer")
        assert json.loads(listener.on("edgeinfer/test/response/door/enabled")[0]) == {"status": "ok", "data": {}}
        assert json.loads(listener.on("edgeinfer/test/response/door/threshold")[0])["status"] == "error"
        assert daemon.terminate() == 0, daemon.log
        listener.messages.clear()
        daemon.write({**config, "home_assistant": {"enabled": False}})
        daemon.start()
        until(lambda: listener.on(CONFIG) == [b""], "discovery is taken back")
        until(lambda: listener.on("edgeinfer/test/door/enabled") == [b"OFF"], "it is still off")
        daemon.write(config)
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: listener.on(CONFIG)[-1:] != [b""], "it is announced again")
        assert daemon.terminate() == 0, daemon.log
