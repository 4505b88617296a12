"""The parts of a batch: order, hours, lists, the journal, tables."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.batch import listing
from edgeinfer.batch.export import export
from edgeinfer.batch.hours import Hours
from edgeinfer.batch.journal import Journal
from edgeinfer.batch.order import Order
from edgeinfer.batch.piece import Piece, Task
from edgeinfer.batch.progress import Pace, on
from edgeinfer.batch.run import Plan, Run
from edgeinfer.batch.sorting import in_order
from edgeinfer.errors import EdgeinferError, SourceError, StorageError, UsageError
from edgeinfer.sources.csv_rows import CsvRows
from edgeinfer.sources.jsonl import Jsonl, JsonlOptions

PLAN = Plan(model="colours:1", bundle="0" * 64, accelerators=(), threshold=None, every=1)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_pieces_come_out_in_the_order_of_the_inputs(counts: list[int], random: Any) -> None:
    """Whatever order the inputs' pieces arrive in, they leave by input, and by piece within one; nothing stays."""
    queues = {number: [Piece(number, (b"%d.%d" % (number, part),), done=part == count - 1) for part in range(count)]
              for number, count in enumerate(counts)}
    order, out = Order(0), []
    while queues:
        number = random.choice(sorted(queues))
        order.put(queues[number].pop(0))
        if not queues[number]:
            del queues[number]
        out += [piece.rows[0] for piece in order.ready()]
    assert out == [b"%d.%d" % (number, part) for number, count in enumerate(counts) for part in range(count)]
    assert (order.head, order.nbytes) == (len(counts), 0)


def _clock(text: str) -> time.struct_time:
    return time.strptime(text, "%H:%M:%S")


@pytest.mark.parametrize(("hours", "now", "expected"), [
    ("01:00-05:00", "00:59:59", False), ("01:00-05:00", "01:00:00", True), ("01:00-05:00", "04:59:59", True),
    ("01:00-05:00", "05:00:00", False), ("22:30-04:00", "23:00:00", True), ("22:30-04:00", "03:59:00", True),
    ("22:30-04:00", "04:00:00", False), ("22:30-04:00", "22:29:59", False), ("0:00-24:00", "12:00:00", True),
])
def test_hours_are_open_from_their_begin_up_to_their_end(hours: str, now: str, expected: bool) -> None:
    """Also over midnight."""
    assert Hours.parse(hours).open() in {True, False}
    parsed = Hours.parse(hours)
    assert Hours(parsed._begin, parsed._end, lambda: _clock(now)).open() is expected


def test_a_clock_that_jumps_is_looked_at_anew() -> None:
    """A nap is never longer than half a minute, and ends at the begin."""
    assert Hours(60, 300, lambda: _clock("12:00:00")).nap_s() == 30
    assert Hours(60, 300, lambda: _clock("00:59:57")).nap_s() == 3


@pytest.mark.parametrize("text", ["", "1-5", "01:00", "01:00-01:00", "24:00-02:00", "01:60-02:00", "01:00-24:01", "at night"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    """With an example of some."""
    with pytest.raises(UsageError, match="01:00-05:00"):
        Hours.parse(text)


@given(st.lists(st.binary(min_size=1, max_size=6), max_size=60))
@settings(deadline=None)
def test_names_are_sorted_in_runs_on_disk(tmp_path_factory: pytest.TempPathFactory, names: list[bytes]) -> None:
    """As if they had been in memory."""
    assert list(in_order(iter(names), tmp_path_factory.getbasetemp(), run=5)) == sorted(names)


def test_inputs_are_files_folders_patterns_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the command line; folders and patterns sorted; a list as it is written; any name that a file may have."""
    for name in ("b.png", "a.JPG", "notes.txt", "deep/c.png", "deep/er/d.mp4", "odd [1].png", "line\nbreak.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    strange = os.fsdecode(b"in/\xff.png")
    monkeypatch.chdir(tmp_path)
    Path(strange).touch()
    Path("list").write_bytes(b"in/b.png\r\n\nmissing.png\n" + os.fsencode(strange) + b"\nin/*.png\n")

    def found(*inputs: str, recursive: bool = False) -> list[str]:
        return list(listing.expanded(inputs, listing.PICTURES, recursive, tmp_path))

    folder = ["in/a.JPG", "in/b.png", "in/line\nbreak.png", "in/odd [1].png", strange]
    assert found("in") == folder
    assert found("in", recursive=True) == sorted([*folder, "in/deep/c.png", "in/deep/er/d.mp4"], key=os.fsencode)
    assert found("in/odd [1].png", "in/*.png", "in/**/d.*") == ["in/odd [1].png", *folder[1:], "in/deep/er/d.mp4"]
    assert found("@list") == ["in/b.png", "missing.png", strange, "in/*.png"]
    for wrong in ("in/deep/er/none*", "@none"):
        with pytest.raises(SourceError):
            found(wrong)
    listed = listing.write(iter(found("in", "missing.png")), tmp_path / "inputs", None)
    read = list(listing.tasks(tmp_path / "inputs", 4, 3))
    assert listed.count == 6
    assert read == [Task(4, os.fsencode(tmp_path) + b"/in/\xff.png", "in/\\xff.png", 3),
                    Task(5, os.fsencode(tmp_path) + b"/missing.png", "missing.png", 0)]


class Told:
    """Answers that follow from the number; the input n has n % 4 + 1 rows, in pieces of two."""

    def __init__(self, pieces: int = 1 << 30) -> None:
        self.left = pieces  # then it is stopped

    def pieces(self, tasks: Iterator[Task], head: int) -> Iterator[Piece | None]:
        for task in tasks:
            made = [b'{"input":"%d","index":%d}' % (task.number, index) for index in range(task.number % 4 + 1)][task.skip:]
            for at in range(0, max(len(made), 1), 2):
                done = at + 2 >= len(made)
                yield Piece(task.number, tuple(made[at : at + 2]), done=done, failed=done and task.number % 10 == 9)
                yield None
                self.left -= 1
                if self.left < 0:
                    raise KeyboardInterrupt

    def close(self) -> None: ...


def _expected(count: int) -> bytes:
    return b"".join(b'{"input":"%d","index":%d}\n' % (number, index) for number in range(count) for index in range(number % 4 + 1))


def _run(output: Path, told: Told, inputs: list[str] | None, **said: Any) -> dict[str, Any]:
    run = Run(output)
    with run.locked(), open(os.devnull, "w") as nowhere:
        plan = run.begin(said.get("plan", PLAN), (lambda scratch: iter(inputs)) if inputs else None, None, said.get("restart", False))
        return run.work(plan, told, on(nowhere), lambda: "")


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.integers(0, 40)), max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_kill_at_any_point_leaves_neither_a_duplicate_nor_a_gap(
        tmp_path_factory: pytest.TempPathFactory, kills: list[tuple[int, bool, int]]) -> None:
    """Pieces are added, some with a checkpoint behind them; a kill leaves any part of what came after the last one."""
    folder = tmp_path_factory.mktemp("journal")
    count = 20
    listing.write((str(number) for number in range(count)), folder / "inputs", None)
    for steps, saved, torn in [*kills, (1000, True, 0)]:
        journal = Journal(folder)
        tasks = listing.tasks(folder / "inputs", journal.state.done, journal.state.emitted)
        for step, piece in enumerate(filter(None, Told().pieces(tasks, journal.state.done))):
            if step == steps:
                break
            journal.add(piece)
            if saved and step == steps // 2:
                journal.save()
        if steps == 1000:
            journal.close()
            break
        journal._file.close()
        written = journal.path.read_bytes()
        checkpoint = folder / "checkpoint.json"
        durable = json.loads(checkpoint.read_bytes())["offset"] if checkpoint.exists() else 0
        journal.path.write_bytes(written[: max(durable, len(written) - torn)])
    assert journal.path.read_bytes() == _expected(count)
    assert (journal.state.done, journal.state.failed) == (count, 2)


@pytest.mark.parametrize("stop", range(0, 30, 7))
def test_a_run_that_was_stopped_goes_on(tmp_path: Path, stop: int) -> None:
    """With the same inputs, or with none given; the output is there at the end only, the folder until then only."""
    output, inputs = tmp_path / "out.jsonl", [str(number) for number in range(20)]
    with pytest.raises(KeyboardInterrupt):
        _run(output, Told(stop), inputs)
    assert not output.exists()
    summary = _run(output, Told(), inputs if stop % 2 else None)
    assert output.read_bytes() == _expected(20)
    assert (summary["inputs"], summary["rows"], summary["failed"], summary["resumed"]) == (20, 50, 2, True)
    assert sorted(tmp_path.iterdir()) == [output]


def test_a_kill_between_output_and_end_is_noticed(tmp_path: Path) -> None:
    """The rows were moved, and the folder is still there: the run only clears up."""
    output = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        _run(output, Told(29), [str(number) for number in range(20)])
    run = Run(output)
    journal = Journal(run.folder)
    for piece in filter(None, Told().pieces(listing.tasks(run.folder / "inputs", journal.state.done, journal.state.emitted), 0)):
        journal.add(piece)
    journal.save()
    journal.close()
    export(journal.path, output)
    assert _run(output, Told(), None)["rows"] == 50
    assert sorted(tmp_path.iterdir()) == [output]


def _stopped(tmp_path: Path) -> Path:
    output = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        _run(output, Told(5), ["a", "b", "c", "d", "e", "f"])
    return output


@pytest.mark.parametrize(("inputs", "plan", "where", "got"), [
    (["a", "b", "x", "d", "e", "f"], PLAN, "input 2: c (no file)", "x (no file)"),
    (["a", "b", "c", "d", "e"], PLAN, "input 5: f (no file)", "no more"),
    (None, Plan(model="colours:2", bundle="1" * 64, accelerators=(), threshold=None, every=1), "out.jsonl: model", "colours:2"),
    (None, Plan(model="colours:1", bundle="0" * 64, accelerators=(), threshold=0.5, every=1), "out.jsonl: threshold", "0.5"),
])
def test_another_task_than_the_one_that_was_stopped_is_refused(
        tmp_path: Path, inputs: list[str] | None, plan: Plan, where: str, got: str) -> None:
    """The error names the first difference, and how to begin anew; that works."""
    output = _stopped(tmp_path)
    with pytest.raises(UsageError) as caught:
        _run(output, Told(), inputs, plan=plan)
    fault = caught.value.faults[0]
    assert (where in fault.where, fault.got, "--restart" in fault.hint) == (True, got, True)
    assert _run(output, Told(), ["a", "b"], plan=plan, restart=True)["resumed"] is False
    assert output.read_bytes() == _expected(2)


def test_an_input_that_changed_is_refused(tmp_path: Path) -> None:
    """Another size or time is another input."""
    (tmp_path / "a").write_text("one")
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "out.jsonl", Told(0), [str(tmp_path / "a"), "b"])
    (tmp_path / "a").write_text("another")
    with pytest.raises(UsageError, match="7 bytes"):
        _run(tmp_path / "out.jsonl", Told(), [str(tmp_path / "a"), "b"])


def test_an_input_that_changed_below_its_rows_is_refused(tmp_path: Path) -> None:
    """Also where no inputs are given: rows of two contents are no answer. One that is gone has its error as its last row."""
    paths = [str(tmp_path / name) for name in "abcd"]
    for path in paths:
        Path(path).write_text("one")
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "out.jsonl", Told(4), paths)  # the fourth has four rows, of which two are there
    Path(paths[0]).write_text("it is done, so it does not matter")
    Path(paths[3]).write_text("another")
    with pytest.raises(UsageError, match=r"d: expected the file of which 2 rows are there, got one that changed since"):
        _run(tmp_path / "out.jsonl", Told(), None)
    Path(paths[3]).unlink()
    assert _run(tmp_path / "out.jsonl", Told(), None)["rows"] == 10


def test_an_output_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """Nor does the refusal leave anything behind; --restart replaces it at the end."""
    output = tmp_path / "out.jsonl"
    output.write_text("mine")
    with pytest.raises(UsageError, match="--restart"):
        _run(output, Told(), ["a"])
    assert (output.read_text(), sorted(tmp_path.iterdir())) == ("mine", [output])
    with pytest.raises(KeyboardInterrupt):
        _run(output, Told(0), ["a", "b"], restart=True)
    assert output.read_text() == "mine"
    _run(output, Told(), ["a", "b"])
    assert output.read_bytes() == _expected(2)


def test_one_run_an_output(tmp_path: Path) -> None:
    """A second one is told so, and does not disturb the first."""
    output = tmp_path / "out.jsonl"
    with Run(output).locked():
        with pytest.raises(UsageError, match="another that is at it"):
            _run(output, Told(), ["a"])
        assert Run(output).folder.is_dir()


def test_rows_that_went_missing_are_noticed(tmp_path: Path) -> None:
    """A file shorter than its checkpoint is an error, not a gap."""
    output = _stopped(tmp_path)
    (Run(output).folder / "rows.jsonl").write_bytes(b"")
    with pytest.raises(StorageError, match="--restart"):
        _run(output, Told(), None)


def test_a_disk_that_is_full_costs_no_row(small_disk: Path) -> None:
    """The run ends with an error; with room again it goes on to the same rows."""
    output, inputs = small_disk / "out.jsonl", [str(number) for number in range(30000)]
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(6 << 20))
    with pytest.raises(EdgeinferError, match="No space left"):
        _run(output, Told(), inputs)
    ballast.unlink()
    _run(output, Told(), inputs)
    assert output.read_bytes() == _expected(30000)


RESULTS: dict[str, tuple[list[dict[str, Any]], list[str], list[list[str]]]] = {
    "classify": ([{"classes": [{"label": "a, b", "index": 1, "score": 0.5}, {"label": "c", "index": 0, "score": 1}]}, {"classes": []}],
                 ["row", "label", "class", "score"], [["0", '"a, b"', "1", "0.5"], ["1", "c", "0", "1"], ["", "", "", ""]]),
    "detect": ([{"count": 1, "detections": [{"label": "cat", "index": 3, "score": 0.9, "box": [0, 0.1, 0.2, 1], "keypoints": [[0.5, 0.5]]}]}],
               ["row", "label", "class", "score", "left", "top", "right", "bottom", "area", "keypoints"],
               [["0", "cat", "3", "0.9", "0", "0.1", "0.2", "1", "", '"[[0.5, 0.5]]"']]),
    "segment": ([{"areas": [{"label": "sky", "index": 2, "area": 0.25}], "regions": []}], ["row", "label", "class", "area"], [["0", "sky", "2", "0.25"]]),
    "embed": ([{"name": "Ann", "known": True, "similarity": 0.75}], ["name", "known", "similarity"], [["Ann", "true", "0.75"]]),
    "ctc": ([{"text": "EXIT 12", "score": 0.9}, {"text": "", "score": 0}], ["text", "score"], [["EXIT 12", "0.9"], ["", "0"]]),
    "anomaly": ([{"anomalous": False, "score": 0.1, "threshold": 1}], ["anomalous", "score", "threshold"], [["false", "0.1", "1"]]),
    "regress": ([{"values": {"x": 1.5, "y": 2}}], ["row", "name", "value"], [["0", "x", "1.5"], ["1", "y", "2"]]),
    "other": ([{"tensors": {"t": 1}}], ["result"], [['"{""tensors"": {""t"": 1}}"']]),
}


def _rows_file(tmp_path: Path, results: list[dict[str, Any]]) -> Path:
    error = {"input": "bad", "index": 0, "model": "m:1", "error": {"kind": "SourceError", "where": "bad", "expected": "a", "got": "b"}}
    lines = [error, *({"input": "x", "index": 7, "model": "m:1", "latency_ms": 2, "result": result} for result in results)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("task", RESULTS)
def test_csv_has_a_line_for_each_part_of_a_result(task: str, tmp_path: Path) -> None:
    """The columns follow the task; what has no part, and an error, is one line."""
    results, columns, cells = RESULTS[task]
    export(_rows_file(tmp_path, results), tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == ",".join(["input", "index", "model", "latency_ms", "error", *columns])
    assert lines[1] == ",".join(['bad,0,m:1,,"bad: expected a, got b"', *[""] * len(columns)])
    assert lines[2:] == [",".join(["x,7,m:1,2,", *row]) for row in cells]


@pytest.mark.parametrize("task", RESULTS)
def test_parquet_has_the_table_of_csv_with_types(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In row groups; the same cells."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("edgeinfer.batch.export._GROUP", 2)
    results, columns, cells = RESULTS[task]
    rows = _rows_file(tmp_path, results)
    export(rows, tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names[5:] == columns
    assert table.num_rows == 1 + len(cells)
    assert parquet.ParquetFile(tmp_path / "out.parquet").num_row_groups == (2 + len(cells)) // 2
    assert table.column("latency_ms").to_pylist() == [None, *[2.0] * len(cells)]
    written = [["" if cell is None else str(cell) for cell in row.values()][5:] for row in table.to_pylist()[1:]]
    assert all(len(row) == len(columns) for row in written)


def test_progress_says_how_long_it_will_take() -> None:
    """From the inputs of this run and the time in which work was done."""
    pace = Pace(100, 400)
    pace._last -= 10
    pace.tick()
    pace._last -= 1000
    pace.tick(working=False)
    for number in range(100):
        pace.tell(Piece(number, (b"",), (4_000_000,), done=True, failed=number == 0))
    text = str(pace)
    assert text.startswith("200 of 400 inputs, ")
    assert text.endswith("1 failed, about 20 s to go")
    assert 9 < pace.rate <= 10


@pytest.mark.parametrize("within", [False, True])
def test_progress_within_a_long_input_is_told_by_its_source(within: bool) -> None:
    """Of one file a share is done, of which an earlier run may have done a part; what comes is reckoned from what this one did."""
    pace = Pace(0, 1, within)
    for share in (0.2, 0.4):
        pace.tell(Piece(0, (b"",) * 50, (1000,) * 50, share=share))
    pace.busy_s = 10.0
    assert str(pace).startswith("0 of 1 inputs, 100 rows, 10 a second, ")
    assert str(pace).endswith(f"about {30 if within else 15} s to go")


def test_sources_of_files_tell_how_far_they_are(tmp_path: Path) -> None:
    """From nothing to all, and never back."""
    (tmp_path / "rows.csv").write_text("text\n" + "a\n" * 100_000)
    (tmp_path / "rows.jsonl").write_text('"a"\n' * 100_000)
    for source in (CsvRows(tmp_path / "rows.csv", [], "text"), Jsonl(JsonlOptions(path=str(tmp_path / "rows.jsonl")))):
        assert source.share == 0
        source.open()
        shares = []
        while source.read() is not None:
            shares.append(source.share)
        source.close()
        assert shares == sorted(shares)
        assert (shares[0] < 0.1, 0.45 < shares[50_000] < 0.55, shares[-1]) == (True, True, 1.0)
