"""The store: what is in use, what it was before, what is refused, and in which order it reaches the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgeinfer import durable
from edgeinfer.errors import DataError, StorageError, UsageError
from edgeinfer.model import bundle
from edgeinfer.store import Probation, Store
from tests.paper_bundles import write_bundle


def placed(store: Store, sequence: int, version: str = "1", *, signed: bool = True, stage: bool = False) -> Path:
    """A bundle that runs nowhere, as far as ``admission`` takes it after its checks."""
    with store.installing() as incoming:
        write_bundle(incoming / "bundle", sequence=sequence, version=version)
        folder = store.place("colours", bundle.read(incoming / "bundle"))
        store.accept("colours", folder, signed=signed, stage=stage)
        store.prune("colours")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def test_a_store_that_is_not_there_is_empty(store: Store) -> None:
    """Until something is installed: no folder is made by looking."""
    assert store.names() == []
    assert store.current("colours") is None
    assert store.rejected("colours") == {}
    assert store.highest("colours", signed=True) is None
    assert store.probation("colours") is None
    assert not store.folder.exists()
    with pytest.raises(UsageError, match="there is none"):
        store.rollback("colours")


def test_current_previous_and_candidate_are_kept_and_no_more(store: Store) -> None:
    """A third version pushes the first one out."""
    one, two, three = (placed(store, sequence) for sequence in (1, 2, 3))
    staged = placed(store, 4, stage=True)
    assert store.names() == ["colours"]
    assert (store.current("colours"), store.previous("colours"), store.candidate("colours")) == (three, two, staged)
    assert store.folders("colours") == [two, three, staged]
    assert not one.exists()
    assert store.promote("colours") == staged
    assert (store.current("colours"), store.previous("colours"), store.candidate("colours")) == (staged, three, None)


def test_what_a_kill_leaves_of_a_change_goes_with_the_next_installation(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that was not yet renamed, a signature that was not yet in its bundle."""
    folder = placed(store, 1)
    durable.write(store.folder / "colours/.current.new", b"")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        patch.setattr(Path, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bundle.attach(folder, SIGNATURE)
    placed(store, 2)
    assert {path.name for path in (store.folder / "colours").iterdir() if path.name.startswith(".")} == {".changing"}


SIGNATURE = b"untrusted comment: x\n%s\ntrusted comment: x\n%s\n" % (b64encode(b"ED" + bytes(72)), b64encode(bytes(64)))


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_rollback_undoes_and_redoes(store: Store) -> None:
    """Without a reason nothing is rejected, and the two change places."""
    one, two = placed(store, 1), placed(store, 2)
    assert store.rollback("colours") == one
    assert (store.current("colours"), store.previous("colours")) == (one, two)
    assert store.rollback("colours") == two


def test_a_rollback_with_a_reason_rejects(store: Store) -> None:
    """What was left is refused from then on, unless forced; probation ends."""
    one, two = placed(store, 1), placed(store, 2)
    digest = bundle.read(two).digest
    store.save_probation("colours", Probation(digest=digest, boot_id="b"))
    assert store.rollback("colours", "it crashed", bad=two) == one
    assert store.rejected("colours") == {digest: "it crashed"}
    assert store.previous("colours") is None
    assert store.probation("colours") is None
    with pytest.raises(DataError, match="it crashed"):
        store.switch("colours", two)
    store.switch("colours", two, force=True)
    assert store.current("colours") == two


def test_a_rollback_of_what_is_no_longer_in_use_changes_nothing(store: Store) -> None:
    """A newer installation was quicker than the daemon that judged the old one."""
    _, two, three = placed(store, 1), placed(store, 2), placed(store, 3)
    assert store.rollback("colours", "it crashed", bad=two) == three
    assert store.rejected("colours") == {}


def test_without_a_previous_bundle_the_bad_one_is_marked(store: Store) -> None:
    """And stays: there is nothing to go back to."""
    one = placed(store, 1)
    with pytest.raises(DataError, match="a previous bundle"):
        store.rollback("colours", "it crashed")
    assert list(store.rejected("colours").values()) == ["it crashed"]
    assert store.current("colours") == one


def test_the_highest_sequence_survives_a_rollback(store: Store) -> None:
    """Going back is for who is at the device; an old bundle from elsewhere stays refused."""
    placed(store, 1)
    placed(store, 7)
    store.rollback("colours", "it crashed")
    assert store.highest("colours", signed=True).sequence == 7


def test_unsigned_sequences_are_counted_apart(store: Store) -> None:
    """The sequence of an unsigned bundle proves nothing to a signed one."""
    placed(store, 3)
    placed(store, 9, signed=False)
    assert store.highest("colours", signed=True).sequence == 3
    assert store.highest("colours", signed=False).sequence == 9
    placed(store, 4)
    assert store.highest("colours", signed=True).sequence == 4
    assert store.highest("colours", signed=False).sequence == 9


def test_probation_is_kept_until_it_ends(store: Store) -> None:
    """Begun, saved, ended; a damaged file is no probation."""
    placed(store, 1)
    begun = Probation(digest="d", begun_wall=1.5, boot_id="b", starts=1)
    store.save_probation("colours", begun)
    assert Store(store.folder).probation("colours") == begun
    store.save_probation("colours", Probation(digest="d", starts=2, clean=False))
    assert store.probation("colours") == Probation(digest="d", starts=2, clean=False)
    for damaged in (b"\0\0", b'{"x":' * 5000, b""):
        (store.folder / "colours" / "probation.json").write_bytes(damaged)
        (store.folder / "colours" / "rejected.json").write_bytes(damaged)
        assert store.probation("colours") is None
        assert store.rejected("colours") == {}
    store.end_probation("colours")
    assert not (store.folder / "colours" / "probation.json").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\0b", ".hidden", "ümlaut", "a" * 65, "a\n"])
def test_a_name_is_checked_before_it_is_a_path(store: Store, name: str) -> None:
    """Wherever it comes from."""
    for call in (store.current, store.previous, store.candidate, store.rejected, store.probation, store.rollback, store.promote):
        with pytest.raises(UsageError, match="a name of letters"):
            call(name)


def test_what_is_no_bundle_of_the_model_is_not_switched_to(store: Store, tmp_path: Path) -> None:
    """A folder elsewhere, one that is not there, a candidate that is not there."""
    placed(store, 1)
    write_bundle(tmp_path / "elsewhere")
    for folder in (tmp_path / "elsewhere", store.folder / "colours" / "9-000000000000", store.folder / "colours"):
        with pytest.raises(DataError, match="the folder of an installed bundle"):
            store.switch("colours", folder)
    with pytest.raises(DataError, match="a staged bundle"):
        store.promote("colours")


def test_a_change_waits_a_moment_for_another(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is an error when that one never ends; an installation in progress is no hindrance."""
    placed(store, 1)
    placed(store, 2)
    monkeypatch.setattr("edgeinfer.store._LONGEST_CHANGE_S", 0.1)
    with store.installing():
        store.rollback("colours")
        with store._changing("colours"), pytest.raises(UsageError, match="that is running"):
            store.rollback("colours")


def test_a_folder_without_rights_is_one_error_with_a_hint(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to type is in it."""
    placed(store, 1)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(durable, "write", denied)
    with pytest.raises(StorageError, match="sudo edgeinfer"):
        store.reject("colours", "d", "x")


def test_what_is_renamed_was_synced_before_and_its_folder_after(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a power cut finds the old name with the old content or the new one with the new, and in the order they were made."""
    placed(store, 1)
    events: list[tuple[str, str]] = []
    fsync = os.fsync

    def synced(descriptor: int) -> None:
        events.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def renamed(call: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def wrapped(source: Path, target: Path) -> Path:
            events.append(("link" if source.is_symlink() else "rename", f"{source}>{target}"))
            return call(source, target)
        return wrapped

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed(Path.rename))
    monkeypatch.setattr(Path, "replace", renamed(Path.replace))
    placed(store, 2)
    store.rollback("colours", "it crashed")
    unsynced, count = "", 0
    whole: set[str] = set()
    for kind, what in events:
        if kind == "sync":
            whole.add(what)
            unsynced = "" if what == unsynced else unsynced
            continue
        assert not unsynced, f"{what} before {unsynced} was synced"
        source, target = what.split(">")
        assert kind == "link" or source in whole, f"{source} was renamed before it was synced"
        whole.add(target)
        unsynced = str(Path(target).parent)
        count += 1
    assert not unsynced
    assert count >= 6


class Changes(RuleBasedStateMachine):
    """Any order of changes, against a model of three names."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.store = Store(self.root / "models")
        self.made: dict[int, Path] = {}
        self.current: int | None = None
        self.previous: int | None = None
        self.candidate: int | None = None
        self.rejected: set[int] = set()
        self.next = 1

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(stage=st.booleans())
    def install(self, stage: bool) -> None:
        self.made[self.next] = placed(self.store, self.next, stage=stage)
        if stage:
            self.candidate = self.next
        else:
            self.previous = self.current
            self.current = self.next
        self.next += 1

    @rule()
    def promote(self) -> None:
        if self.current is None and self.candidate is None:
            return
        if self.candidate is None or self.candidate in self.rejected:
            with pytest.raises(DataError):
                self.store.promote("colours")
            return
        self.store.promote("colours")
        if self.candidate != self.current:
            self.previous = self.current if self.current is not None else self.previous
            self.current = self.candidate
        self.candidate = None

    @rule(reason=st.sampled_from(["", "it crashed"]))
    def rollback(self, reason: str) -> None:
        if not self.made:
            return
        if reason and self.current is not None:
            self.rejected.add(self.current)
        if self.previous is None:
            with pytest.raises(DataError):
                self.store.rollback("colours", reason)
            return
        assert self.store.rollback("colours", reason) == self.made[self.previous]
        self.current, self.previous = self.previous, None if reason else self.current

    @invariant()
    def the_links_are_the_model(self) -> None:
        links = [self.store.current("colours"), self.store.previous("colours"), self.store.candidate("colours")]
        numbers = [None if link is None else int(link.name.partition("-")[0]) for link in links]
        assert numbers == [self.current, self.previous, self.candidate]
        for link in links:
            assert link is None or bundle.read(link)
        assert len(self.store.rejected("colours")) == len(self.rejected)
        assert not (self.store.folder / ".incoming").exists()


Changes.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestChanges = Changes.TestCase
