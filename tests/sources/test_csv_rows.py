"""Rows of named values, or texts, from CSV files, good and bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeinfer.errors import Fault, RowError, SourceError
from edgeinfer.sources.csv_rows import CsvRows


def _all(source: CsvRows) -> list[Any]:
    source.open()
    rows: list[Any] = []
    while True:
        try:
            row = source.read()
        except RowError as error:
            rows.append(error.faults[0].where.rpartition(": ")[2])
            continue
        if row is None:
            source.close()
            return rows
        rows.append(row)


def _file(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "rows.csv").write_bytes(content)
    return tmp_path / "rows.csv"


@pytest.mark.parametrize(("lines", "expected"), [
    ("1,07,true", [{"n": 1.0, "code": "07", "flag": True}]),
    ('-1e3, 07 ,False\r\n\r\n"2","a,b",', [{"n": -1000.0, "code": " 07 ", "flag": False}, {"n": 2.0, "code": "a,b", "flag": None}]),
    ('1,"two\nlines",0', [{"n": 1.0, "code": "two\nlines", "flag": 0.0}]),
    (",,", [{"n": None, "code": None, "flag": None}]),
    ("x,y,z", [{"n": "x", "code": "y", "flag": "z"}]),
    ("1,2\n1,2,3,4\n1,2,3", ["line 2", "line 3", {"n": 1.0, "code": "2", "flag": 3.0}]),
    ("1," + "9" * 200_000 + ",3\n1,2,3", ["line 2", {"n": 1.0, "code": "2", "flag": 3.0}]),
    ("1,\xff,3\n1,2,3", ["line 2", {"n": 1.0, "code": "2", "flag": 3.0}]),
    ('1,"2"x,3\n1,2,3', ["line 2", {"n": 1.0, "code": "2", "flag": 3.0}]),
    ("", []),
])
def test_cells_are_what_their_columns_are_and_bad_lines_are_named_and_skipped(tmp_path: Path, lines: str, expected: list[Any]) -> None:
    """A category keeps its text, an empty cell is missing, and the line behind a bad one is read."""
    source = CsvRows(_file(tmp_path, b"\xef\xbb\xbfn, code ,flag\n" + lines.encode("latin-1")), ["code"])
    assert _all(source) == expected
    assert _all(source) == expected  # opened anew, it begins anew


def test_a_text_keeps_its_form(tmp_path: Path) -> None:
    """Digits, nothing at all, and a line's end within."""
    source = CsvRows(_file(tmp_path, 'id,text\n1,7\n2,\n3,"größer,\nbesser"\n'.encode()), [], "text")
    assert [row["text"] for row in _all(source)] == ["7", "", "größer,\nbesser"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,a\n1,2\n", b'"a\n'])
def test_a_header_that_cannot_be_used_is_an_error(tmp_path: Path, content: bytes) -> None:
    """Of the file, not of a row."""
    with pytest.raises(SourceError) as raised:
        CsvRows(_file(tmp_path, content), []).open()
    assert not isinstance(raised.value, RowError)


def test_what_the_model_cannot_use_is_named_with_its_line(tmp_path: Path) -> None:
    """As the source of JSON lines does."""
    source = CsvRows(_file(tmp_path, b"n\n1\nx\n"), [])
    source.open()
    source.read(), source.read()
    with pytest.raises(RowError, match=r"rows.csv: line 3: n: expected a finite number, got 'x'"):
        source.refuse(Fault("n", "a finite number", "'x'"))
    source.close()
