"""The service under a real systemd. Each name is a claim."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.lanes.container.machine import until
from tests.lanes.container.service import CONFIG, EXAMPLES, OPT, Service


def test_it_installs_starts_and_is_ready(service: Service) -> None:
    begun = time.monotonic()
    said = service.install()
    print(f"\ninstalled and READY after {time.monotonic() - begun:.1f} s\n{said}", end="")
    assert "READY" in said
    assert (service["ActiveState"], service["UnitFileState"], service["NRestarts"]) == ("active", "enabled", "0")


def test_the_password_comes_from_a_credential(service: Service) -> None:
    """The broker refuses whoever has none; the file is root's alone."""
    service.install()
    result = service.received("edgeinfer/box/digits/result")
    assert (result["pipeline"], result["model"].split(":")[0]) == ("digits", "digits")
    anonymous = service.machine.run("mosquitto_sub -h 127.0.0.1 -t '#' -C 1 -W 2", check=False)
    assert "not authorised" in anonymous.stderr


def test_a_second_installation_changes_nothing(service: Service) -> None:
    service.install()
    pid, written = service.pid, service.machine.run("stat -c %Y.%i /etc/systemd/system/edgeinfer.service").stdout
    said = service.install()
    assert "nothing changed" in said
    assert (service.pid, service.machine.run("stat -c %Y.%i /etc/systemd/system/edgeinfer.service").stdout) == (pid, written)


def test_its_exposure_is_at_most_1_5(service: Service) -> None:
    """With a camera allowed."""
    service.machine.write(CONFIG, yaml.safe_dump(Service.configuration(source={"kind": "camera", "device": "/dev/video0"})))
    service.install()
    judged = service.machine.run("systemd-analyze security --no-pager --threshold=15 edgeinfer.service")
    print(f"\n{judged.stdout.splitlines()[-1]}")
    assert "char-video4linux rw" in service["DeviceAllow"]


@pytest.mark.parametrize("which", [0, 1], ids=["bookworm", "jammy"])
def test_an_older_systemd_takes_the_units(which: int) -> None:
    """And each of them with each drop-in. Two keys of 254 are unknown there, which is a warning."""
    root = Path(os.environ["EDGEINFER_CONTAINER_OLDER"].split(":")[which])
    scratch = root / "srv/units"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(ROOT / "systemd", scratch)
    shutil.copy(scratch / "edgeinfer@.service", scratch / "edgeinfer@one.service")
    for drop_in in (ROOT / "systemd/drop-ins").glob("*.conf"):
        shutil.copy(ROOT / "systemd/edgeinfer.service", scratch / f"with-{drop_in.stem}.service")
        (scratch / f"with-{drop_in.stem}.service.d").mkdir()
        shutil.copy(drop_in, scratch / f"with-{drop_in.stem}.service.d")
    ended = subprocess.run(["systemd-nspawn", "--quiet", f"--directory={root}", "--register=no", "--keep-unit", "--pipe", "--as-pid2",
                            "bash", "-c", _VERIFY], capture_output=True, text=True, check=False)
    shutil.rmtree(scratch)
    print(f"\n{ended.stdout}", end="")
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if re.search("edgeinfer|with-", line)]
    assert sum("RestartSteps" in line for line in said) == 2 + len(list((ROOT / "systemd/drop-ins").glob("*.conf")))
    assert [line for line in said if not re.search("RestartSteps|RestartMaxDelaySec|python3 is not executable", line)] == []


_VERIFY = """mkdir -p /run/systemd/system; cd /srv/units; systemd-analyze --version | head -n 1
for unit in edgeinfer edgeinfer@one with-*.service; do systemd-analyze verify ./${unit%.service}.service; done"""


def test_it_is_restarted_after_a_kill(service: Service) -> None:
    service.install()
    before = service.pid
    service.machine.run(f"kill -KILL {before}")
    seconds = until(lambda: service["MainPID"] not in {"0", str(before)} and service.is_active, "it runs again", 30)
    print(f"\nactive again {seconds:.1f} s after a SIGKILL")
    assert service["NRestarts"] == "1"


def test_the_watchdog_kills_a_daemon_whose_inference_hangs_and_only_that(service: Service) -> None:
    """A broker that is gone and a camera that is gone do not matter to it, a third party's decoder that hangs does."""
    machine = service.machine
    config = Service.configuration(bundle="/srv/hanging")
    config["pipelines"]["gone"] = {"bundle": f"{EXAMPLES}/digits/bundle", "source": {"kind": "camera", "device": "/dev/video9"}}
    machine.write(CONFIG, yaml.safe_dump(config))
    service.watched(5)
    service.install()
    before = service.pid
    machine.run("systemctl stop mosquitto")
    time.sleep(16)  # more than three times what the watchdog waits
    assert (service.pid, service["NRestarts"]) == (before, "0")
    machine.run("touch /run/hang")
    seconds = until(lambda: service.pid != before, "the watchdog kills it", 30)
    machine.run("rm /run/hang")
    print(f"\nkilled {seconds:.1f} s after its inference hung, with WatchdogSec=5")
    assert "Watchdog timeout" in machine.journal(service.unit)
    until(lambda: service.is_active, "it runs again", 30)
    assert service["NRestarts"] == "1"


def test_a_wrong_configuration_is_no_loop(service: Service) -> None:
    service.install()
    service.machine.write(CONFIG, "pipelines: {}\n")
    service.machine.run(f"systemctl restart {service.unit}", check=False)
    time.sleep(5)  # twice RestartSec
    found = [service[name] for name in ("ActiveState", "Result", "ExecMainStatus", "NRestarts")]
    assert found == ["failed", "exit-code", "78", "0"]


def test_a_reload_takes_up_a_changed_configuration(service: Service) -> None:
    service.install()
    before = service.pid
    config = Service.configuration()
    config["pipelines"] = {"renamed": config["pipelines"]["digits"]}
    service.machine.write(CONFIG, yaml.safe_dump(config))
    service.machine.run(f"systemctl reload {service.unit}")
    assert service.received("edgeinfer/box/renamed/result")["pipeline"] == "renamed"
    assert service.pid == before


def test_what_fails_the_check_is_not_installed(service: Service) -> None:
    """With the error of the check itself, and nothing left behind."""
    before = service.machine.files()
    service.machine.write(CONFIG, yaml.safe_dump(Service.configuration(bundle="/srv/nowhere")))
    ended = service.edgeinfer("install", CONFIG, check=False)
    assert ended.returncode == 64
    assert "/srv/nowhere" in ended.stderr
    assert service.machine.files() == before


def test_a_configuration_that_the_user_may_not_read_is_refused(service: Service) -> None:
    service.machine.run(f"chmod 600 {CONFIG}")
    ended = service.edgeinfer("install", CONFIG, check=False)
    service.machine.run(f"chmod 644 {CONFIG}")
    assert ended.returncode in {64, 78}
    assert "readable" in ended.stderr
    assert f"sudo -u edgeinfer cat '{CONFIG}'" in ended.stderr


def test_a_missing_password_is_refused(service: Service) -> None:
    service.machine.run("mv /etc/edgeinfer/mqtt-password /etc/edgeinfer/elsewhere")
    ended = service.edgeinfer("install", CONFIG, check=False)
    service.machine.run("mv /etc/edgeinfer/elsewhere /etc/edgeinfer/mqtt-password")
    assert (ended.returncode, "install -m 600" in ended.stderr) == (78, True)


@pytest.mark.parametrize("purge", [False, True])
def test_uninstalling_leaves_nothing(service: Service, purge: bool) -> None:
    """But for the state and the configuration, which go with --purge; the state is then root's."""
    machine = service.machine
    before = machine.files()
    service.install("--drop-in", "sound")
    assert len(machine.files() - before) > 4
    said = service.edgeinfer("uninstall", *(["--purge"] if purge else [])).stdout
    left = machine.files() - before
    print(f"\n{said}", end="")
    if purge:
        assert left == set()
        assert before - machine.files() == {CONFIG, "/etc/edgeinfer/mqtt-password", "/etc/edgeinfer"}
    else:
        assert {path for path in left if not path.startswith("/var/lib/edgeinfer")} == set()
        assert "root" in machine.run("find /var/lib/edgeinfer -printf '%u\\n' | sort -u").stdout.split()
    assert machine.run("getent passwd edgeinfer", check=False).returncode == 2
    assert "not installed" in service.edgeinfer("uninstall").stdout
    if not purge:
        service.install()  # takes the kept state up again
        assert machine.run("stat -c %U /var/lib/edgeinfer/outbox.db").stdout.strip() == "edgeinfer"


def test_instances_do_not_share_anything(service: Service) -> None:
    machine = service.machine
    one, two = Service(machine, "one"), Service(machine, "two")
    for each, node in ((one, "box1"), (two, "box2")):
        machine.write(f"/etc/edgeinfer/{node}.yaml", yaml.safe_dump({**Service.configuration(), "node": node}))
        assert "READY" in each.install(config=f"/etc/edgeinfer/{node}.yaml")
        assert each.received(f"edgeinfer/{node}/digits/result")["pipeline"] == "digits"
    assert machine.run("ls /var/lib/edgeinfer").stdout.split() == ["one", "two"]
    one.edgeinfer("uninstall", "--purge")
    assert (one["LoadState"], two.is_active) == ("not-found", True)
    assert machine.run("id -un edgeinfer").stdout.strip() == "edgeinfer"
    two.edgeinfer("uninstall", "--purge")


def test_a_home_is_hidden_but_for_what_is_needed(service: Service) -> None:
    """Configuration, bundle and interpreter below a home that only its owner may enter."""
    machine = service.machine
    machine.run(f"mkdir -p /home/pi/edge /home/pi/secrets && cp -r {EXAMPLES}/digits/bundle /home/pi/edge && cp -al {OPT} /home/pi/venv "
                "&& chmod 700 /home/pi")
    try:
        machine.write("/home/pi/edge/edgeinfer.yaml", yaml.safe_dump(Service.configuration(bundle="bundle")))
        machine.run("/home/pi/venv/bin/edgeinfer service install /home/pi/edge/edgeinfer.yaml")
        assert service.received("edgeinfer/box/digits/result")["pipeline"] == "digits"
        assert machine.run(f"tr '\\0' ' ' </proc/{service.pid}/cmdline").stdout.startswith("/home/pi/venv/bin/python3 -m edgeinfer")
        seen = machine.run(f"nsenter -t {service.pid} -m ls /home /home/pi").stdout.split()
        assert seen == ["/home:", "pi", "/home/pi:", "edge", "venv"]
    finally:
        service.edgeinfer("uninstall")
        machine.run("rm -r /home/pi")


def test_an_installed_model_is_served_and_is_the_services_own(service: Service) -> None:
    """Installed by root before the service has ever run; `current` is followed."""
    machine = service.machine
    packed = machine.root / "srv/digits.eib"
    subprocess.run([sys.executable, "-m", "quantize.cli", "pack", str(ROOT / "examples/digits/bundle"), "-o", str(packed)], check=True,
                   capture_output=True, cwd=ROOT)
    machine.run(f"{OPT}/bin/edgeinfer install /srv/digits.eib --allow-unsigned")
    config = Service.configuration(model="digits")
    del config["pipelines"]["digits"]["bundle"]
    machine.write(CONFIG, yaml.safe_dump(config))
    service.install()
    assert service.received("edgeinfer/box/digits/result")["pipeline"] == "digits"
    assert machine.run("find /var/lib/edgeinfer -printf '%u\\n' | sort -u").stdout.split() == ["edgeinfer"]
    assert "is installed already" in machine.run(f"{OPT}/bin/edgeinfer install /srv/digits.eib --allow-unsigned").stdout
    assert machine.run("find /var/lib/edgeinfer -printf '%u\\n' | sort -u").stdout.split() == ["edgeinfer"]


def test_the_process_has_no_privileges(service: Service) -> None:
    service.install()
    status = dict(re.findall(r"^(\w+):\s+(.*)$", service.machine.run(f"cat /proc/{service.pid}/status").stdout, re.MULTILINE))
    assert (status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]) == ("0" * 16, "0" * 16, "1", "2")
    assert status["Uid"].split()[0] == service.machine.run("id -u edgeinfer").stdout.strip()
    assert service.machine.run("stat -c '%a %U' /var/lib/edgeinfer").stdout.split() == ["700", "edgeinfer"]


def test_every_drop_in_starts(service: Service) -> None:
    """Those whose group this machine lacks come without it, and with a word on that."""
    wanted = [word for path in sorted((ROOT / "systemd/drop-ins").glob("*.conf")) for word in ("--drop-in", path.stem)]
    ended = service.edgeinfer("install", CONFIG, *wanted)
    assert "READY" in ended.stdout
    assert "no group gpio here" in ended.stderr
    assert len(service.status()["drop_ins"]) == len(wanted) // 2
    said = service.install()
    assert said.count("no longer needed") == len(wanted) // 2


def test_status_says_what_systemd_and_the_daemon_know(service: Service) -> None:
    assert (service.status()["installed"], service.status()["state"]) == (False, "inactive")
    service.install()
    found = service.status()
    assert (found["installed"], found["enabled"], found["state"], found["pid"]) == (True, True, "active", service.pid)
    until(lambda: service.status()["health"], "the daemon has written its health", 20)
    assert service.status()["health"]["node"] == "box"
    assert service.edgeinfer("status").stdout.startswith("edgeinfer.service: installed, enabled; active (running), 0 restarts")
    service.edgeinfer("uninstall")
    assert service.edgeinfer("status", check=False).returncode == 3
