"""The power goes while a model is installed: the old one or the new one is there, whole, and nothing else is taken for one."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edgeinfer.model import bundle as bundles
from edgeinfer.store import Store
from tests.bundles import colours, variant
from tests.lanes.powercut.conftest import ROUNDS
from tests.lanes.vm.guest import Guest
from tests.lanes.vm.machine import Machine

Disk = Callable[[], AbstractContextManager[Path]]
VERSIONS, FIRST = 100, 20  # those before FIRST are for the command, the others for switching.py
INSTALLED: Counter[str] = Counter()
# installs version after version, and tells the host of each that it was told is installed
LOOP = """
exec 3>/dev/virtio-ports/witness
echo loop >&3
for version in $(seq 2 19); do
  /opt/edgeinfer/bin/edgeinfer install /opt/lane/colours-$version.eib --state /var/lib/edgeinfer --allow-unsigned --json >/run/installed \
    2>/run/install-error && echo installed $version >&3 || { echo failed $version >&3; exit 1; }
done
"""


@pytest.fixture(scope="module")
def installing(machine: Machine) -> float:
    """Seconds that one installation takes; the snapshot ``installing`` is in the midst of them."""
    machine.resume()
    guest = Guest(machine)
    guest.deploy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = colours(folder)
        (folder / "packed").mkdir()
        for version in range(1, VERSIONS + 1):
            made = variant(first, folder / f"v{version}", str(version))
            bundles.pack(made.folder, folder / "packed" / f"colours-{version}.eib")
        machine.copy(folder / "packed", "/opt/lane")
    machine.write("/opt/lane/switching.py", (Path(__file__).parent / "switching.py").read_bytes())
    machine.run("mkdir -p /var/lib/edgeinfer && chown edgeinfer: /var/lib/edgeinfer && chmod a+r /opt/lane/*; sync; "
                "/opt/edgeinfer/bin/edgeinfer install /opt/lane/colours-1.eib --state /var/lib/edgeinfer --allow-unsigned", timeout_s=200)
    machine.write("/opt/lane/loop.sh", LOOP)
    machine.run("sync; systemd-run -q --unit loop sh /opt/lane/loop.sh")
    _told(machine, 2)  # the first has read Python's files from the disk
    began = time.monotonic()
    _told(machine, 3)
    seconds = time.monotonic() - began
    machine.save("installing")
    machine.cut()
    print(f"\nan installation takes {seconds:.1f} s")
    return seconds


def _told(machine: Machine, version: int) -> None:
    deadline = time.monotonic() + 180
    while f"installed {version}\n" not in machine.witness.read_text():
        assert time.monotonic() < deadline, machine.run("cat /run/install-error; journalctl -u loop --no-pager -o cat")
        time.sleep(0.05)


@pytest.mark.parametrize("round", range(ROUNDS))
def test_the_store_is_always_whole(machine: Machine, disk: Disk, installing: float, round: int) -> None:
    """``current`` names a bundle whose files have their digests, the last that was told to be installed or the one after it. Every
    other cut falls into a row of switches without trials between them, where nearly all the time goes into the folders."""
    began = time.monotonic()
    machine.resume("installing")
    if round % 2:
        machine.run("systemctl kill -s KILL loop; "
                    f"systemd-run -q --unit switching /opt/edgeinfer/bin/python3 /opt/lane/switching.py {FIRST} {VERSIONS}", check=False)
        _told(machine, FIRST)
        time.sleep(random.uniform(0, 2))
    else:
        time.sleep(random.uniform(0, 2 * installing))
    machine.cut()
    said = machine.witness.read_text().split("\n")[:-1]
    assert not [line for line in said if line.startswith("failed")], said
    with disk() as root:
        store = Store(root / "var/lib/edgeinfer/models")
        assert store.names() == ["colours"]
        current, previous = store.current("colours"), store.previous("colours")
        assert current is not None
        bundle = bundles.read(current, verify=True)
        for other in (previous, store.candidate("colours")):
            if other is not None:
                bundles.read(other, verify=True)
    told = [int(line.split()[1]) for line in said if line.startswith("installed")]
    if told:
        assert bundle.manifest.sequence in (told[-1], told[-1] + 1)
    else:
        assert bundle.manifest.sequence >= 3  # the snapshot's
    INSTALLED[bundle.manifest.version] += 1
    print(f"\nround {round}: told {told}, on disk {bundle.manifest.version}, previous {previous and previous.name}, "
          f"{time.monotonic() - began:.1f} s")


def test_the_cuts_were_spread_over_installations() -> None:
    """Twenty cuts that all hit the same moment would show little."""
    if ROUNDS >= 20:
        assert len(INSTALLED) >= 2, INSTALLED
