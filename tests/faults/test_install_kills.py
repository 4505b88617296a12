"""Killed at any moment, on a full disk, on one that cannot be written to: the old bundle is in use, or the new one, whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("ai_edge_litert")

from edgeinfer import admission
from edgeinfer.admission import install
from edgeinfer.errors import BundleError, StorageError
from edgeinfer.model import bundle
from edgeinfer.store import Store
from tests.conftest import ROOT
from tests.faults.install_killer import CHANGES
from tests.installs import MAKER, make_eib, public_key, stub_trial

KEYS = [MAKER.public]


@pytest.fixture(scope="module")
def eibs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("eibs")
    return {sequence: make_eib(folder, sequence, name="door") for sequence in (3, 4, 5, 6, 7)}


@pytest.fixture(autouse=True)
def no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "trial", stub_trial)


def prepared(state: Path, eibs: dict[int, Path], change: str) -> Path:
    """A state folder with door 5 in use and 4 before it; 6 is a candidate where that is what changes, and 5 is
    damaged where that is."""
    state.mkdir()
    store = Store(state / "models")
    for sequence in (3, 4, 5):
        install(store, eibs[sequence], keys=KEYS)
    if change == "promote":
        install(store, eibs[6], keys=KEYS, stage=True)
    if change == "repair":
        (state / "models" / "door" / "current" / "labels.txt").write_bytes(bytes(15))
    return state


def fill(path: Path) -> None:
    """Until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


def sequences(store: Store) -> tuple[int, ...]:
    """Of the bundle in use and the one before it, both read to the last byte."""
    links = [link for link in (store.current("door"), store.previous("door")) if link is not None]
    return tuple(bundle.read(folder, keys=KEYS).manifest.sequence for folder in links)


# what may be in use, and before it, after a kill; the first is how it was, the last what the change does
OUTCOMES: dict[str, list[tuple[int, ...]]] = {
    "install": [(5, 4), (5,), (6, 5)],
    "stage": [(5, 4)],
    "promote": [(5, 4), (5,), (6, 5)],
    "rollback": [(5, 4), (4,), (4, 5)],
    "reject": [(5, 4), (4,)],
}


@pytest.fixture(scope="module")
def killed(eibs: dict[int, Path]) -> Iterator[dict[str, list[Path]]]:
    """For each change the copies of a state folder that were left, by the step before which it was killed. In memory, where a
    sync costs nothing: a kill does not ask what is on the disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        command = [sys.executable, "-m", "tests.faults.install_killer"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(admission, "trial", stub_trial)
            for change in CHANGES:
                state = prepared(Path(folder) / change, eibs, change)
                command += [change, str(state), str(eibs[5 if change == "repair" else 6]), f"{state}-killed"]
        subprocess.run(command, cwd=ROOT, check=True, timeout=110)
        yield {change: sorted((Path(folder) / f"{change}-killed").iterdir(), key=lambda path: int(path.name)) for change in CHANGES}


@pytest.mark.parametrize("change", OUTCOMES)
def test_a_kill_at_any_step_leaves_the_old_bundle_or_the_new_one(change: str, eibs: dict[int, Path], killed: dict[str, list[Path]]) -> None:
    """Whole, and the next installation finishes what was begun and leaves nothing lying about."""
    copies = killed[change]
    assert len(copies) > {"install": 25, "stage": 20}.get(change, 5)
    for copy in copies:
        store = Store(copy / "models")
        found = sequences(store)
        assert found in OUTCOMES[change], f"killed before step {copy.name}"
        highest = store.highest("door", signed=True)
        assert highest is not None
        assert highest.sequence >= found[0]
    assert sequences(Store(copies[0] / "models")) == OUTCOMES[change][0]
    assert sequences(Store(copies[-1] / "models")) == OUTCOMES[change][-1]
    for copy in copies[:: max(1, len(copies) // 5)]:
        store = Store(copy / "models")
        install(store, eibs[7], keys=KEYS)
        assert sequences(store)[0] == 7
        strangers = {"3-", "current.new", "previous.new"}
        assert not [path for path in (copy / "models").rglob("*") if path.name[:2] in strangers or path.name.endswith(".new")]
        assert not (copy / "models" / ".incoming").exists()


def test_each_change_is_killed() -> None:
    """All but the repair of a damaged bundle, which has its own test."""
    assert set(OUTCOMES) | {"repair"} == set(CHANGES)


def test_a_damaged_bundle_is_repaired_by_installing_it_again(eibs: dict[int, Path], killed: dict[str, list[Path]]) -> None:
    """A block of the card went bad: the same file, installed again, is not 'already installed'; killed at any step, the next
    time mends it."""
    assert sequences(Store(killed["repair"][-1] / "models")) == (5, 4)
    with pytest.raises(BundleError, match="other content"):
        sequences(Store(killed["repair"][0] / "models"))
    for copy in killed["repair"][::3]:
        store = Store(copy / "models")
        install(store, eibs[5], keys=KEYS)
        assert sequences(store)[0] == 5


def test_a_full_disk_keeps_what_is_in_use(eibs: dict[int, Path], small_disk: Path, tmp_path: Path) -> None:
    """One error, nothing half-written in the way, and with room again it goes on."""
    state = prepared(small_disk / "state", eibs, "install")
    store = Store(state / "models")
    filler = small_disk / "filler"
    fill(filler)
    with pytest.raises(StorageError, match="No space"):
        install(store, eibs[6], keys=KEYS)
    with pytest.raises(StorageError, match="No space"):
        store.rollback("door", "a reason that must be written")
    assert sequences(store) == (5, 4)
    assert not (store.folder / ".incoming").exists()
    filler.unlink()
    assert install(store, eibs[6], keys=KEYS).outcome == "switched"
    assert sequences(store) == (6, 5)


@pytest.mark.parametrize("room", [0, 1, 2, 4, 6, 8, 12, 16])
def test_a_disk_that_fills_up_on_the_way_keeps_what_is_in_use(room: int, eibs: dict[int, Path], small_disk: Path) -> None:
    """With so many pages left, each a little further on."""
    store = Store(prepared(small_disk / "state", eibs, "install") / "models")
    filler = small_disk / "filler"
    fill(filler)
    os.truncate(filler, filler.stat().st_size - room * 4096)
    try:
        install(store, eibs[6], keys=KEYS)
    except StorageError:
        assert sequences(store)[0] == 5
    else:
        assert sequences(store) == (6, 5)


def test_a_disk_that_cannot_be_written_to_is_one_error(eibs: dict[int, Path], small_disk: Path) -> None:
    """What is in use can still be read."""
    store = Store(prepared(small_disk / "state", eibs, "install") / "models")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for change in (lambda: install(store, eibs[6], keys=KEYS), lambda: store.rollback("door"),
                   lambda: store.reject("door", "0" * 64, "x"), lambda: store.end_probation("door")):
        with pytest.raises(StorageError, match="Read-only"):
            change()
    assert sequences(store) == (5, 4)


def test_a_kill_during_the_trial_leaves_no_process(eibs: dict[int, Path], tmp_path: Path) -> None:
    """Neither the loader, which hangs here, nor anything in the way of the next installation."""
    state = prepared(tmp_path / "state", eibs, "install")
    package = tmp_path / "evil" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "interpreter.py").write_text("import os, sys, time\nos.write(2, b'here')\ntime.sleep(60)\n")
    keys = public_key(tmp_path / "keys").parent
    program = "from edgeinfer.outermost import run_program\nfrom edgeinfer.cli.install import command\nrun_program(command)"
    installing = subprocess.Popen([sys.executable, "-c", program, str(eibs[6]), "--state", str(state), "--keys", str(keys)],
                                  env={**os.environ, "PYTHONPATH": f"{package.parent}:{ROOT}"}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not loaders(state) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert loaders(state)
    time.sleep(0.5)  # until it has asked to die with its parent: a moment after it began
    installing.send_signal(signal.SIGKILL)
    installing.communicate()
    while loaders(state) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not loaders(state)
    assert (state / "models" / ".incoming").exists()
    assert sequences(Store(state / "models")) == (5, 4)
    assert install(Store(state / "models"), eibs[6], keys=KEYS).outcome == "switched"
    assert not (state / "models" / ".incoming").exists()


def loaders(state: Path) -> list[int]:
    """The processes that try a model of this store."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"edgeinfer.model.sandbox" in path.read_bytes() and str(state).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_the_copy_of_a_store_is_a_store(eibs: dict[int, Path], tmp_path: Path) -> None:
    """Its links are relative: it may be moved, restored from a backup or mounted elsewhere."""
    state = prepared(tmp_path / "state", eibs, "install")
    shutil.copytree(state, tmp_path / "backup", symlinks=True)
    shutil.rmtree(state)
    assert sequences(Store(tmp_path / "backup" / "models")) == (5, 4)
