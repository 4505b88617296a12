"""Small changes on disk that a power cut leaves either undone or done: written aside, synced, renamed, the folder synced.

rename(2) puts the new name in the place of the old at one moment; fsync(2) of the folder makes that moment last.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeinfer.errors import EdgeinferError

__all__ = ["clear", "link", "locked", "make_folder", "move", "remove", "small", "sync_folder", "write"]

_MOST_SMALL = 1 << 20  # bytes of a small file
_ASIDE = ".new"  # beside the target: a leftover of a kill is overwritten by the next change


def write(path: Path, content: bytes, mode: int | None = None) -> None:
    """``content`` as the file ``path``, whole or not at all; with ``mode`` whatever the umask. Raises OSError."""
    aside = _aside(path)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            if mode is not None:
                os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError:
        with suppress(OSError):
            aside.unlink()
        raise
    sync_folder(path.parent)


def link(path: Path, target: str) -> None:
    """A symbolic link to ``target`` at ``path``, in the place of the one that was there. Raises OSError."""
    aside = _aside(path)
    aside.symlink_to(target)
    aside.replace(path)
    sync_folder(path.parent)


def move(folder: Path, to: Path) -> None:
    """A folder, whole and synced already, to another place of the same file system. Raises OSError."""
    folder.rename(to)
    sync_folder(to.parent)
    if folder.parent != to.parent:
        sync_folder(folder.parent)


def remove(path: Path) -> None:
    """A file or a link, or nothing where there is none. Raises OSError."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """A folder in one that is there; nothing where it is there already. Raises OSError."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o755)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Names made, renamed and removed in the folder last from now on. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def small(path: Path) -> bytes:
    """The content of a small file of the store's own. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(_MOST_SMALL)


def clear(folder: Path) -> None:
    """Remove a folder with all that is in it; a link or a file in its place goes, what it leads to stays. Raises OSError."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


@contextmanager
def locked(path: Path, patience_s: float, busy: EdgeinferError) -> Iterator[None]:
    """flock(2) of a file that stays: it goes with the process. Raises ``busy`` after ``patience_s``, and OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise busy from error
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _aside(path: Path) -> Path:
    aside = path.with_name(f".{path.name}{_ASIDE}")
    with suppress(FileNotFoundError):
        aside.unlink()
    return aside
