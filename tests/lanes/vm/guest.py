"""The daemon in the machine: this checkout under its real unit, with devices that the kernel makes up and a real broker."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from quantize.pack import Given, pack
from tests import bundles
from tests.broker import until
from tests.daemon import Subscriber
from tests.lanes.vm.machine import Machine
from tests.models import window_tflite

__all__ = ["Guest", "recovery_s", "source"]

CHECKOUT = Path(__file__).resolve().parents[3]
_UNIT = "edgeinfer.service"
_SITE = "/opt/edgeinfer/lib/python3.13/site-packages"


class Guest:
    """``deploy`` once, then ``start`` with any configuration."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.run = machine.run

    def deploy(self, *drop_ins: str) -> None:
        """This checkout's package, its unit and user, and drop-ins of systemd/drop-ins."""
        machine = self.machine
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, CHECKOUT], check=True)
            (wheel,) = Path(folder).glob("*.whl")
            machine.write("/tmp/edgeinfer.whl", wheel.read_bytes())
        machine.run(f"rm -rf {_SITE}/edgeinfer {_SITE}/quantize && python3 -m zipfile -e /tmp/edgeinfer.whl {_SITE} && "
                    f"/opt/edgeinfer/bin/python3 -m compileall -q {_SITE}/edgeinfer >/dev/null", timeout_s=300)
        systemd = CHECKOUT / "systemd"
        machine.write(f"/etc/systemd/system/{_UNIT}", (systemd / _UNIT).read_bytes())
        machine.write("/usr/lib/sysusers.d/edgeinfer.conf", (systemd / "sysusers.conf").read_bytes())
        machine.run(f"systemd-sysusers; rm -rf /etc/systemd/system/{_UNIT}.d")
        for name in drop_ins:
            machine.write(f"/etc/systemd/system/{_UNIT}.d/{name}.conf", (systemd / "drop-ins" / f"{name}.conf").read_bytes())
        self.copy_bundles()

    def copy_bundles(self) -> None:
        """``colours`` (red, green, blue), and ``window``, which publishes the sixteen samples that it sees."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self.machine.copy(bundles.colours(folder).folder, "/etc/edgeinfer/colours")
            for kind, rate, hop in (("climate", 20.0, 4), ("sound", 16000.0, 8000)):
                window = {"kind": "window", "length": 16, "channels": 1, "hop": hop, "rate": rate, "normalize": "none"}
                model = window_tflite(folder / f"{kind}.tflite", dtype="float32")
                given = Given(decoder="raw", preprocess=window)
                self.machine.copy(pack(model, folder / kind, given).bundle.folder, f"/etc/edgeinfer/{kind}")
        self.machine.run("chmod -R a+rX /etc/edgeinfer")

    def start(self, pipelines: dict[str, Any], **more: Any) -> None:
        """Write the configuration and (re)start the unit; it is READY when this returns."""
        config = bundles.configuration(1883, pipelines, **more)
        self.machine.write("/etc/edgeinfer/edgeinfer.yaml", yaml.safe_dump(config))
        self.run(f"systemctl daemon-reload; chmod -R a+rX /etc/edgeinfer; systemctl reset-failed {_UNIT} 2>/dev/null; "
                 f"systemctl restart {_UNIT} || (journalctl -u {_UNIT} -n 30 --no-pager -o cat; false)", timeout_s=400)

    def stop(self) -> None:
        self.run(f"systemctl stop {_UNIT}")

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.run(f"systemctl show -P {name} {_UNIT}")

    def log(self) -> str:
        return self.run(f"journalctl -u {_UNIT} --no-pager -o cat -n 60")

    @contextmanager
    def listening(self) -> Iterator[Subscriber]:
        """A subscriber to the guest's broker."""
        subscriber = Subscriber(self.machine.broker_port)
        try:
            yield subscriber.ready()
        finally:
            subscriber.close()

    def vivid(self) -> None:
        """The kernel's test camera as /dev/video0, a webcam of 320x180 and larger."""
        self.run("modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0 vid_cap_nr=0 && udevadm settle")

    def set(self, control: str, value: int = 1) -> float:
        """One of vivid's controls; the guest's time when it had been set."""
        return float(self.run(f"v4l2-ctl -d /dev/video0 -c {control}={value} && date +%s.%N").splitlines()[-1])


def recovery_s(subscriber: Subscriber, pipeline: str, ended: float, seconds: float = 60.0) -> float:
    """From the fault's end (guest's clock) to the time at which the first frame after it was captured."""
    def after() -> list[float]:
        times = (datetime.fromisoformat(result["ts"].replace("Z", "+00:00")).timestamp()
                 for result in list(subscriber.results) if result["pipeline"] == pipeline)
        return [when - ended for when in times if when > ended]

    until(lambda: bool(after()), f"a result of {pipeline} after the fault", seconds)
    return min(after())


def source(subscriber: Subscriber, pipeline: str) -> dict[str, Any]:
    """What the last health document says of a pipeline's source."""
    answer: dict[str, Any] = subscriber.health[-1]["pipelines"][pipeline]["source"]
    return answer
