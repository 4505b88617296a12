"""The Debian package in the container: installed, run, upgraded, removed, purged."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.lanes.container.machine import Machine, until
from tests.lanes.container.service import CONFIG, Service

_BROKER = "/etc/mosquitto/conf.d/box.conf"
_DPKG = "DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io"


@pytest.fixture(scope="module")
def packages(machine: Machine) -> list[str]:
    """Two revisions, as the container sees them; the second also has another example configuration."""
    begun = time.monotonic()
    built = subprocess.run([str(ROOT / "scripts/deb"), "trixie", "amd64"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    first = ROOT / built.stdout.strip()
    print(f"\n{first.name}: {first.stat().st_size / 1e6:.0f} MB, built in {time.monotonic() - begun:.0f} s")
    scratch = Path(os.environ["EDGEINFER_CONTAINER_WORK"]) / "second"
    second = machine.root / "srv/second.deb"
    shutil.copy(first, machine.root / "srv/first.deb")
    subprocess.run(["dpkg-deb", "-R", str(first), str(scratch)], check=True)
    control = scratch / "DEBIAN/control"
    control.write_text(control.read_text().replace("-1~", "-2~"))
    with (scratch / "etc/edgeinfer/edgeinfer.yaml").open("a") as example:
        example.write("# a new line\n")
    subprocess.run(["dpkg-deb", "-Znone", "-b", str(scratch), str(second)], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(scratch)
    return ["/srv/first.deb", "/srv/second.deb"]


@pytest.fixture(scope="module")
def clean(machine: Machine, packages: list[str]) -> Iterator[Machine]:
    """Neither the package nor anything of it; a broker without a password."""
    before = (machine.root / _BROKER.lstrip("/")).read_text()
    machine.run("rm -rf /etc/edgeinfer")
    machine.write(_BROKER, "listener 1883 127.0.0.1\nallow_anonymous true\n")
    machine.run("systemctl restart mosquitto")
    yield machine
    machine.write(_BROKER, before)
    machine.run("systemctl restart mosquitto")


@pytest.fixture(scope="module")
def installed(clean: Machine, packages: list[str]) -> Machine:
    clean.run(f"{_DPKG} -i {packages[0]}")
    return clean


def _result(machine: Machine) -> str:
    return machine.run("mosquitto_sub -h 127.0.0.1 -t 'edgeinfer/+/digits/result' -C 1 -W 30").stdout


def test_it_installs_runs_upgrades_and_purges(clean: Machine, packages: list[str]) -> None:
    machine, first, second = clean, *packages
    before = machine.files()
    begun = time.monotonic()
    said = machine.run(f"{_DPKG} -i {first}").stdout
    print(f"\ninstalled in {time.monotonic() - begun:.0f} s")
    assert "systemctl enable --now edgeinfer" in said
    assert machine.run("systemctl is-active edgeinfer", check=False).stdout.strip() == "inactive"

    assert "ok: 1 pipelines" in machine.run(f"runuser -u edgeinfer -- env STATE_DIRECTORY=/tmp/check edgeinfer check {CONFIG}").stdout
    machine.run("systemctl enable --now edgeinfer")
    assert '"pipeline":"digits"' in _result(machine).replace(" ", "")
    assert machine.run("systemd-analyze security --no-pager --threshold=15 edgeinfer.service").returncode == 0

    edited = machine.run(f"sed -i 's/^pipelines:/node: kept\\npipelines:/' {CONFIG} && cat {CONFIG}").stdout
    pid = machine.show("edgeinfer", "MainPID")
    machine.run(f"{_DPKG} --force-confdef --force-confold -i {second}")
    assert machine.run(f"cat {CONFIG}").stdout == edited
    assert "-2~trixie" in machine.run("dpkg-query -W edgeinfer").stdout
    assert machine.show("edgeinfer", "ActiveState") == "active"
    assert machine.show("edgeinfer", "MainPID") != pid

    machine.run(f"{_DPKG} --remove edgeinfer")
    assert machine.run("systemctl is-active edgeinfer", check=False).stdout.strip() == "inactive"
    assert machine.run(f"cat {CONFIG}").stdout == edited
    assert machine.run("ls /var/lib/edgeinfer").stdout
    assert not (machine.root / "opt/edgeinfer").exists()

    machine.run("rm -rf /tmp/check && dpkg --purge edgeinfer")
    assert machine.files() - before == set()
    assert machine.run("getent passwd edgeinfer", check=False).returncode == 2


def test_its_template_runs_one_daemon_a_configuration(installed: Machine) -> None:
    text = (installed.root / CONFIG.lstrip("/")).read_text()
    for name in ("one", "two"):
        installed.write(f"/etc/edgeinfer/{name}.yaml", text.replace("pipelines:", f"node: {name}\npipelines:"))
    installed.run("systemctl start edgeinfer@one edgeinfer@two")
    assert installed.run("ls /var/lib/edgeinfer").stdout.split() == ["one", "two"]
    for name in ("one", "two"):
        installed.run(f"mosquitto_sub -h 127.0.0.1 -t edgeinfer/{name}/digits/result -C 1 -W 30")
    installed.run("systemctl stop edgeinfer@one edgeinfer@two")


def test_the_password_of_the_packages_unit_is_optional(installed: Machine) -> None:
    """The unit reads /etc/edgeinfer/mqtt-password where it is there; a configuration that names it needs it."""
    before = (installed.root / CONFIG.lstrip("/")).read_text()
    config = yaml.safe_load(before)
    config["sink"] |= {"username": "edge", "password_credential": "mqtt-password"}
    installed.write(CONFIG, yaml.safe_dump(config))
    installed.run("systemctl start edgeinfer", check=False)
    until(lambda: installed.show("edgeinfer", "ActiveState") == "failed", "an empty password is refused", 20)
    assert installed.show("edgeinfer", "ExecMainStatus") == "78"
    installed.write("/etc/edgeinfer/mqtt-password", "a word\n", 0o600)
    installed.run("systemctl start edgeinfer")
    assert Service(installed).is_active
    installed.run("systemctl stop edgeinfer")
    installed.write(CONFIG, before)


def test_removing_the_package_removes_what_its_service_command_made(installed: Machine) -> None:
    """The rendered unit goes over the package's, and has a limit of memory."""
    assert "READY" in installed.run("edgeinfer service install").stdout
    assert re.fullmatch(r"\d+", installed.show("edgeinfer", "MemoryMax"))
    installed.run("dpkg --purge edgeinfer")
    assert not (installed.root / "etc/systemd/system/edgeinfer.service").exists()
