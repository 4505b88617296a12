"""Names in order, however many: sorted in runs on disk, then merged."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO

__all__ = ["in_order"]

_RUN = 20_000  # names that are in memory at once
_MOST_RUNS = 200  # files that are open at once


def in_order(names: Iterable[bytes], folder: Path, run: int = _RUN) -> Iterator[bytes]:
    """The names (without a zero byte) by their bytes. Memory holds ``run`` of them; the rest is in files in ``folder``, which
    are gone at the end. Raises OSError."""
    names = iter(names)
    first = sorted(islice(names, run))
    if len(first) < run:
        yield from first
        return
    with ExitStack() as stack:
        runs = [_written(first, folder, stack)]
        while more := sorted(islice(names, run)):
            runs.append(_written(more, folder, stack))
            if len(runs) == _MOST_RUNS:
                runs = [_written(heapq.merge(*map(_read, runs)), folder, stack)]
        yield from heapq.merge(*map(_read, runs))


def _written(names: Iterable[bytes], folder: Path, stack: ExitStack) -> IO[bytes]:
    file = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115  the stack closes it
    for name in names:
        file.write(len(name).to_bytes(4, "little") + name)
    file.seek(0)
    return file


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while size := file.read(4):
        yield file.read(int.from_bytes(size, "little"))
