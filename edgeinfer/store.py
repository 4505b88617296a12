"""The bundles installed on this device, and which version of each is in use.

    <state>/models/<name>/
        12-3f6c0a9e11b2/     a bundle, named by its sequence and the first 12 digits of its digest
        current              a link to the bundle in use; the daemon follows it
        previous             a link to the one before it: what a rollback goes back to
        candidate            a link to one that is installed and checked, but not switched to
        highest              the highest sequences accepted, one line each for signed and unsigned bundles
        rejected.json        digests that failed here, and why: they are not taken again
        probation.json       what the daemon watches of a bundle that is new

Each change is one rename, synced (``edgeinfer.durable``), so a kill or a power cut leaves the old bundle in use or the new
one, and either is whole. What an interrupted installation leaves is removed by the next.

``installing`` is held for a whole installation, ``_changing`` for the moment of a change: a daemon that goes back to the
previous bundle does not wait for a download. Any thread and any process may call.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edgeinfer import durable
from edgeinfer.errors import BundleError, DataError, StorageError, UsageError
from edgeinfer.model.bundle import Bundle, attach, read
from edgeinfer.model.consistency import MANIFEST, SIGNATURE, is_name
from edgeinfer.probation import Figures

__all__ = ["Highest", "Installed", "Probation", "Store"]

CURRENT, PREVIOUS, CANDIDATE = "current", "previous", "candidate"
_HIGHEST, _REJECTED, _PROBATION = "highest", "rejected.json", "probation.json"
_MOST_REJECTED = 64  # the latest are kept
_FOLDER = r"[0-9]{1,19}-[0-9a-f]{12}"
_LONGEST_CHANGE_S = 10.0  # a change takes milliseconds; whoever holds the lock so long was stopped


@dataclass(frozen=True)
class Installed:
    """What an installation did. ``present``: this very bundle was in use (or staged) already."""

    name: str
    bundle: Bundle
    outcome: Literal["switched", "staged", "present"]
    runs_on: str = ""
    sandbox: tuple[str, ...] = ()


class Probation(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that is watched since it was switched to. ``begun_wall``: seconds since 1970; ``boot_id``: of the kernel that
    ran at the last start; ``starts`` and ``boots``: how often a daemon with it ended unasked, within a life of the kernel and with
    it; ``clean``: whether the last end was asked for; ``old``: by pipeline, the figures of the bundle before it."""

    digest: str
    begun_wall: float = 0.0
    boot_id: str = ""
    starts: int = 0
    boots: int = 0
    clean: bool = True
    old: dict[str, Figures] = {}


class Highest(msgspec.Struct, frozen=True):
    """The highest sequence that was accepted, and the digest of its bundle."""

    sequence: int
    digest: str


class Store:
    """``folder``: the models folder, ``<state>/models``. It need not be there until something is installed.

    Every method that changes something raises StorageError when the disk or the rights fail.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Of the models that have a folder here, sorted."""
        try:
            return sorted(entry.name for entry in os.scandir(self.folder)
                          if is_name(entry.name) and entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(str(self.folder), "a folder that can be read", str(error), "sudo edgeinfer …") from error

    def current(self, name: str) -> Path | None:
        """The folder of the bundle in use; None where there is none. A readlink and a stat."""
        return self._linked(name, CURRENT)

    def previous(self, name: str) -> Path | None:
        """The folder of the bundle that a rollback goes back to; None where there is none."""
        found = self._linked(name, PREVIOUS)
        return None if found == self._linked(name, CURRENT) else found

    def candidate(self, name: str) -> Path | None:
        """The folder of the bundle that waits to be switched to; None where there is none."""
        return self._linked(name, CANDIDATE)

    def folders(self, name: str) -> list[Path]:
        """Of every bundle that is kept, by name."""
        folder = self._named(name)
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir()
                      if re.fullmatch(_FOLDER, path.name) and path.is_dir() and not path.is_symlink())

    def rejected(self, name: str) -> dict[str, str]:
        """The digests that are refused, and why; the latest last."""
        try:
            return msgspec.json.decode(durable.small(self._named(name) / _REJECTED), type=dict[str, str])
        except (FileNotFoundError, ValueError, RecursionError):  # a damaged file, which no kill leaves, forbids nothing
            return {}
        except OSError as error:
            raise StorageError(str(self._named(name) / _REJECTED), "a file that can be read", str(error)) from error

    def highest(self, name: str, *, signed: bool) -> Highest | None:
        """What a bundle's sequence is measured by. The sequence of an unsigned one proves nothing, so it never stands in the
        way of a signed one; an unsigned one is measured by both. Raises StorageError for a damaged file."""
        lines = self._read_highest(name)
        measured = [lines[kind] for kind in (("signed",) if signed else ("signed", "unsigned")) if kind in lines]
        return max(measured, key=lambda found: found.sequence, default=None)

    def place(self, name: str, bundle: Bundle) -> Path:
        """Move an unpacked bundle, which lies in ``incoming``, to where it is kept. A whole one that is there stays.

        Called while ``installing`` is held; ``bundle`` must have been read with its digests."""
        folder = self._named(name)
        target = folder / f"{bundle.manifest.sequence}-{bundle.digest[:12]}"
        with _storage(folder):
            durable.make_folder(folder)
            _check_own(folder)
            if os.path.lexists(target):
                if _is_whole(target, bundle.digest):
                    _sign(target, bundle.folder)
                    return target
                durable.move(target, bundle.folder.parent / "damaged")
            durable.move(bundle.folder, target)
        return target

    def accept(self, name: str, folder: Path, *, signed: bool, stage: bool = False, force: bool = False) -> None:
        """A bundle that was placed passed every check: remember its sequence, then switch to it or make it the candidate.

        The sequence goes first: what is in use is never higher than what is remembered."""
        digest, sequence = _digest(folder), int(folder.name.partition("-")[0])
        with self._changing(name):
            self.check_rejected(name, digest, force)
            if force:
                self._forgive(name, digest)
            kind = "signed" if signed else "unsigned"
            lines = self._read_highest(name)
            if kind not in lines or lines[kind].sequence <= sequence:
                lines[kind] = Highest(sequence, digest)
                text = "".join(f"{found.sequence} {found.digest} {kind}\n" for kind, found in lines.items())
                durable.write(self._named(name) / _HIGHEST, text.encode())
            if stage:
                durable.link(self._named(name) / CANDIDATE, folder.name)
            else:
                self._switch(name, folder)

    def switch(self, name: str, folder: Path, *, force: bool = False) -> None:
        """``folder``, one of ``folders``, becomes current, and what was current previous. Raises DataError for a bundle that
        was rejected, unless forced, and for what is no bundle of this model."""
        if folder not in self.folders(name):
            raise DataError(name, "the folder of an installed bundle", str(folder), "edgeinfer models")
        with self._changing(name):
            self.check_rejected(name, _digest(folder), force)
            self._switch(name, folder)

    def promote(self, name: str, *, force: bool = False) -> Path:
        """The candidate becomes current. Raises DataError where there is none, and as ``switch``."""
        folder = self.candidate(name)
        if folder is None:
            raise DataError(name, "a staged bundle", "none", "edgeinfer install --stage X.eib")
        self.switch(name, folder, force=force)
        return folder

    def rollback(self, name: str, reason: str = "", *, bad: Path | None = None) -> Path:
        """Go back to the previous bundle, and return its folder. With a ``reason`` the one left is rejected from now on;
        without one it becomes previous, so that a second rollback undoes the first. ``bad``: only where this is current.

        Raises DataError where there is no previous one: then nothing changes but that the bundle is marked as rejected.
        """
        with self._changing(name):
            folder, current, previous = self._named(name), self.current(name), self.previous(name)
            if bad is not None and current is not None and current.name != bad.name:
                return current  # somebody else was quicker
            if reason and current is not None and (current / MANIFEST).is_file():
                self._reject(name, _digest(current), reason)
            if previous is None:
                raise DataError(name, "a previous bundle to go back to", "none", "install another: edgeinfer install X.eib")
            durable.link(folder / CURRENT, previous.name)
            if reason or current is None:
                durable.remove(folder / PREVIOUS)
            else:
                durable.link(folder / PREVIOUS, current.name)
            durable.remove(folder / _PROBATION)
            return previous

    def reject(self, name: str, digest: str, reason: str) -> None:
        """Refuse the bundle of this digest from now on."""
        with self._changing(name):
            self._reject(name, digest, reason)

    def probation(self, name: str) -> Probation | None:
        """What is known of the bundle under probation; None where none is."""
        try:
            return msgspec.json.decode(durable.small(self._named(name) / _PROBATION), type=Probation)
        except (OSError, ValueError, RecursionError):  # none, or one that can no longer be read: nothing is known
            return None

    def save_probation(self, name: str, probation: Probation) -> None:
        """What is known now: the daemon begins to watch a new bundle, another start, a clean end."""
        with self._changing(name):
            durable.write(self._named(name) / _PROBATION, msgspec.json.encode(probation))

    def end_probation(self, name: str) -> None:
        """It passed, or it is gone."""
        with self._changing(name):
            durable.remove(self._named(name) / _PROBATION)

    def prune(self, name: str) -> None:
        """Remove the bundles that no link names, and what a kill left of a change. Called while ``installing`` is held."""
        with self._changing(name):
            kept = {path.name for path in (self._linked(name, link) for link in (CURRENT, PREVIOUS, CANDIDATE)) if path}
            for folder in self.folders(name):
                if folder.name not in kept:
                    shutil.rmtree(folder)
            for pattern in (".*.new", ".[0-9]*-*.*"):  # of ``durable``, of ``bundle.attach``
                for aside in self._named(name).glob(pattern):
                    aside.unlink()
            durable.sync_folder(self._named(name))

    @contextmanager
    def installing(self) -> Iterator[Path]:
        """Yields an empty folder on the store's file system, which is removed again. One installation at a time.

        Raises UsageError while another runs, StorageError where the store cannot be written to."""
        with _storage(self.folder):
            durable.make_folder(self.folder)
            _check_own(self.folder)
            with _one_at_a_time(self.folder / ".installing", 0.0):
                incoming = self.folder / ".incoming"
                durable.clear(incoming)
                durable.make_folder(incoming)
                try:
                    yield incoming
                finally:
                    durable.clear(incoming)

    @contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        folder = self._named(name)
        if not folder.is_dir():
            raise UsageError("model", f"an installed one: {', '.join(self.names()) or 'there is none'}", repr(name)[:80],
                             "edgeinfer models")
        with _storage(folder):
            _check_own(folder)
            with _one_at_a_time(folder / ".changing", _LONGEST_CHANGE_S):
                yield

    def _switch(self, name: str, folder: Path) -> None:
        """Previous first: between the two renames both links name the old bundle, which is whole."""
        home, current = self._named(name), self.current(name)
        if current is None or current.name != folder.name:
            if current is not None:
                durable.link(home / PREVIOUS, current.name)
            durable.link(home / CURRENT, folder.name)
        if (candidate := self.candidate(name)) is not None and candidate.name == folder.name:
            durable.remove(home / CANDIDATE)

    def _reject(self, name: str, digest: str, reason: str) -> None:
        found = {key: text for key, text in self.rejected(name).items() if key != digest}
        found[digest] = reason[:500]
        latest = dict(list(found.items())[-_MOST_REJECTED:])
        durable.write(self._named(name) / _REJECTED, msgspec.json.encode(latest))

    def _forgive(self, name: str, digest: str) -> None:
        found = self.rejected(name)
        if found.pop(digest, None) is not None:
            durable.write(self._named(name) / _REJECTED, msgspec.json.encode(found))

    def check_rejected(self, name: str, digest: str, force: bool = False) -> None:
        """Raises DataError for a bundle that failed here, unless forced."""
        reason = self.rejected(name).get(digest)
        if reason is not None and not force:
            raise DataError(f"{name} {digest[:12]}", "a bundle that did not fail here", f"one that was rejected: {reason}",
                            "edgeinfer install --retry X.eib takes it all the same")

    def _read_highest(self, name: str) -> dict[str, Highest]:
        """Kind to sequence. A file that cannot be read is an error: to begin again at 0 would let old bundles in."""
        path = self._named(name) / _HIGHEST
        lines = {}
        try:
            for line in durable.small(path).decode("ascii").splitlines():
                sequence, digest, kind = line.split(" ")
                lines[kind] = Highest(int(sequence), digest)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StorageError(str(path), "lines of sequence, digest and kind", str(error),
                               f"remove it to take bundles of any sequence again: rm {path}") from error
        return lines

    def _linked(self, name: str, link: str) -> Path | None:
        """The bundle's folder that a link names; None for no link, and for one that leads anywhere else."""
        folder = self._named(name)
        try:
            target = os.readlink(folder / link)
            is_folder = stat.S_ISDIR(os.lstat(folder / target).st_mode)
        except (OSError, ValueError):
            return None
        return folder / target if is_folder and re.fullmatch(_FOLDER, target) else None

    def _named(self, name: str) -> Path:
        if not is_name(name):
            raise UsageError("model", "a name of letters, digits, '.', '_', '+' and '-'", repr(name)[:80], "edgeinfer models")
        return self.folder / name


def _is_whole(folder: Path, digest: str) -> bool:
    """Whether this very bundle is there, byte for byte. Raises BundleError where another one is."""
    try:
        found = read(folder).digest
    except DataError:
        return False
    if found != digest:
        raise BundleError(folder.name, f"the bundle {digest}", f"another of that name, {found}", "give it another sequence")
    return True


def _sign(folder: Path, anew: Path) -> None:
    """The same manifest may have been installed unsigned, or signed by another key: the signature that was checked now counts.
    """
    if (anew / SIGNATURE).is_file():
        attach(folder, (anew / SIGNATURE).read_bytes())


def _digest(folder: Path) -> str:
    """The digest of the bundle in ``folder``, whatever its state."""
    try:
        return hashlib.sha256(durable.small(folder / MANIFEST)).hexdigest()
    except OSError as error:
        raise BundleError(str(folder), "a bundle with its manifest", str(error), "edgeinfer install X.eib repairs it") from error


def _check_own(folder: Path) -> None:
    """A folder of the store is a folder, ours, and nobody else writes to it. Raises StorageError."""
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise StorageError(str(folder), "a folder", "a link" if stat.S_ISLNK(found.st_mode) else "something else",
                           f"see who made it: ls -ld '{folder}'")
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
        raise StorageError(str(folder), f"a folder of user {os.geteuid()} that not everybody writes to",
                           f"one of user {found.st_uid}, mode {found.st_mode & 0o7777:o}", f"ls -ld '{folder}'")


def _one_at_a_time(path: Path, patience_s: float) -> AbstractContextManager[None]:
    return durable.locked(path, patience_s, UsageError(str(path), "one installation at a time", "another that is running",
                                                       "wait for it, and try again"))


@contextmanager
def _storage(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = f"sudo edgeinfer …, or as its owner; ls -ld '{folder}'" if isinstance(error, PermissionError) else ""
        raise StorageError(str(folder), "a folder that can be written to", str(error), hint) from error
