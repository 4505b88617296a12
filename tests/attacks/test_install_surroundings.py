"""Attacks on an installation by the place it goes to, by keys, and by what the model does in the process that tries it."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("ai_edge_litert")

from edgeinfer import admission
from edgeinfer.admission import install, trusted_keys
from edgeinfer.errors import (
    DataError,
    EdgeinferError,
    ModelError,
    ProbeError,
    StorageError,
    UnavailableError,
    UsageError,
)
from edgeinfer.model import bundle
from edgeinfer.model.trial import trial
from edgeinfer.ownership import become_owner
from tests.attacks.test_bundle_attacks import LABELS
from tests.attacks.test_install_attacks import BUNDLES
from tests.attacks.test_install_sources import FILES, SERVERS, server
from tests.attacks.yard import (
    Yard,
    made,
    raw_signed,
    refused,
    signed,
    tree,
)
from tests.installs import MAKER, make_bundle, public_key, sign, stub_trial


def linked(at: str, to: str) -> Callable[[Yard], None]:
    """A link in the place of something of the store's, which is moved away."""
    def attack(yard: Yard) -> None:
        place = yard.root / "state" / at
        if os.path.lexists(place):
            place.rename(yard.made / "moved")
        place.symlink_to(yard.root / to if to else yard.made / "moved")
    return attack


def written(at: str, content: bytes) -> Callable[[Yard], None]:
    return lambda yard: (yard.root / "state" / at).write_bytes(content) and None


SURROUNDINGS: dict[str, tuple[Callable[[Yard], Any], type[EdgeinferError], str]] = {
    "the models folder is a link": (linked("models", ""), StorageError, "a link"),
    "the model's folder is a link": (linked("models/door", ""), StorageError, "a link"),
    "the lock is a link": (linked("models/.installing", "victim"), StorageError, ""),
    "the models folder is a file": (lambda y: ((y.store.folder).rename(y.made / "m"), y.store.folder.write_text("")), StorageError, "a folder"),
    "everybody writes to the models folder": (lambda y: y.store.folder.chmod(0o777), StorageError, "not everybody"),
    "everybody writes to the model's folder": (lambda y: (y.store.folder / "door").chmod(0o777), StorageError, "not everybody"),
    "the highest sequence was damaged": (written("models/door/highest", b"\xff\0"), StorageError, "remove it"),
    "the highest sequence is a word": (written("models/door/highest", b"five abc signed\n"), StorageError, "remove it"),
    "the highest sequence is a link": (linked("models/door/highest", "victim"), StorageError, ""),
    "the rejected ones are a link": (linked("models/door/rejected.json", "victim"), StorageError, ""),
}


@pytest.mark.parametrize("attack", SURROUNDINGS)
def test_a_store_that_was_tampered_with_is_refused(attack: str, yard: Yard) -> None:
    """No link is followed, and nothing is written where others write."""
    prepare, kind, expected = SURROUNDINGS[attack]
    prepare(yard)
    yard.patch.setattr(admission, "trial", stub_trial)
    with pytest.raises(EdgeinferError) as caught:
        install(yard.store, signed(yard), keys=[MAKER.public])
    assert isinstance(caught.value, kind)
    assert expected in str(caught.value)
    assert (yard.root / "victim").read_text() == "untouched"


def test_links_in_the_way_of_an_installation_lead_nowhere(yard: Yard) -> None:
    """What a link in the store points to is neither written, removed nor taken as a bundle."""
    yard.patch.setattr(admission, "trial", stub_trial)
    (yard.root / "elsewhere").mkdir()
    (yard.root / "elsewhere" / "kept").write_text("kept")
    door = yard.store.folder / "door"
    for name in (".incoming", "door/.current.new", "door/99-000000000000", f"door/{bundle_name(yard)}"):
        (yard.store.folder / name).symlink_to(yard.root / "elsewhere")
    assert install(yard.store, signed(yard), keys=[MAKER.public]).outcome == "switched"
    assert (yard.root / "elsewhere" / "kept").read_text() == "kept"
    (door / "current").unlink()
    (door / "current").symlink_to("../../../elsewhere")
    assert yard.store.current("door") is None


def bundle_name(yard: Yard) -> str:
    import hashlib

    return f"6-{hashlib.sha256(bundle.head(signed(yard))[0]).hexdigest()[:12]}"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_store_of_somebody_else_is_refused(yard: Yard) -> None:
    """Root that writes there would follow what they made: it becomes the owner first, or refuses."""
    os.chown(yard.store.folder, 1234, 1234)
    assert isinstance(refused(yard, signed(yard)), StorageError)
    os.chown(yard.store.folder, 0, 0)
    os.chown(yard.store.folder / "door", 1234, 1234)
    yard.patch.setattr(admission, "trial", stub_trial)
    assert isinstance(refused(yard, signed(yard)), StorageError)


def test_a_state_folder_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that somebody else made, a file, a folder that everybody writes to, one that cannot be made, another's."""
    (tmp_path / "file").write_text("")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for name, expected in (("file", "something else"), ("open", "chmod o-w"), ("none/below", "ls -ld")):
        with pytest.raises(StorageError, match=expected):
            become_owner(tmp_path / name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    become_owner(tmp_path / "link")
    if os.geteuid() == 0:
        os.chown(tmp_path / "link", 1234, 1234, follow_symlinks=False)
        with pytest.raises(StorageError, match="a link that user 1234 made"):
            become_owner(tmp_path / "link")
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(StorageError, match="sudo edgeinfer"):
        become_owner(tmp_path / "mine")


KEYS: dict[str, Callable[[Path], object]] = {
    "garbage": lambda folder: (folder / "x.pub").write_bytes(b"\xff" * 50),
    "a FIFO": lambda folder: os.mkfifo(folder / "x.pub"),
    "a folder": lambda folder: (folder / "x.pub").mkdir(),
    "a secret key": lambda folder: (folder / "x.pub").write_text("untrusted comment: x\n" + base64.b64encode(bytes(158)).decode()),
    "a link to a key that is gone": lambda folder: (folder / "x.pub").symlink_to(folder / "gone"),
    "a thousand": lambda folder: [(folder / f"{number}.pub").touch() for number in range(1000)],
}


@pytest.mark.parametrize("attack", KEYS)
def test_a_folder_of_keys_is_refused(attack: str, tmp_path: Path) -> None:
    """A key that cannot be read is an error, not one key less, and never none at all, which would trust everybody."""
    public_key(tmp_path)
    assert trusted_keys(tmp_path) == (MAKER.public,)
    KEYS[attack](tmp_path)
    with pytest.raises((DataError, StorageError)):
        trusted_keys(tmp_path)


def test_a_folder_of_keys_that_leads_nowhere_is_no_empty_one(tmp_path: Path) -> None:
    """Where there is no folder no key is trusted; a link to one that is gone is an error."""
    assert trusted_keys(tmp_path / "keys") == ()
    (tmp_path / "keys").symlink_to(tmp_path / "gone")
    with pytest.raises(StorageError, match="a folder of public keys"):
        trusted_keys(tmp_path / "keys")


def test_a_second_installation_waits_for_nobody(yard: Yard) -> None:
    """It is refused while the first one runs."""
    with yard.store.installing():
        before = tree(yard.store.folder)
        with pytest.raises(UsageError, match="another that is running"):
            install(yard.store, signed(yard), keys=[MAKER.public])
        assert tree(yard.store.folder) == before


def noise(yard: Yard) -> Path:
    good = make_bundle(yard.made / "good", 6, name="door")
    members: dict[str, Path | bytes] = {name: good.folder / name for name in good.manifest.files}
    members[good.manifest.model] = b"\x18\0\0\0TFL3" + bytes(range(256)) * 4
    bad = bundle.write(yard.made / "bad", good.manifest, members)
    sign(bad.folder, MAKER)
    bundle.pack(bad.folder, yard.made / "bad.eib")
    return Path(yard.made / "bad.eib")


WRONG: dict[str, tuple[Callable[[Yard], Path], type[EdgeinferError], str]] = {
    "a probe that does not match": (lambda y: raw_signed(y, lambda r: r.replace(b'"tolerance": 3.0', b'"tolerance": 0.0').replace(
        b'"values": [', b'"values": [255.0, ').replace(b'"indices": [', b'"indices": [0, ')), ProbeError, "probe"),
    "another fingerprint": (lambda y: made(y, fingerprint="0" * 64), ProbeError, "fingerprint"),
    "a model of noise": (noise, ModelError, ""),
}


@pytest.mark.parametrize("attack", WRONG)
def test_a_model_that_does_not_do_what_it_says_is_refused(attack: str, yard: Yard) -> None:
    """Signed by the maker, and refused by the trial all the same."""
    yard.patch.setattr(admission, "trial", trial)
    make, kind, expected = WRONG[attack]
    error = refused(yard, make(yard))
    assert isinstance(error, kind)
    assert expected in str(error)


EVIL: dict[str, tuple[str, str]] = {
    "crashes": ("os.kill(os.getpid(), 11) if False else ctypes.string_at(0)", "SIGSEGV"),
    "hangs": ("time.sleep(60)", "within 1 s"),
    "forks without end": ("[attempt(fork) for _ in range(200)]; time.sleep(60)", "within 1 s"),
    "leaves a process": ("fork(); fork(); time.sleep(60)", "within 1 s"),
    "leaves the process group": ("attempt(os.setsid)", "PermissionError"),
    "writes to the victim": ("attempt(open, VICTIM, 'w')", "PermissionError"),
    "writes beside itself": ("attempt(open, 'model.tflite', 'w')", "Error"),
    "removes itself": ("attempt(os.unlink, 'manifest.json')", "PermissionError"),
    "reads the store": ("attempt(open, VICTIM)", "PermissionError"),
    "reads the environment of its parent": ("attempt(open, f'/proc/{os.getppid()}/environ')", "PermissionError"),
    "opens the network": ("attempt(socket.create_connection, ('127.0.0.1', PORT), 2)", "PermissionError"),
    "sends a datagram": ("attempt(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)", "PermissionError"),
    "starts a shell": ("attempt(subprocess.run, ['/bin/sh', '-c', 'true'])", "PermissionError"),
    "kills its parent": ("attempt(os.kill, os.getppid(), 9)", "PermissionError"),
    "takes its parent's descriptors": ("attempt(resource.prlimit, os.getppid(), resource.RLIMIT_NOFILE, (0, 0))", "PermissionError"),
    "ends its parent by a limit": ("attempt(resource.prlimit, os.getppid(), resource.RLIMIT_CPU, (0, 0))", "PermissionError"),
    "puts its parent last": ("attempt(os.setpriority, os.PRIO_PROCESS, os.getppid(), 19)", "PermissionError"),
    "leaves its parent idle time": ("attempt(os.sched_setscheduler, os.getppid(), os.SCHED_IDLE, os.sched_param(0))", "PermissionError"),
    "crowds its parent": ("attempt(os.sched_setaffinity, os.getppid(), {0})", "PermissionError"),
    "takes all memory": ("attempt(lambda: [bytearray(1 << 28) for _ in range(1 << 12)])", "MemoryError"),
    "needs more memory than there is": ("[bytearray(1 << 28) for _ in range(1 << 12)]", "fits into the memory"),
    "takes all descriptors": ("attempt(lambda: [os.dup(1) for _ in range(100000)])", "Too many open files"),
    "fills its standard output": ("attempt(lambda: [os.write(2, bytes(1 << 16)) for _ in range(1 << 12)])", "ended with 1"),
    "gives no verdict": ("os._exit(0)", "ended with 0"),
    "gives half a verdict": ("os.write(3, b'{\"verdict\": {}}'); os._exit(0)", "ended with 0"),
}
PRELUDE = """
import ctypes, os, resource, signal, socket, subprocess, time
attempted = []
def fork():
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
def attempt(call, *arguments):
    try:
        call(*arguments)
    except BaseException as error:
        attempted.append(repr(error))
    else:
        attempted.append('held nothing back')
def report(text):
    raise RuntimeError(text)
"""


@pytest.mark.parametrize("attack", EVIL)
def test_a_model_that_takes_over_its_loader_is_held(attack: str, yard: Yard) -> None:
    """It is a program of somebody else's now; here it runs when the runtime is loaded. It does nothing but fail."""
    body, expected = EVIL[attack]
    with server(lambda connected: None) as port:
        package = yard.made / "evil" / "ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        names = f"VICTIM, PORT = {str(yard.root / 'victim')!r}, {port}\n"
        (package / "interpreter.py").write_text(f"{PRELUDE}{names}{body}\nreport('; '.join(attempted)[-1000:])\n")
        yard.patch.setenv("PYTHONPATH", str(yard.made / "evil"))
        yard.patch.setattr(admission, "trial", partial(trial, timeout_s=1.0 if expected == "within 1 s" else 30.0))
        yard.patch.setattr("edgeinfer.model.trial.memory_limit", lambda: 512 << 20)
        error = refused(yard, signed(yard))
    assert isinstance(error, ModelError | UnavailableError)
    assert expected in str(error)
    deadline = time.monotonic() + 10
    while (left := commands(str(yard.root))) and time.monotonic() < deadline:
        time.sleep(0.02)  # a process that was killed needs a moment to be gone
    assert not left


def commands(part: str) -> list[str]:
    """Of all processes that have ``part`` in theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_text().replace("\0", " "))
    return [command for command in found if part in command]


def test_there_are_more_than_forty_attacks() -> None:
    """Those that are data, without those on archives and manifests."""
    assert sum(map(len, (BUNDLES, FILES, SERVERS, SURROUNDINGS, KEYS, WRONG, EVIL))) > 100
    assert LABELS
