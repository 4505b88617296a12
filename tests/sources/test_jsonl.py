"""Rows from files of JSON lines, good and bad."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import SourceError
from edgeinfer.model.preprocess.columns import Column
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.rows import RowSamples
from edgeinfer.sources.jsonl import Jsonl, JsonlOptions


def _source(tmp_path: Path, text: bytes, **options: Any) -> Jsonl:
    (tmp_path / "rows.jsonl").write_bytes(text)
    return Jsonl(JsonlOptions(path=str(tmp_path / "rows.jsonl"), **options))


def _all(source: Jsonl) -> list[Any]:
    source.open()
    rows: list[Any] = []
    while True:
        try:
            row = source.read()
        except SourceError as error:
            rows.append(str(error).partition("rows.jsonl: ")[2].partition(": expected")[0])
            continue
        if row is None:
            break
        rows.append(row)
    source.close()
    return rows


def test_rows_and_texts_are_read_and_bad_lines_are_named_and_skipped(tmp_path: Path) -> None:
    """Blank lines, Windows' line ends, a byte order mark, a line that is too long (its rest is no line of its own), no end at the end."""
    text = b'\xef\xbb\xbf{"x": 1}\r\n\r\n"a text"\n[1]\n{"x": \n\xff\n' + b"9" * 70000 + b'\n{"x": 2}'
    assert _all(_source(tmp_path, text)) == [{"x": 1}, "a text", "line 4", "line 5", "line 6", "line 7", {"x": 2}]


@pytest.mark.parametrize("interval_s", [0.0, 0.001])
def test_a_line_that_is_too_long_is_one_bad_line(tmp_path: Path, interval_s: float) -> None:
    """In a live replay, too, which is opened anew behind it and must come past."""
    source = _source(tmp_path, b'"a"\n"' + b"9" * 200_000 + b'"\n"b"\n', interval_s=interval_s)
    source.open()
    assert source.read() == "a"
    with pytest.raises(SourceError, match=r"line 2: expected less than 65536 bytes"):
        source.read()
    if source.live:
        source.open()
    assert [source.read(), source.read()] == ["b", None]
    source.close()


def test_a_loop_goes_round_and_one_without_rows_ends(tmp_path: Path) -> None:
    """A file of nothing but blank lines must not keep the reader busy for ever."""
    source = _source(tmp_path, b'{"x": 1}\n{"x": 2}\n', loop=True)
    source.open()
    assert [source.read() for _ in range(5)] == [{"x": 1}, {"x": 2}, {"x": 1}, {"x": 2}, {"x": 1}]
    source.close()
    assert _all(_source(tmp_path, b"\n\n", loop=True)) == []


def test_a_row_that_the_model_cannot_use_is_named_with_its_line(tmp_path: Path, fails: Callable[..., str]) -> None:
    """And the next read, or the next opening, goes on behind it."""
    source = _source(tmp_path, b"".join(json.dumps({"x": value}).encode() + b"\n" for value in (1, "a", 3)))
    rows = RowSamples(source, WindowSpec(length=1, table=(Column(name="x"),)), "source")
    samples = np.zeros((1, 1), np.float32)
    rows.open()
    assert rows.read_into(samples) == 1
    fails(lambda: rows.read_into(samples), "rows.jsonl: line 2: x: expected a finite number, got 'a'")
    rows.open()
    assert rows.read_into(samples) == 1
    assert samples.tolist() == [[3]]
    assert rows.read_into(samples) == 0
    rows.close()


@pytest.mark.parametrize("missing", [0.5, -1.0])
def test_what_is_not_there_is_replaced_and_counted(tmp_path: Path, missing: float) -> None:
    """By the table's number."""
    rows = RowSamples(_source(tmp_path, b'{"x": null}\n{}\n'), WindowSpec(length=1, table=(Column(name="x", missing=missing),)), "source")
    rows.open()
    samples = np.zeros((2, 1), np.float32)
    assert rows.read_into(samples) == 2
    assert samples.tolist() == [[missing], [missing]]
    assert rows.counts() == {"missing": 2, "unknown": 0}
    rows.close()
