"""The power goes while the daemon publishes: what SQLite called committed is on the disk, and the database is whole."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.lanes.powercut.conftest import ROUNDS
from tests.lanes.vm.guest import Guest
from tests.lanes.vm.machine import Machine

Disk = Callable[[], AbstractContextManager[Path]]
DROP_IN = """[Service]
ExecStart=
ExecStart=/opt/edgeinfer/bin/python3 /opt/lane/witnessed.py run /etc/edgeinfer/edgeinfer.yaml
DeviceAllow=char-virtio-portsdev rw
"""
SOURCE = {"kind": "synthetic", "width": 32, "height": 32, "fps": 50}
OUTBOX = "var/lib/edgeinfer/outbox.db"


@pytest.fixture(scope="module")
def publishing(machine: Machine) -> str:
    """The name of a snapshot in which the daemon publishes."""
    machine.resume()
    guest = Guest(machine)
    guest.deploy()
    machine.write("/opt/lane/witnessed.py", (Path(__file__).parent / "witnessed.py").read_bytes())
    machine.write("/etc/systemd/system/edgeinfer.service.d/witness.conf", DROP_IN)
    machine.run("chmod 666 /dev/virtio-ports/witness /dev/vport*")
    pipelines = {"a": {"bundle": "colours", "source": SOURCE}, "b": {"bundle": "colours", "source": SOURCE}}
    guest.start(pipelines, outbox={"commit_delay_ms": 20})
    with guest.listening() as heard:
        deadline = time.monotonic() + 60
        while len(heard.results) < 20:
            assert time.monotonic() < deadline, guest.log()
            time.sleep(0.1)
    machine.save("publishing")
    machine.cut()
    return "publishing"


@pytest.mark.parametrize("round", range(ROUNDS))
def test_no_committed_result_is_lost(machine: Machine, disk: Disk, publishing: str, round: int) -> None:
    """Every other time the broker is gone, so that results stay; the rest of the time they come and go."""
    began = time.monotonic()
    machine.resume(publishing)
    if round % 2:
        machine.run("systemctl kill -s KILL mosquitto; systemctl stop mosquitto")
    time.sleep(random.uniform(1, 6))
    machine.cut()
    committed, removed = _witness(machine.witness)
    assert committed, "the daemon wrote nothing"
    with disk() as root:
        kept, integrity = _outbox(root)
    lost = committed - removed - kept
    print(f"\nround {round}: {len(committed)} committed, {len(removed)} acknowledged, {len(kept)} on disk, {len(lost)} lost, "
          f"{integrity}, {time.monotonic() - began:.1f} s")
    assert integrity == "ok"
    assert not lost
    if round % 2:
        assert len(committed - removed) > 20


def _witness(path: Path) -> tuple[set[int], set[int]]:
    """Ids that were committed, and those that were about to be removed."""
    lines = path.read_text().split("\n")[:-1]  # the last may be half a line
    return {int(line) for line in lines if line[:1] == "+"}, {-int(line) for line in lines if line[:1] == "-"}


def _outbox(root: Path) -> tuple[set[int], str]:
    """The rows on disk, and what SQLite says of the file."""
    database = sqlite3.connect(root / OUTBOX)
    try:
        ids = {row[0] for row in database.execute("SELECT id FROM results UNION SELECT id FROM parked")}
        return ids, str(database.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        database.close()
