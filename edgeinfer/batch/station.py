"""The place in a Dask worker where inputs are computed: the bundle unpacked and tried there, a process for each of its threads.

The process, because Dask's profiler keeps Python frames, and with them views of the runtime's memory, which then refuses to run;
and so that a model that crashes takes no Dask worker with it.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin, get_worker

import edgeinfer
from edgeinfer.batch.crew import Crew
from edgeinfer.batch.hours import Hours
from edgeinfer.batch.piece import Piece, Task
from edgeinfer.batch.worker import Setup
from edgeinfer.errors import BundleError, UnavailableError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import unpack
from edgeinfer.model.trial import trial

__all__ = ["Shipped", "Station", "compute"]

_MOST_ROWS = 32 << 20  # bytes of the rows of one answer: a long video comes in several

# a task, and the content of its file; None where the worker reads it itself
Shipped = tuple[Task, bytes | None]


class Station(WorkerPlugin):  # type: ignore[misc]  # Dask's types differ from version to version: none is looked at
    """A plug-in of a Dask worker. It goes there once, with the bundle as bytes."""

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
        bundle = unpack(file, Path(self._folder.name) / "bundle")
        if bundle.digest != self._digest:
            raise BundleError(f"worker {worker.address}", f"the bundle {self._digest[:12]}", bundle.digest[:12])
        trial(bundle, self._runtime)
        self._model = f"{bundle.manifest.name}:{bundle.manifest.version}"
        self._setup = Setup(str(bundle.folder), self._digest, self._runtime, self._threshold, self._every)
        self._crews: list[Crew] = []
        self._of_thread = threading.local()

    def teardown(self, worker: Any) -> None:
        """On the worker, at its end."""
        for crew in self._crews:
            crew.close()
        self._folder.cleanup()

    def _crew(self) -> Crew:
        """This thread's, of one."""
        if not hasattr(self._of_thread, "crew"):
            self._of_thread.crew = Crew(self._setup, self._model, 1, Hours())
            self._crews.append(self._of_thread.crew)
        crew: Crew = self._of_thread.crew
        return crew

    def pieces(self, chunk: list[Shipped]) -> list[Piece]:
        """The answers to a chunk of successive inputs; where they are many, only those of its beginning."""
        crew, made, nbytes = self._crew(), [], 0
        with tempfile.TemporaryDirectory(prefix="edgeinfer-") as folder:
            tasks = [_placed(task, content, Path(folder)) for task, content in chunk]
            for piece in crew.pieces(iter(tasks), tasks[0].number):
                if piece is not None:
                    made.append(piece)
                    nbytes += piece.nbytes
                    if nbytes >= _MOST_ROWS:
                        break
        crew.forget()
        return made


def _placed(task: Task, content: bytes | None, folder: Path) -> Task:
    """The task with its shipped file in place, under its own name: the suffix tells the kind."""
    if content is None:
        return task
    place = folder / str(task.number)
    place.mkdir()
    file = place / Path(task.shown).name
    file.write_bytes(content)
    return Task(task.number, bytes(file), task.shown, task.skip)


def compute(name: str, chunk: list[Shipped]) -> list[Piece]:
    """A task of the cluster, on one of its workers."""
    station: Station = get_worker().plugins[name]
    return station.pieces(chunk)
