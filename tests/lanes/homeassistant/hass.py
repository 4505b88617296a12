"""A real Home Assistant Core on a loopback port, and its REST interface."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.broker import accepts, free_port, until

_CONFIGURATION = """
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
config:
logger:
  default: warning
"""


class HomeAssistant:
    """``hass`` with nothing but its MQTT integration on the broker at ``broker_port``; ``log`` is its output so far."""

    def __init__(self, folder: Path, broker_port: int) -> None:
        self._hass = os.environ["EDGEINFER_HASS"]
        self._folder = folder
        self._port = free_port()
        self._token = ""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "configuration.yaml").write_text(_CONFIGURATION.format(port=self._port))
        self._run("--script", "auth", "-c", str(folder), "add", "tester", "secret-of-the-test")
        self.start()
        flow = self.ask("POST", "/api/config/config_entries/flow", {"handler": "mqtt"})
        done = self.ask("POST", f"/api/config/config_entries/flow/{flow['flow_id']}", {"broker": "127.0.0.1", "port": broker_port})
        assert done["type"] == "create_entry", done

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._hass, *arguments], check=True, capture_output=True)

    def start(self) -> None:
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen([self._hass, "-c", str(self._folder)], stdout=output, stderr=output)
        until(lambda: accepts(self._port), "Home Assistant listens", 90)
        self._token = self._token or self._log_in()
        until(self._is_running, "Home Assistant runs", 90)

    def _is_running(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.ask("GET", "/api/config").get("state") == "RUNNING")
        return False

    def stop(self) -> None:
        """A clean end, as of a restart in its settings."""
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def log(self) -> str:
        return (self._folder / "output").read_text()

    def complaints(self) -> list[str]:
        """What its log says about MQTT: entities that it does not take, templates that fail. Not those of a broker that is
        gone, nor that a device which it has just removed is removed."""
        fine = ("Failed to connect", "connection was lost", "No device components to cleanup")
        about = ("[homeassistant.components.mqtt", "[homeassistant.helpers.template")
        return [line for line in self.log.splitlines()
                if any(name in line for name in about) and not any(text in line for text in fine)]

    def _log_in(self) -> str:
        me = f"http://127.0.0.1:{self._port}/"
        flow = self.ask("POST", "/auth/login_flow", {"client_id": me, "handler": ["homeassistant", None], "redirect_uri": me})
        step = self.ask("POST", f"/auth/login_flow/{flow['flow_id']}",
                        {"client_id": me, "username": "tester", "password": "secret-of-the-test"})
        form = {"client_id": me, "grant_type": "authorization_code", "code": step["result"]}
        short = self.ask("POST", "/auth/token", form, form=True)
        return str(short["access_token"])

    def ask(self, method: str, path: str, document: Any = None, form: bool = False) -> Any:
        """The answer of the REST interface, as JSON. Raises HTTPError (an OSError)."""
        body = None
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if document is not None:
            body = (urllib.parse.urlencode(document) if form else json.dumps(document)).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded" if form else "application/json"
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data=body, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def states(self) -> dict[str, dict[str, Any]]:
        """All entities by their id: {"entity_id", "state", "attributes"}."""
        return {entity["entity_id"]: entity for entity in self.ask("GET", "/api/states")}

    def state(self, entity: str) -> str:
        """Of one entity; "missing" where it is not there."""
        with contextlib.suppress(urllib.error.HTTPError):
            return str(self.ask("GET", f"/api/states/{entity}")["state"])
        return "missing"

    def call(self, service: str, entity: str, **more: Any) -> None:
        """As a press of a button in the user interface: ``service`` is "switch.turn_off"."""
        self.ask("POST", f"/api/services/{service.replace('.', '/')}", {"entity_id": entity, **more})

    def __enter__(self) -> HomeAssistant:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
