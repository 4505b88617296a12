"""Ten thousand pictures, three kills, a cluster with a dying worker; figures with -s."""

from __future__ import annotations

import json
import random
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import batches, zoo_bundles
from tests.batches import batch, rows, start, timeless, wait_for_rows
from tests.test_batch_cluster import Site

COUNT = 10_000
KILLS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = batches.material(tmp_path_factory.mktemp("batch"), COUNT)
    (folder / "pictures/05000.png").write_bytes(b"not a picture")
    return folder


class Watch:
    """Memory in kB of a process and of its workers, four times a second, while it runs: the part of PSS that is their own, not the
    pages of files that are read through a mapping."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.samples: list[tuple[float, int, int]] = []
        self._process = process
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        begun, pid = time.monotonic(), self._process.pid
        while self._process.poll() is None:
            workers = [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]
            self.samples.append((time.monotonic() - begun, _pss(pid), sum(map(_pss, workers))))
            time.sleep(0.25)

    def report(self, what: str) -> tuple[float, float]:
        """Growth in kB of both from the second fifth of the run to the last but one, which is printed with what they were."""
        self._thread.join()
        fifth = len(self.samples) // 5
        early, late = self.samples[fifth : 2 * fifth], self.samples[3 * fifth : 4 * fifth]
        growth = tuple(statistics.median(row[column] for row in late) - statistics.median(row[column] for row in early) for column in (1, 2))
        print(f"\n{what}: {self.samples[-1][0]:.1f} s, {len(self.samples)} samples; private memory of the run {early[-1][1]} kB {growth[0]:+.0f}, "
              f"of its workers {early[-1][2]} kB {growth[1]:+.0f}; at most {max(s[1] for s in self.samples)} and {max(s[2] for s in self.samples)}")
        return growth[0], growth[1]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _pss(pid: int) -> int:
    found = re.search(r"^Pss_Anon:\s+(\d+)", _read(f"/proc/{pid}/smaps_rollup"), re.MULTILINE)
    return int(found[1]) if found else 0


def _undisturbed(model: Path, inputs: object, output: Path, what: str, *more: object, env: dict[str, str] | None = None) -> tuple[float, float]:
    """One run to the end; growth of memory."""
    process = start(model, inputs, "-o", output, *more, env=env)
    watch = Watch(process)
    assert process.wait(900) in {0, 65}
    return watch.report(what)


def _killed(model: Path, inputs: object, output: Path, size: int, *more: object, env: dict[str, str] | None = None, code: int = 65) -> None:
    """Killed three times at random, each time further on in rows of ``size`` bytes, then to the end."""
    chance = random.Random()
    record = output.with_name(f"{output.name}.batch") / "checkpoint.json"
    for number in range(KILLS):
        process = start(model, inputs, "-o", output, *more, env=env)
        try:
            wait_for_rows(output, int(size * (number + chance.uniform(0.2, 0.8)) / (KILLS + 1)), process, 300)
            time.sleep(chance.uniform(0, 1.2))
            assert process.poll() is None, "it ended before it was killed"
        finally:
            batches.kill(process)
        known = json.loads(record.read_bytes())
        offset = known["offset"]
        print(f"killed: {known['done']} inputs done, {(record.parent / 'rows.jsonl').stat().st_size - offset} bytes behind the checkpoint")
    batch(model, inputs, "-o", output, *more, code=code, env=env)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workers", [1, 3])
def test_ten_thousand_pictures_and_three_kills_are_exact(folder: Path, tmp_path: Path, workers: int) -> None:
    """Byte for byte what an undisturbed run writes, but for the latencies; memory of the run and its workers is flat."""
    env = {**batches.dies_of_blue(tmp_path / "site"), "NAP_S": str(0.001 * workers)}
    model, inputs = folder / "mortal", folder / "pictures"
    growth = _undisturbed(model, inputs, tmp_path / "whole.jsonl", f"{COUNT} pictures, {workers} workers", "--workers", workers, env=env)
    _killed(model, inputs, tmp_path / "torn.jsonl", (tmp_path / "whole.jsonl").stat().st_size, "--workers", workers, env=env)
    assert timeless(tmp_path / "torn.jsonl") == timeless(tmp_path / "whole.jsonl")
    names = [Path(row["input"]).name for row in rows(tmp_path / "torn.jsonl")]
    assert names == [f"{number:05}.png" for number in range(COUNT)]
    assert [row["input"][-9:] for row in rows(tmp_path / "torn.jsonl") if "error" in row] == ["05000.png"]
    assert growth[0] < 512
    assert growth[1] < 1024 * workers


@pytest.mark.timeout(900)
def test_a_long_recording_takes_no_more_memory_than_a_short_one(folder: Path, tmp_path: Path) -> None:
    """One input with 250,000 rows, and the table that is made of it."""
    np.save(tmp_path / "long.npy", np.sin(np.arange(2_000_000) / 3).astype(np.float32))
    growth = _undisturbed(folder / "vibration", tmp_path / "long.npy", tmp_path / "long.jsonl", "250,000 windows")
    assert len(rows(tmp_path / "long.jsonl")) == 249_999
    assert growth[0] < 512
    assert growth[1] < 1024


@pytest.mark.timeout(900)
def test_parquet_and_csv_of_a_killed_run(folder: Path, tmp_path: Path) -> None:
    """The same lines in the same order as the rows."""
    parquet = pytest.importorskip("pyarrow.parquet")
    env = {**batches.dies_of_blue(tmp_path / "site"), "NAP_S": "0.001"}
    _killed(folder / "mortal", folder / "pictures", tmp_path / "out.parquet", 200 * COUNT, env=env)
    batch(folder / "mortal", folder / "pictures", "-o", tmp_path / "out.csv", code=65, env={**env, "NAP_S": "0"})
    table = parquet.read_table(tmp_path / "out.parquet").drop_columns(["latency_ms"])
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert table.num_rows == len(lines) - 1 == 3 * (COUNT - 1) + 1
    assert [str(name) for name in table.column("input").to_pylist()] == [line.split(",")[0] for line in lines[1:]]


@pytest.mark.timeout(1800)
def test_mobilenet_killed_three_times_is_exact(zoo: Path, folder: Path, tmp_path: Path) -> None:
    """A real network, on real pictures among others."""
    model = zoo_bundles.mobilenet_tflite(zoo, tmp_path / "mobilenet").folder
    listed = tmp_path / "list"
    names = [zoo / "classify/cat.bmp", *sorted((folder / "pictures").iterdir())[:1200], zoo / "classify/orange.png", tmp_path / "missing.png"]
    listed.write_text("".join(f"{name}\n" for name in names))
    _undisturbed(model, f"@{listed}", tmp_path / "whole.jsonl", "MobileNet, 1203 inputs", "--workers", 2)
    _killed(model, f"@{listed}", tmp_path / "torn.jsonl", (tmp_path / "whole.jsonl").stat().st_size, "--workers", 2)
    assert timeless(tmp_path / "torn.jsonl") == timeless(tmp_path / "whole.jsonl")
    assert "cat" in rows(tmp_path / "torn.jsonl")[0]["result"]["classes"][0]["label"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    pytest.importorskip("distributed")
    site = Site(tmp_path, {**batches.dies_of_blue(tmp_path / "site"), "NAP_S": "0.002"})
    try:
        yield site
    finally:
        site.close()


@pytest.mark.timeout(1800)
def test_a_cluster_with_a_dying_worker_is_exact(folder: Path, site: Site, tmp_path: Path) -> None:
    """Ten thousand pictures by three workers: one is killed, another comes, the run itself is killed and goes on."""
    victim, *_ = site.workers(3)
    output = tmp_path / "there.jsonl"
    said = (folder / "mortal", folder / "pictures", "-o")
    process = start(*said, output, "--dask", site.address)
    try:
        wait_for_rows(output, 0, process)
        victim.kill()
        site.workers(1)
        wait_for_rows(output, 400_000, process, 300)
    finally:
        batches.kill(process)
    process = start(*said, output, "--dask", site.address)
    watch = Watch(process)
    assert process.wait(900) == 65
    growth = watch.report("Dask, three workers")
    batch(*said, tmp_path / "here.jsonl", code=65, env=batches.dies_of_blue(tmp_path / "here"))
    assert timeless(output) == timeless(tmp_path / "here.jsonl")
    assert growth[0] < 4096
