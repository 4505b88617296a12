"""Samples from CSV files, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeinfer.sources import SampleFormat
from edgeinfer.sources.csv import Csv, CsvOptions

Fails = Callable[..., str]


def _source(tmp_path: Path, text: str | bytes, **options: object) -> Csv:
    path = tmp_path / "samples.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Csv(CsvOptions(path=str(path), **{"pace": "fast", **options}))  # type: ignore[arg-type]


def _read_all(source: Csv, piece: int = 3) -> np.ndarray:
    source.open()
    channels = source.format().channels
    parts = [np.zeros((0, channels), np.float32)]
    samples = np.zeros((piece, channels), np.float32)
    while count := source.read_into(samples):
        parts.append(samples[:count].copy())
    source.close()
    return np.concatenate(parts)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 3), max_size=20),
       piece=st.integers(1, 7))
def test_what_was_written_is_read_whatever_the_pieces(tmp_path: Path, rows: list[tuple[float, ...]], piece: int) -> None:
    """Every float32 survives, in reads of any size."""
    text = "x,y,z\n" + "".join(f"{','.join(map(repr, row))}\n" for row in rows)
    assert np.array_equal(_read_all(_source(tmp_path, text), piece), np.array(rows, np.float32).reshape(-1, 3))


@pytest.mark.parametrize(("columns", "expected"), [
    ((), [[1, 2, 3], [4, 5, 6]]), (("z", "x"), [[3, 1], [6, 4]]), ((1,), [[2], [5]]), ((2, "x"), [[3, 1], [6, 4]]),
])
def test_columns_are_chosen_by_name_or_number_in_the_order_asked_for(
        tmp_path: Path, columns: tuple[str | int, ...], expected: list[list[float]]) -> None:
    """The model's channel order is not the file's."""
    source = _source(tmp_path, "x,y,z\n1,2,3\n4,5,6\n", columns=columns, rate=100.0)
    assert source.format() == SampleFormat(len(expected[0]), 100.0)
    assert _read_all(source).tolist() == expected


@pytest.mark.parametrize(("text", "delimiter"), [
    ("x,y\r\n1,2\r\n\r\n3,4\r\n", ","), ("\ufeffx,y\n1,2\n3,4", ","), ('"x","y"\n"1","2"\n 3 , 4 \n', ","), ("x;y\n1;2\n3;4\n", ";"),
    ("x\ty\n1\t2\n3\t4\n", "\t"),
])
def test_files_of_other_programs_are_read(tmp_path: Path, text: str, delimiter: str) -> None:
    """Windows line ends, empty lines, a byte order mark, no line end at the end, quotes, blanks, other delimiters."""
    assert _read_all(_source(tmp_path, text, delimiter=delimiter, columns=("x", "y"))).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("bad", ["a,b", "1,", "1", "1,2,3", "nan,1", "1,inf", "1e39,0", "1,2 3", '1,"2', "1,\0", "\x00\xff,1"])
def test_a_bad_line_is_named_and_skipped(tmp_path: Path, fails: Callable[..., str], bad: str) -> None:
    """A cell that is no finite number, too few or too many; the next read goes on behind the line."""
    source = _source(tmp_path, f"x,y\n1,2\n{bad}\n", )
    source.open()
    samples = np.zeros((2, 2), np.float32)
    fails(lambda: source.read_into(samples), "samples.csv: line 3: expected ")
    assert source.read_into(samples) == 0
    source.close()


def test_a_reader_that_opens_anew_after_a_bad_line_goes_on_behind_it(tmp_path: Path, fails: Callable[..., str]) -> None:
    """A live replay is opened again after an error, and would never get past the line otherwise."""
    source = _source(tmp_path, "x\n1\nbad\n3\nworse\n5\n", pace="realtime", rate=1e6)
    samples = np.zeros((1, 1), np.float32)
    seen = []
    source.open()
    for line in (3, 5):
        assert source.read_into(samples)
        seen.append(samples[0, 0])
        fails(lambda: source.read_into(samples), f"line {line}")
        source.close()
        source.open()
    assert source.read_into(samples)
    assert [*seen, samples[0, 0]] == [1, 3, 5]
    source.close()
    source.open()
    assert source.read_into(samples)
    assert samples[0, 0] == 1, "after a clean close it starts at the beginning"
    source.close()


@pytest.mark.parametrize(("text", "words"), [
    ("", ["line 1", "a header", "got nothing"]), ("1,2\n3,4\n", ["line 1", "a header", "got 1, 2", "sed -i"]),
    ("a,b\n1,2\n", ["a column 'time'", "a, b"]), ("timme,b\n1,2\n", ["did you mean 'timme'?"]),
])
def test_a_bad_header_is_an_error_before_any_sample(tmp_path: Path, fails: Callable[..., str], text: str, words: list[str]) -> None:
    """None at all, numbers in its place, or without the column that is asked for."""
    source = _source(tmp_path, text, columns=("time",))
    fails(source.format, *words)
    fails(source.open, *words)


def test_a_file_without_line_ends_does_not_fill_the_memory(tmp_path: Path, fails: Callable[..., str]) -> None:
    """Four megabytes in one line are an error after 64 KiB, in the header and below it."""
    fails(_source(tmp_path, b"x" * 4_000_000).format, "line 1", "less than 65536 characters")
    source = _source(tmp_path, b"x\n" + b"1" * 4_000_000)
    source.open()
    fails(lambda: source.read_into(np.zeros((1, 1), np.float32)), "line 2", "less than 65536 characters")
    source.close()


def test_a_loop_goes_round_and_an_empty_one_ends(tmp_path: Path) -> None:
    """A read may span the end of the file; a file without rows ends though it loops."""
    source = _source(tmp_path, "x\n1\n2\n3\n", loop=True)
    samples = np.zeros((8, 1), np.float32)
    source.open()
    assert source.read_into(samples) == 8
    assert samples[:, 0].tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    source.close()
    source = _source(tmp_path, "x\n", loop=True)
    source.open()
    assert source.read_into(samples) == 0
    source.close()


@pytest.mark.parametrize("anew", [False, True])
def test_a_line_that_is_too_long_is_one_bad_line(tmp_path: Path, anew: bool, fails: Fails) -> None:
    """What is behind its first 64 KiB is no line of its own, and what is behind its end is read, by a reader that goes on too."""
    source = _source(tmp_path, "x\n1\n" + "7" * 200_000 + "\n3\n")
    samples = np.zeros((1, 1), np.float32)
    source.open()
    assert source.read_into(samples) == 1
    fails(lambda: source.read_into(samples), "line 3", "less than 65536 characters")
    if anew:
        source.open()
    assert [source.read_into(samples), samples[0, 0]] == [1, 3]
    assert source.read_into(samples) == 0
    source.close()


def test_a_jump_of_the_time_is_a_gap(tmp_path: Path) -> None:
    """What came before it is given, it is counted, and the next read begins behind it; jitter is none."""
    times = [0.0, 0.101, 0.199, 0.3, 0.5, 0.6, 0.6, 0.7]
    text = "x,t,y\n" + "".join(f"{index},{time},{-index}\n" for index, time in enumerate(times))
    source = _source(tmp_path, text, time="t", rate=10.0)
    assert source.format().channels == 2
    source.open()
    samples, found = np.zeros((8, 2), np.float32), []
    while count := source.read_into(samples):
        found.append((samples[:count, 0].tolist(), source.gaps))
    assert found == [([0, 1, 2, 3], 1), ([4, 5], 2), ([6, 7], 2)]
    assert source.read_into(samples) == 0
    source.open()
    assert source.read_into(samples[:4]) == 4
    source.close()


@pytest.mark.parametrize("options", [{"time": "t"}, {"time": "t", "rate": 10.0, "columns": ("t",)}])
def test_gaps_need_a_rate_and_a_time_of_its_own(options: Any) -> None:
    """Without one there is nothing to compare with."""
    with pytest.raises(ValueError, match="time not among the columns"):
        CsvOptions(path="x.csv", pace="fast", **options)
