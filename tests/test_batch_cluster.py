"""``edgeinfer batch --dask``: a cluster on this machine, whose workers die."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.batch import listing
from edgeinfer.batch.crew import Crew
from edgeinfer.batch.hours import Hours
from edgeinfer.batch.piece import Piece, Task
from edgeinfer.batch.worker import Setup
from edgeinfer.errors import UnavailableError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import read
from edgeinfer.model.manifest import DecoderSpec
from tests import batches, bundles

distributed = pytest.importorskip("distributed", reason="needs edgeinfer[dask]")
from edgeinfer.batch import cluster  # noqa: E402  imports Dask
from edgeinfer.batch.station import Shipped  # noqa: E402  as above


class Site:
    """A scheduler and workers, each a process without a nanny: one that dies stays dead."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, {**os.environ, **env}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.path = env["PYTHONPATH"]
        self._file = folder / "scheduler.json"
        self._start("distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file))
        try:
            self.address = self._announced(time.monotonic() + 60)
        except BaseException:
            self.close()
            raise

    def _announced(self, until: float) -> str:
        """The scheduler's address, once it is up."""
        while time.monotonic() < until:
            with suppress(OSError, ValueError):  # not there, or not whole yet
                address: str = json.loads(self._file.read_text())["address"]
                return address
            time.sleep(0.05)
        raise AssertionError("no scheduler within a minute")

    def workers(self, count: int) -> list[subprocess.Popen[bytes]]:
        return [self._start("distributed.cli.dask_worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard",
                            "--local-directory", str(self._folder)) for _ in range(count)]

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / "cluster.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=log, stderr=log, env=self._env)
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    bundle = bundles.colours(folder)
    bundles.variant(bundle, folder / "mortal", "2", DecoderSpec("dies_of_blue", {}))
    batches.pictures(folder / "pictures", 80)
    cv2.imwrite(str(folder / "pictures/00050.png"), np.full((8, 8, 3), (255, 0, 0), np.uint8))
    (folder / "pictures/00060.png").write_bytes(b"not a picture")
    return folder


@pytest.fixture
def site(folder: Path, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, {**batches.dies_of_blue(tmp_path / "site"), "NAP_S": "0.01"})
    try:
        yield site
    finally:
        site.close()


def _rows(computing: cluster.Cluster | Crew, tasks: list[Task], at: Callable[[int], None] = lambda row: None) -> list[bytes]:
    found: list[bytes] = []
    try:
        for piece in filter(None, computing.pieces(iter(tasks), 0)):
            found += piece.rows
            at(len(found))
    finally:
        computing.close()
    return [re.sub(rb'"latency_ms":[0-9.]+,', b"", row) for row in found]


def test_a_cluster_whose_worker_dies_gives_each_row_once(folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, one of which is killed midway, a file that is no picture and one of which each process dies that sees it: the
    rows are those of a crew on this machine, in their order."""
    monkeypatch.setattr(cluster, "_CHUNK", 4)
    victim = site.workers(2)[1]
    bundle = read(folder / "mortal")
    listing.write(map(str, sorted((folder / "pictures").iterdir())), folder / "inputs", None)
    tasks = list(listing.tasks(folder / "inputs", 0, 0))
    there = _rows(cluster.Cluster(site.address, bundle, RuntimeOptions(), None, 1, Hours(), True), tasks,
                  lambda row: victim.kill() if row == 10 else None)
    monkeypatch.setenv("PYTHONPATH", site.path)
    setup = Setup(str(bundle.folder), bundle.digest, RuntimeOptions(), None, 1)
    here = _rows(Crew(setup, "colours:2", 2, Hours()), tasks)
    assert victim.wait() == -9
    assert there == here
    assert len(there) == 80
    assert [number for number, row in enumerate(there) if b'"error"' in row] == [50, 60]


@pytest.mark.parametrize(("address", "got"), [
    ("tcp://127.0.0.1:1", "127.0.0.1:1"), ("", "missing port"), ("nonsense", "missing port"), ("foo://x:1", "unknown address scheme"),
    ("tls://127.0.0.1:1", "no certificates"), ("inproc://1/2/3", "no answer")])
def test_a_cluster_that_is_not_there_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch, address: str, got: str) -> None:
    """With what to start. An address that is none makes no client: Dask waits for its end, and complains on its own."""
    monkeypatch.setattr(cluster, "_PATIENCE_S", 0.5)
    if not address.startswith("tcp:"):
        monkeypatch.delattr(distributed, "Client")
    with pytest.raises(UnavailableError, match=f"got .*{got}[^\0]*dask worker"):
        cluster.Cluster(address, read(folder / "colours"), RuntimeOptions(), None, 1, Hours(), False)


class _Killed(distributed.KilledWorker):
    """As Dask raises it, without its state."""

    def __init__(self) -> None:
        Exception.__init__(self)

    def __str__(self) -> str:
        return "the workers died"


class _Future:
    """Late at first; one row for each task, but for number 5, of which a chunk's workers die; number 2 has three rows, of which
    an answer holds one."""

    def __init__(self, chunk: list[Shipped]) -> None:
        self._tasks, self._late = [task for task, _ in chunk], len(chunk) % 2

    def result(self, timeout: float) -> list[Piece]:
        if self._late:
            self._late -= 1
            raise distributed.TimeoutError
        made: list[Piece] = []
        for task in self._tasks:
            if task.number == 5:
                raise _Killed
            made.append(Piece(task.number, (b"%d.%d" % (task.number, task.skip),), done=task.number != 2 or task.skip == 2))
            if not made[-1].done:
                break
        return made


class _Client:
    def submit(self, function: object, station: str, chunk: list[Shipped], pure: bool) -> _Future:
        return _Future(chunk)

    def nthreads(self) -> dict[str, int]:
        return {"a": 1}


@pytest.mark.parametrize("size", [1, 3, 32])
def test_what_an_answer_leaves_open_is_asked_for_again(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of a long input, and each input of a chunk whose workers died; the one that it was is an error."""
    monkeypatch.setattr(cluster, "_CHUNK", size)
    made = cluster.Cluster.__new__(cluster.Cluster)
    made.__dict__.update(_hours=Hours(), _ship=False, _every=1, _model="m:1", _client=_Client(), _station="s")
    pieces = [*filter(None, made.pieces((Task(number, b"/x", "x") for number in range(8)), 0))]
    rows = [piece.rows[0] for piece in pieces]
    error = rows.pop(7)
    assert rows == [b"0.0", b"1.0", b"2.0", b"2.1", b"2.2", b"3.0", b"4.0", b"6.0", b"7.0"]
    assert b"the workers died" in error
    assert [piece.number for piece in pieces if piece.failed] == [5]
