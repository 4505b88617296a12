"""Workers of a Dask cluster: inputs go out in chunks, and come back in order, each once, whatever dies meanwhile.

Imported only where there is Dask.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import distributed
import msgspec
from distributed.comm.addressing import parse_address
from distributed.comm.registry import get_backend

from edgeinfer.batch.hours import Hours
from edgeinfer.batch.piece import Piece, Task
from edgeinfer.batch.reader import died
from edgeinfer.batch.station import Shipped, Station, compute
from edgeinfer.errors import EdgeinferError, UnavailableError
from edgeinfer.log import log
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, pack

__all__ = ["Cluster"]

_CHUNK = 32  # inputs
_CHUNK_BYTES = 8 << 20  # of shipped files
_MOST_SHIPPED = 64 << 20  # of one file
_AHEAD = 3  # chunks a thread of the cluster
_PATIENCE_S = 60.0  # for the scheduler, and for a first worker
_TICK_S = 0.5
_TIMEOUT: tuple[type[Exception], ...] = (TimeoutError, distributed.TimeoutError)  # one and the same from Python 3.11 on
_NO_ANSWER: tuple[type[Exception], ...] = (OSError, ValueError, *_TIMEOUT)


class _Chunk(NamedTuple):
    tasks: list[Task]
    future: Any  # distributed.Future


class Cluster:
    """The workers behind a scheduler. What they have computed stays with them until its turn comes, so memory here is bounded by
    a chunk; what one had when it died, Dask computes again elsewhere.

    Inputs are read by the workers, below the same paths; with ``ship`` the files' bytes are sent along. Raises UnavailableError
    where there is no scheduler, no worker, or none with this version of edgeinfer.
    """

    def __init__(self, address: str, bundle: Bundle, runtime: RuntimeOptions, threshold: float | None, every: int,
                 hours: Hours, ship: bool) -> None:
        for name in ("distributed", "distributed.client", "tornado.application"):  # what goes wrong is told once, by an error
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._hours, self._ship, self._every = hours, ship, every
        self._model = f"{bundle.manifest.name}:{bundle.manifest.version}"
        try:
            _check(address)
            self._client: Any = distributed.Client(address, timeout=_PATIENCE_S, set_as_default=False)
            self._client.wait_for_workers(1, timeout=_PATIENCE_S)
        except Exception as error:  # whatever Dask says of an address, of TLS, of a scheduler: its errors have no root
            raise UnavailableError(f"--dask {address}", "a scheduler with a worker", str(error) or "no answer",
                                   "dask scheduler, and on each machine: dask worker ADDRESS") from error
        self._station = self._installed(bundle, runtime, threshold, every, address)

    def _installed(self, bundle: Bundle, runtime: RuntimeOptions, threshold: float | None, every: int, address: str) -> str:
        """The bundle goes to each worker once, also to those that come later."""
        with tempfile.TemporaryDirectory(prefix="edgeinfer-") as folder:
            archive = Path(folder) / "model.eib"
            pack(bundle.folder, archive)
            station = Station(archive.read_bytes(), bundle.digest, runtime, threshold, every)
        try:
            self._client.register_plugin(station, name=station.name)
        except EdgeinferError:
            self.close()
            raise
        except Exception as error:  # whatever a worker without edgeinfer answers
            self.close()
            raise UnavailableError(f"--dask {address}", "workers that have edgeinfer and the model's runtime", str(error)[:300],
                                   "install the same version of edgeinfer there") from error
        return station.name

    def pieces(self, tasks: Iterator[Task], head: int) -> Iterator[Piece | None]:
        """As a Crew's."""
        chunks: deque[_Chunk] = deque()
        groups = self._grouped(tasks)
        exhausted = False
        while chunks or not exhausted:
            while not exhausted and self._hours.open() and len(chunks) < self._room():
                group = next(groups, None)
                if group is None:
                    exhausted = True
                else:
                    chunks.append(self._submit(group))
            if chunks:
                yield from self._first(chunks)
            elif not exhausted:
                time.sleep(self._hours.nap_s())
            yield None

    def _room(self) -> int:
        try:
            threads: dict[str, int] = self._client.nthreads()
        except _NO_ANSWER as error:
            raise self._gone(str(error)) from error
        return _AHEAD * max(1, sum(threads.values()))

    def _grouped(self, tasks: Iterator[Task]) -> Iterator[list[Task]]:
        """Chunks of tasks: of so many, or so many bytes where they are shipped."""
        group: list[Task] = []
        nbytes = 0
        for task in tasks:
            group.append(task)
            if self._ship:
                with suppress(OSError):
                    nbytes += os.stat(task.path).st_size
            if len(group) == _CHUNK or nbytes >= _CHUNK_BYTES:
                yield group
                group, nbytes = [], 0
        if group:
            yield group

    def _submit(self, tasks: list[Task]) -> _Chunk:
        chunk: list[Shipped] = [(task, self._content(task)) for task in tasks]
        # pure=False: a key of its own, so that a chunk that is tried again is computed again
        return _Chunk(tasks, self._client.submit(compute, self._station, chunk, pure=False))

    def _content(self, task: Task) -> bytes | None:
        """The file, where it is sent along and can be; else the worker says what is wrong with it."""
        if not self._ship or not os.path.isfile(task.path) or os.stat(task.path).st_size > _MOST_SHIPPED:
            return None
        with open(task.path, "rb") as file:
            return file.read()

    def _first(self, chunks: deque[_Chunk]) -> Iterator[Piece]:
        """The answers to the first chunk, if they are there within a moment; what they leave open is submitted anew, in front."""
        first = chunks[0]
        try:
            pieces: list[Piece] = first.future.result(timeout=_TICK_S)
        except _TIMEOUT:
            return
        except distributed.KilledWorker as error:
            chunks.popleft()
            if len(first.tasks) > 1:  # which of them it was is found one by one
                log.warning("%s to %s: workers died; one by one now", first.tasks[0].shown, first.tasks[-1].shown)
                chunks.extendleft(self._submit([task]) for task in reversed(first.tasks))
                return
            task = first.tasks[0]
            yield Piece(task.number, (died(task, task.skip * self._every, self._model, str(error)[:200]),),
                        done=True, failed=True)
            return
        except EdgeinferError:
            raise
        except Exception as error:  # Dask's own errors have no root of their own
            raise self._gone(f"{type(error).__name__}: {error}") from error
        chunks.popleft()
        left = _left(first.tasks, pieces)
        if left:
            chunks.appendleft(self._submit(left))
        yield from pieces

    def _gone(self, why: str) -> UnavailableError:
        return UnavailableError("--dask", "a cluster that answers", " ".join(why.split())[:300],
                                "the same command goes on where it stopped")

    def close(self) -> None:
        """What was submitted is forgotten; the cluster stays."""
        with suppress(Exception):
            self._client.unregister_worker_plugin(self._station)
        with suppress(Exception):
            self._client.close()


def _check(address: str) -> None:
    """Raises ValueError, and others, for what is none: of a Client that cannot begin Dask waits two minutes for the end."""
    scheme, place = parse_address(address)
    if get_backend(scheme).get_address_host_port(place)[1] is None:
        raise ValueError("no port")
    if scheme in ("tls", "wss") and distributed.Security().get_connection_args("client").get("ssl_context") is None:
        raise ValueError("no certificates: state them in Dask's configuration, distributed.comm.tls")


def _left(tasks: list[Task], pieces: list[Piece]) -> list[Task]:
    """What the pieces do not cover."""
    made = {task.number: 0 for task in tasks}
    done = set()
    for piece in pieces:
        made[piece.number] += len(piece.rows)
        if piece.done:
            done.add(piece.number)
    return [msgspec.structs.replace(task, skip=task.skip + made[task.number]) for task in tasks if task.number not in done]
