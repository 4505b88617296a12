"""The place in a Dask worker where inputs are computed: the bundle unpacked and tried there, an engine for each of its threads."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import edgeinfer
from edgeinfer.batch.piece import Piece, Task
from edgeinfer.batch.reader import Reader
from edgeinfer.errors import BundleError, UnavailableError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import unpack
from edgeinfer.model.engine import Engine
from edgeinfer.model.trial import trial

__all__ = ["Shipped", "Station", "compute"]

_MOST_ROWS = 32 << 20  # bytes of the rows of one answer: a long video comes in several

# a task, and the content of its file; None where the worker reads it itself
Shipped = tuple[Task, bytes | None]


class Station:
    """A plug-in of a Dask worker (distributed.WorkerPlugin's protocol). It goes there once, with the bundle as bytes."""

    idempotent = True

    def __init__(self, archive: bytes, digest: str, runtime: RuntimeOptions, threshold: float | None, every: int) -> None:
        self.name = f"edgeinfer-{digest[:16]}-{threshold}-{every}"
        self._archive, self._digest, self._version = archive, digest, edgeinfer.__version__
        self._runtime, self._threshold, self._every = runtime, threshold, every

    def setup(self, worker: Any) -> None:
        """On the worker: unpack, verify, try. Raises what these raise; UnavailableError for another version of edgeinfer."""
        if edgeinfer.__version__ != self._version:
            raise UnavailableError(f"worker {worker.address}", f"edgeinfer {self._version}", edgeinfer.__version__)
        self._folder = tempfile.TemporaryDirectory(prefix="edgeinfer-")
        file = Path(self._folder.name) / "model.eib"
        file.write_bytes(self._archive)
        self._archive = b""
        self._bundle = unpack(file, Path(self._folder.name) / "bundle")
        if self._bundle.digest != self._digest:
            raise BundleError(f"worker {worker.address}", f"the bundle {self._digest[:12]}", self._bundle.digest[:12])
        trial(self._bundle, self._runtime)
        self._of_thread = threading.local()

    def teardown(self, worker: Any) -> None:
        """On the worker, at its end."""
        self._folder.cleanup()

    def reader(self) -> Reader:
        """This thread's."""
        if not hasattr(self._of_thread, "reader"):
            self._of_thread.reader = Reader(Engine(self._bundle, self._runtime), self._threshold, self._every)
        reader: Reader = self._of_thread.reader
        return reader

    def pieces(self, chunk: list[Shipped]) -> list[Piece]:
        """The answers to a chunk; where they are many, only those of its beginning."""
        reader, made, nbytes = self.reader(), [], 0
        for task, content in chunk:
            for piece in _read(reader, task, content):
                made.append(piece)
                nbytes += piece.nbytes
                if nbytes >= _MOST_ROWS:
                    return made
        return made


def _read(reader: Reader, task: Task, content: bytes | None) -> Any:
    if content is None:
        yield from reader.pieces(task)
        return
    with tempfile.TemporaryDirectory(prefix="edgeinfer-") as folder:  # under its own name: the suffix tells the kind
        file = Path(folder) / Path(task.shown).name
        file.write_bytes(content)
        yield from reader.pieces(Task(task.number, bytes(file), task.shown, task.skip))


def compute(name: str, chunk: list[Shipped]) -> list[Piece]:
    """A task of the cluster, on one of its workers."""
    from distributed import get_worker

    station: Station = get_worker().plugins[name]
    return station.pieces(chunk)
