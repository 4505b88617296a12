"""What kills the daemon or the whole machine from outside: memory that is not there, and a kernel that is dead."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from tests.broker import until
from tests.daemon import check_equations
from tests.lanes.vm.guest import Guest

SYNTHETIC = {"door": {"bundle": "colours", "source": {"kind": "synthetic", "width": 32, "height": 32, "fps": 10}}}


def test_a_daemon_that_exceeds_its_memory_is_killed_restarted_and_loses_nothing(guest: Guest) -> None:
    """MemoryMax below what it has: the kernel kills it, systemd starts it anew, and what was on disk when it died arrives."""
    guest.start(SYNTHETIC, outbox={"commit_delay_ms": 50})
    with guest.listening() as heard:
        until(lambda: heard.count("door") > 10, "results", 120)
    guest.run("systemctl stop mosquitto")
    time.sleep(5)
    before = int(guest.show("NRestarts"))
    guest.run("systemctl set-property --runtime edgeinfer.service MemoryMax=8M", check=False)
    until(lambda: int(guest.show("NRestarts")) > before or guest.show("ActiveState") in ("failed", "activating"), "the kill", 120)
    result = guest.show("Result")
    boots = _rows(guest)  # before there is memory enough for the next start to get as far as the outbox
    guest.run("systemctl set-property --runtime edgeinfer.service MemoryMax=infinity", check=False)
    until(lambda: guest.show("ActiveState") == "active", "the restart", 300)
    said = guest.run("journalctl -u edgeinfer --no-pager -o cat | grep -i 'oom' | tail -2; dmesg | grep -i 'oom-kill\\|Memory cgroup out' | tail -2")
    print(f"\nkilled, result while it was down: {result}; restarts {guest.show('NRestarts')}; {sum(map(len, boots.values()))} results "
          f"on disk when it died\n{said}")
    assert "oom" in said.lower()
    guest.run("systemctl start mosquitto")  # which remembers the subscriber of before
    with guest.listening() as heard:
        until(lambda: all(set(numbers) <= set(heard.sequences("door").get(boot, [])) for boot, numbers in boots.items()),
              "all that was on disk", 180)
        until(lambda: bool(heard.health), "health", 60)
        check_equations(heard.health[-1])


def _rows(guest: Guest) -> dict[str, list[int]]:
    """The sequence numbers on disk, by boot; read from a copy of the database and its log."""
    with tempfile.TemporaryDirectory() as name:
        packed = guest.machine.fetch("/var/lib/edgeinfer", "outbox.db", "outbox.db-wal")
        subprocess.run(["tar", "-C", name, "-xf", "-"], input=packed, check=True)
        database = sqlite3.connect(Path(name) / "outbox.db")
        payloads = [json.loads(row[0]) for row in database.execute("SELECT payload FROM results")]
        database.close()
    boots: dict[str, list[int]] = {}
    for payload in payloads:
        boots.setdefault(payload["boot"], []).append(payload["seq"])
    return boots


def test_a_dead_machine_is_reset_by_its_watchdog_and_the_daemon_comes_back(guest: Guest) -> None:
    """RuntimeWatchdogSec over an i6300esb: the kernel panics, nobody feeds the watchdog, and the machine starts anew."""
    guest.start(SYNTHETIC)
    guest.run("modprobe i6300esb; systemctl enable edgeinfer.service mosquitto.service; echo i6300esb > /etc/modules-load.d/watchdog.conf; "
              "mkdir -p /etc/systemd/system.conf.d; printf '[Manager]\\nRuntimeWatchdogSec=10\\n' > /etc/systemd/system.conf.d/watchdog.conf; "
              "sync; systemctl daemon-reexec", timeout_s=120)
    boot = guest.run("cat /proc/sys/kernel/random/boot_id")
    assert "active" in guest.run("wdctl | head -20; cat /sys/class/watchdog/watchdog0/state")
    guest.run("sysctl -q kernel.panic=0; sync; (sleep 1; echo c > /proc/sysrq-trigger) >/dev/null 2>&1 &", check=False)
    began = time.monotonic()
    time.sleep(2)
    until(lambda: _boot(guest) not in ("", boot), "the next boot", 600)
    print(f"\nreset and booted {time.monotonic() - began:.1f} s after the panic")
    until(lambda: guest.run("systemctl is-active edgeinfer", check=False) == "active", "the daemon", 300)
    with guest.listening() as heard:
        until(lambda: heard.count("door") > 10, "results", 120)
    print(f"results again after {time.monotonic() - began:.1f} s")


def _boot(guest: Guest) -> str:
    guest.machine.forget()
    return guest.run("cat /proc/sys/kernel/random/boot_id", 20, check=False)
