"""``edgeinfer batch`` as a user runs it: real processes, real pictures, real kills."""

from __future__ import annotations

import csv
import json
import random
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.batch.piece import Task
from edgeinfer.batch.reader import Reader
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import read
from edgeinfer.model.engine import Engine
from tests import batches, texts, transactions
from tests.batches import batch, rows, start, timeless, wait_for_rows

pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of pictures, one of windows, 200 pictures, and one whose decoder is deadly."""
    folder = batches.material(tmp_path_factory.mktemp("batch"), 200)
    np.save(folder / "recording.npy", np.sin(np.arange(4000) / 3).astype(np.float32))
    return folder


def _video(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 32))
    for number in range(frames):
        writer.write(np.full((32, 32, 3), number * 3, np.uint8))
    writer.release()
    return path


def test_a_kill_changes_nothing(folder: Path, tmp_path: Path) -> None:
    """200 pictures by two workers, killed with SIGKILL at random behind a checkpoint: byte for byte what one undisturbed worker
    writes, but for the latencies; no file is left but the output."""
    env = batches.dies_of_blue(tmp_path / "site")
    said = (folder / "mortal", folder / "pictures", "-o")
    document = json.loads(batch(*said, tmp_path / "whole.jsonl", "--json", env=env))
    assert (document["inputs"], document["rows"], document["failed"], document["resumed"]) == (200, 200, 0, False)
    torn = tmp_path / "torn.jsonl"
    process = start(*said, torn, "--workers", 2, env={**env, "NAP_S": "0.02"})
    try:
        wait_for_rows(torn, 0, process)
        time.sleep(random.uniform(0, 0.3))
    finally:
        batches.kill(process)
    document = json.loads(batch(*said, torn, "--workers", 2, "--json", env=env))
    assert document["resumed"] is True
    assert timeless(torn) == timeless(tmp_path / "whole.jsonl")
    assert [row["input"] for row in rows(torn)] == [str(path) for path in sorted((folder / "pictures").iterdir())]
    assert not (tmp_path / "torn.jsonl.batch").exists()


def test_sigterm_keeps_what_was_done(folder: Path, tmp_path: Path) -> None:
    """It ends as SIGTERM ends a process, with a checkpoint of all rows so far; no worker outlives it."""
    env = batches.dies_of_blue(tmp_path / "site")
    output = tmp_path / "out.jsonl"
    process = start(folder / "mortal", folder / "pictures", "-o", output, env={**env, "NAP_S": "0.02"})
    wait_for_rows(output, 0, process)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    checkpoint = json.loads((tmp_path / "out.jsonl.batch/checkpoint.json").read_bytes())
    assert checkpoint["offset"] == (tmp_path / "out.jsonl.batch/rows.jsonl").stat().st_size > 0
    assert workers
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_an_input_that_fails_is_a_row_of_its_own(folder: Path, tmp_path: Path) -> None:
    """One that is missing, one that is broken, one at which a decoder raises, one at which the process dies each time; one at which
    it died once is tried again. The others are there, the order is kept, and the exit code is 65."""
    env = batches.dies_of_blue(tmp_path / "site")
    names = ["1white", "2blue", "3red", "4broken", "5green", "6black"]
    colours = {"1white": (255, 255, 255), "2blue": (255, 0, 0), "3red": (0, 0, 255), "5green": (0, 255, 0), "6black": (0, 0, 0)}
    (tmp_path / "in").mkdir()
    for name, colour in colours.items():
        cv2.imwrite(str(tmp_path / f"in/{name}.png"), np.full((8, 8, 3), colour, np.uint8))
    (tmp_path / "in/4broken.png").write_bytes(b"not a picture")
    said = batch(folder / "mortal", "in", "missing.png", "-o", "out.jsonl", "--workers", 2, code=65, cwd=tmp_path, env=env)
    assert "expected an answer to every input, got 4 inputs with an error" in said
    found = rows(tmp_path / "out.jsonl")
    assert [row["input"] for row in found] == [*(f"in/{name}.png" for name in names), "missing.png"]
    assert [row.get("error", {}).get("kind") for row in found] == [
        None, "ModelError", None, "SourceError", "ValueError", None, "SourceError"]
    assert found[1]["error"]["got"] == "the worker was ended by SIGKILL, twice"
    assert found[2]["result"]["classes"][0]["label"] == "red"


def test_videos_and_windows_have_a_row_for_each_frame(folder: Path, tmp_path: Path) -> None:
    """Of a video each k-th, with its number; of a recording each window. The rows are those of infer."""
    video = _video(tmp_path / "film.avi", 60)
    batch(folder / "colours", video, folder / "pictures/00000.png", "-o", tmp_path / "v.jsonl", "--every", 25)
    found = rows(tmp_path / "v.jsonl")
    assert [(Path(row["input"]).name, row["index"]) for row in found] == [
        ("film.avi", 0), ("film.avi", 25), ("film.avi", 50), ("00000.png", 0)]
    batch(folder / "vibration", folder / "recording.npy", "-o", tmp_path / "w.jsonl")
    windows = rows(tmp_path / "w.jsonl")
    assert [row["index"] for row in windows] == list(range((4000 - 16) // 8 + 1))
    assert windows[0]["result"]["anomalous"] is False


def test_lists_come_from_stdin_and_end_at_the_limit(folder: Path, tmp_path: Path) -> None:
    """@- is a list; --limit cuts it."""
    names = "".join(f"{folder}/pictures/{number:05}.png\n" for number in (7, 3, 5))
    batch(folder / "colours", "@-", "-o", tmp_path / "out.csv", "--limit", 2, stdin=names)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "input,index,model,latency_ms,error,row,label,class,score"
    assert [Path(line.split(",")[0]).stem for line in lines[1:]] == ["00007"] * 3 + ["00003"] * 3


def test_outside_its_hours_nothing_is_computed(folder: Path, tmp_path: Path) -> None:
    """It waits without a worker, and says so; Ctrl-C ends it at once."""
    hour = time.localtime().tm_hour
    between = f"{(hour + 3) % 24:02}:00-{(hour + 4) % 24:02}:00"
    process = start(folder / "colours", folder / "pictures", "-o", tmp_path / "out.jsonl", "--between", between, "--nice", 5)
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "out.jsonl.batch/rows.jsonl").exists() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        assert Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text() == ""
        assert int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[16]) >= 5
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("every", [1, 3])
def test_an_input_goes_on_at_any_row(folder: Path, monkeypatch: pytest.MonkeyPatch, stateful: bool, every: int) -> None:
    """What is computed behind the rows that are there is what the whole would have had there, also of a model with state."""
    engine = Engine(read(folder / "vibration"), RuntimeOptions())
    monkeypatch.setattr(engine, "stateful", stateful)
    reader, path = Reader(engine, None, every), folder / "recording.npy"

    def rows_behind(skip: int) -> list[dict[str, object]]:
        made = [row for piece in reader.pieces(Task(0, bytes(path), "r", skip)) for row in piece.rows]
        return [{**json.loads(row), "latency_ms": 0} for row in made]

    whole = rows_behind(0)
    assert [row["index"] for row in whole] == list(range(0, 499, every))
    for skip in (1, 100, len(whole) - 1, len(whole)):
        assert rows_behind(skip) == whole[skip:]
    engine.close()


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (("-o", "out.txt"), 64, ".jsonl, .csv, .parquet"),
    (("-o", "out.jsonl", "--between", "1-5"), 64, "--between 01:00-05:00"),
    (("-o", "out.jsonl", "--ship"), 64, "--dask"),
    (("-o", "none/out.jsonl"), 74, "No such file"),
    (("-o", "out.jsonl", "--threshold", "-1"), 78, "threshold"),
])
def test_what_cannot_be_done_is_refused(folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    """One error, and nothing is left behind."""
    assert said in batch(folder / "colours", folder / "pictures", *arguments, code=code, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


_GOOD = [(10.0, "DE", False), (250.0, "FR", True), (0.5, "IT", False)]
_TABLES = {
    "rows.jsonl": '{"amount": 10, "country": "DE", "night": false}\n{"amount": 250, "country": "FR", "night": true}\n'
                  '{"amount": "much", "country": "FR"}\n{"amount": 0.5, "country": "IT"}\n',
    "rows.csv": "id,night,country,amount\n1,false,DE,10\n2,1,FR,250\n3,,FR,much\n4,,IT,0.5\n",
}


@pytest.mark.parametrize("name", _TABLES)
@pytest.mark.parametrize("as_folder", [False, True])
def test_each_line_of_a_table_is_a_row(tmp_path: Path, name: str, as_folder: bool) -> None:
    """By the columns' names, whatever their order; one that cannot be used is a row of its own, and those behind it go on."""
    pytest.importorskip("onnxruntime")
    bundle = transactions.transactions(tmp_path).folder
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(_TABLES[name])
    said = batch(bundle, "in" if as_folder else f"in/{name}", "-o", "out.jsonl", code=65, cwd=tmp_path)
    assert "got 1 inputs with an error" in said
    found = rows(tmp_path / "out.jsonl")
    assert [(row["input"], row["index"]) for row in found] == [(f"in/{name}", index) for index in range(4)]
    assert found[2]["error"]["kind"] == "RowError"
    assert found[2]["error"]["where"] == f"in/{name}: line {3 + name.endswith('csv')}: amount"
    scores = [{row["label"]: row["score"] for row in answer["result"]["classes"]}["fraud"] for answer in found if "result" in answer]
    assert scores == pytest.approx([transactions.fraud(*row) for row in _GOOD], abs=1e-4)


@pytest.mark.parametrize(("name", "content"), [
    ("t.jsonl", '"it is bad"\n{"text": "good"}\n{"words": "good"}\n"goodness"\n'), ("t.csv", "n,text\n1,it is bad\n2,good\n3\n4,goodness\n")])
def test_each_line_of_texts_is_a_row(tmp_path: Path, name: str, content: str) -> None:
    """With the bundle's tokenizer."""
    pytest.importorskip("onnxruntime")
    bundle = texts.texts(tmp_path).folder
    (tmp_path / name).write_text(content)
    batch(bundle, name, "-o", "out.csv", code=65, cwd=tmp_path)
    with (tmp_path / "out.csv").open() as file:
        found = [row for row in csv.DictReader(file) if row["row"] in ("", "0")]
    assert [row["label"] for row in found] == ["against", "for", "", "for"]
    assert [row["index"] for row in found] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("every", [1, 2])
def test_a_file_of_rows_goes_on_at_any_row_and_remembers_that_one_was_bad(tmp_path: Path, every: int) -> None:
    """Whether the bad one lies before or behind it."""
    pytest.importorskip("onnxruntime")
    engine = Engine(transactions.transactions(tmp_path), RuntimeOptions())
    reader, path = Reader(engine, None, every), tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"amount": number, "country": "DE"} if number != 4 else {}) + "\n" for number in range(9)))

    def behind(skip: int) -> list[dict[str, object]]:
        pieces = list(reader.pieces(Task(0, bytes(path), "r", skip)))
        assert pieces[-1].done
        assert pieces[-1].failed
        return [{**json.loads(row), "latency_ms": 0} for piece in pieces for row in piece.rows]

    whole = behind(0)
    assert [row["index"] for row in whole if "error" in row] == [4]
    for skip in range(len(whole) + 1):
        assert behind(skip) == whole[skip:]
    engine.close()


@pytest.mark.parametrize("given", [".", "out.csv", "*.csv"])
def test_the_output_is_no_input(folder: Path, tmp_path: Path, given: str) -> None:
    """Results of an earlier run that lie among the tables: they would be computed on, and then replaced."""
    (tmp_path / "out.csv").write_text("x\n1\n")
    assert "out.csv: expected inputs that are not the output" in batch(
        folder / "vibration", given, "-o", "out.csv", "--restart", code=64, cwd=tmp_path)
    assert (tmp_path / "out.csv").read_text() == "x\n1\n"
