"""The list of inputs: files, folders, patterns and @lists, one after the other, fixed in a file when the run begins."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import BinaryIO

from edgeinfer.batch.piece import Task
from edgeinfer.batch.sorting import in_order
from edgeinfer.errors import SourceError, UsageError
from edgeinfer.oneshot import VIDEOS
from edgeinfer.sources.images import SUFFIXES

__all__ = ["PICTURES", "ROWS", "SENSORS", "Listed", "difference", "expanded", "show", "tasks", "write"]

PICTURES = SUFFIXES | VIDEOS | {".framelog"}
SENSORS = frozenset((".csv", ".framelog", ".npy", ".wav", ".wave"))
ROWS = SENSORS | {".jsonl"}  # of named values, or texts
_MOST_PATH = 1 << 16  # bytes of a line of an @list


@dataclass(frozen=True)
class Listed:
    """What was written: how many inputs, and the SHA-256 of the list in hex."""

    count: int
    digest: str


def expanded(inputs: Sequence[str], suffixes: frozenset[str], recursive: bool, scratch: Path) -> Iterator[str]:
    """Paths, in the order of ``inputs``; what a folder or a pattern holds is sorted by name.

    A folder gives its files with one of ``suffixes``; ``recursive`` also those of the folders within. "@FILE" is a file of
    paths, one a line ("@-": stdin), taken as they are written. Names are sorted in files in ``scratch``, so that any number
    fits. Raises SourceError for a folder or a pattern without any input, and a list that cannot be read.
    """
    for given in inputs:
        if given.startswith("@"):
            for line in _lines(given[1:]):
                yield from _found(line, suffixes, recursive, scratch, patterns=False)
        else:
            yield from _found(given, suffixes, recursive, scratch, patterns=True)


def _found(given: str, suffixes: frozenset[str], recursive: bool, scratch: Path, patterns: bool) -> Iterator[str]:
    if os.path.isdir(given):
        names = (path for path in _inside(given, recursive) if os.path.splitext(path)[1].lower() in suffixes)
    elif patterns and glob.has_magic(given) and not os.path.exists(given):
        names = (path for path in glob.iglob(given, recursive=True) if os.path.isfile(path))
    else:
        yield given
        return
    none = True
    for name in in_order(map(os.fsencode, names), scratch):
        none = False
        yield os.fsdecode(name)
    if none:
        raise SourceError(given, f"files that the model takes ({' '.join(sorted(suffixes))})", "none",
                          f"ls '{given}'; --recursive also looks into the folders within a folder")


def _inside(folder: str, recursive: bool) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file():
                    yield entry.path
                elif recursive and entry.is_dir(follow_symlinks=False):
                    yield from _inside(entry.path, recursive)
    except OSError as error:
        raise SourceError(folder, "a folder that can be read", error.strerror or str(error)) from error


def _lines(path: str) -> Iterator[str]:
    try:
        with closing(os.fdopen(os.dup(sys.stdin.fileno()), "rb") if path == "-" else open(path, "rb")) as file:
            while line := file.readline(_MOST_PATH):
                if len(line) == _MOST_PATH:
                    raise SourceError(path, f"paths of less than {_MOST_PATH} bytes, one a line", "a longer line")
                if name := line.rstrip(b"\r\n"):
                    yield os.fsdecode(name)
    except OSError as error:
        raise SourceError(f"@{path}", "a list of paths, one a line", error.strerror or str(error)) from error


def write(paths: Iterable[str], file: Path, limit: int | None) -> Listed:
    """The list as a file of lines of JSON (path, size, time of the last change), synced. Raises OSError; UsageError where it is
    empty."""
    digest, count = hashlib.sha256(), 0
    with file.open("wb") as stream:
        for path in islice(paths, limit):
            line = json.dumps([path, *_state(path)]).encode() + b"\n"  # surrogates are escaped: any file name fits
            digest.update(line)
            stream.write(line)
            count += 1
        stream.flush()
        os.fsync(stream.fileno())
    if not count:
        raise UsageError("INPUTS", "at least one input", "none")
    return Listed(count, digest.hexdigest())


def _state(path: str) -> tuple[int, int]:
    """Size and time of the last change in ns; -1 for what is not there, which is an error when its turn comes."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return -1, -1
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else (-1, -1)


def difference(before: Path, now: Path) -> tuple[str, str]:
    """The first line in which two lists differ, for people. Raises OSError."""
    with before.open("rb") as old, now.open("rb") as new:
        for number, (one, other) in enumerate(zip_longest(old, new)):
            if one != other:
                return f"input {number}: {_shown(one)}", _shown(other)
    return "the same list", "another"


def _shown(line: bytes | None) -> str:
    if line is None:
        return "no more"
    path, size, changed = json.loads(line)
    return f"{show(path)} ({size} bytes, changed {changed / 1e9:.0f})" if size >= 0 else f"{show(path)} (no file)"


def show(path: str) -> str:
    """The path as text that UTF-8 can hold."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def tasks(file: Path, done: int, emitted: int) -> Iterator[Task]:
    """The inputs of the list from number ``done`` on; the first has ``emitted`` rows already. Raises OSError, and UsageError
    where those are of another content."""
    with file.open("rb") as stream:
        for number, line in enumerate(_behind(stream, done), done):
            path, size, changed = json.loads(line)
            if number == done and emitted and _state(path) not in ((size, changed), (-1, -1)):
                raise UsageError(f"input {number}: {show(path)}", f"the file of which {emitted} rows are there",
                                 "one that changed since", "begin anew: the same command with --restart")
            yield Task(number, os.fsencode(os.path.abspath(path)), show(path), emitted if number == done else 0)


def _behind(stream: BinaryIO, lines: int) -> Iterator[bytes]:
    return islice(stream, lines, None)
