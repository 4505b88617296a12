"""One container for all tests of the lane; each test begins and ends without the service."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.lanes.container.machine import Machine, until
from tests.lanes.container.service import CONFIG, EXAMPLES, OPT, PACKAGES, Service

_BROKER = "listener 1883 127.0.0.1\nallow_anonymous false\npassword_file /etc/mosquitto/passwords\n"
_PASSWORD = "correct horse"

# a third party's decoder that never comes back while a file is there
_HANGING = """
import time
from pathlib import Path
from edgeinfer.model.decoders.yolo import Yolo

class Hanging(Yolo):
    def decode(self, *arguments):
        while Path("/run/hang").exists():
            time.sleep(0.1)
        return super().decode(*arguments)
"""


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Booted, with the daemon's environment below /opt and a broker that wants a password."""
    work = Path(os.environ["EDGEINFER_CONTAINER_WORK"])
    box = Machine(Path(os.environ["EDGEINFER_CONTAINER_BASE"]), work)
    shutil.copytree(work / "opt", box.root / OPT.lstrip("/"), symlinks=True)
    _add_plug_in(box)
    box.write("/etc/mosquitto/conf.d/box.conf", _BROKER)
    box.write("/etc/mosquitto/passwords", f"edge:{_PASSWORD}\n", 0o600)
    try:
        seconds = box.boot()
        print(f"\nsystemd {box.run('systemctl --version').stdout.split()[1]} is up after {seconds:.1f} s")
        box.run("mosquitto_passwd -U /etc/mosquitto/passwords && chown mosquitto: /etc/mosquitto/passwords && "
                "systemctl restart mosquitto")
        box.run(f"{OPT}/bin/python3 -m compileall -q -j 2 {PACKAGES}", check=False)  # as pip does at an installation
        yield box
    finally:
        box.stop()


def _add_plug_in(box: Machine) -> None:
    box.write(f"{PACKAGES}/hanging.py", _HANGING)
    box.write(f"{PACKAGES}/hanging-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: hanging\nVersion: 1\n")
    box.write(f"{PACKAGES}/hanging-1.dist-info/entry_points.txt", "[edgeinfer.decoders]\nhanging = hanging:Hanging\n")
    bundle = box.root / "srv/hanging"
    shutil.copytree(box.root / EXAMPLES.lstrip("/") / "digits/bundle", bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["decoder"]["name"] = "hanging"
    (bundle / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """Not installed; a configuration that works is written. Whatever the test leaves is removed."""
    machine.write(CONFIG, yaml.safe_dump(Service.configuration()))
    machine.write("/etc/edgeinfer/mqtt-password", f"{_PASSWORD}\n", 0o600)
    machine.run("systemctl start mosquitto")
    yield Service(machine)
    machine.run("rm -f /run/hang")
    for unit in machine.run("ls /etc/systemd/system | grep -oP '^edgeinfer(@[^.]*)?(?=\\.service$)' || true").stdout.split():
        _, _, name = unit.partition("@")
        machine.run(f"{OPT}/bin/python3 -m edgeinfer service uninstall" + (f" --name {name}" if name else ""))
    machine.run("rm -rf /etc/systemd/system/edgeinfer*.service.d /var/lib/edgeinfer && systemctl daemon-reload")
    until(lambda: machine.run("pgrep -f 'edgeinfer run'", check=False).returncode, "no daemon is left", 20)
