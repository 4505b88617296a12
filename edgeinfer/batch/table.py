"""Rows as a flat table: the columns of each task, for CSV and Parquet.

One line for each class, detection, area or value of a result, numbered by ``row``; a result without any, and an error, is
one line whose other cells are empty. Masks and patches stay in the JSON lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

__all__ = ["Cell", "Column", "Table", "read_rows"]

Cell = str | int | float | bool | None


class Column(NamedTuple):
    """A column and what its cells are."""

    name: str
    kind: Literal["text", "integer", "number", "boolean"]


_FIXED = (Column("input", "text"), Column("index", "integer"), Column("model", "text"), Column("latency_ms", "number"),
          Column("error", "text"))
_LABELLED = (Column("row", "integer"), Column("label", "text"), Column("class", "integer"))
_SCORED = (*_LABELLED, Column("score", "number"))

_Result = dict[str, Any]


def _boxes(result: _Result) -> Iterator[tuple[Cell, ...]]:
    for number, row in enumerate(result["detections"]):
        points = json.dumps(row["keypoints"], ensure_ascii=False) if "keypoints" in row else None
        yield (number, row["label"], row["index"], row["score"], *row["box"], row.get("area"), points)


# the field that only this task's results have: its columns, and its lines
_TASKS: dict[str, tuple[tuple[Column, ...], Callable[[_Result], Iterator[tuple[Cell, ...]]]]] = {
    "classes": (_SCORED, lambda result: (
        (number, row["label"], row["index"], row["score"]) for number, row in enumerate(result["classes"]))),
    "detections": ((*_SCORED, Column("left", "number"), Column("top", "number"), Column("right", "number"),
                    Column("bottom", "number"), Column("area", "number"), Column("keypoints", "text")), _boxes),
    "areas": ((*_LABELLED, Column("area", "number")), lambda result: (
        (number, row["label"], row["index"], row["area"]) for number, row in enumerate(result["areas"]))),
    "similarity": ((Column("name", "text"), Column("known", "boolean"), Column("similarity", "number")), lambda result: iter(
        [(result["name"], result["known"], result["similarity"])])),
    "text": ((Column("text", "text"), Column("score", "number")), lambda result: iter([(result["text"], result["score"])])),
    "anomalous": ((Column("anomalous", "boolean"), Column("score", "number"), Column("threshold", "number")), lambda result: iter(
        [(result["anomalous"], result["score"], result["threshold"])])),
    "values": ((Column("row", "integer"), Column("name", "text"), Column("value", "number")), lambda result: (
        (number, name, value) for number, (name, value) in enumerate(result["values"].items()))),
}
_OTHER = (Column("result", "text"),)


class Table:
    """The columns of the rows in a file of JSON lines, and its lines as cells. ``result`` as JSON where the task has no columns
    of its own."""

    def __init__(self, rows: Path) -> None:
        """Looks for the first result: it tells the task. Raises OSError."""
        self._rows = rows
        first: _Result = next((row["result"] for row in read_rows(rows) if "result" in row), {})
        self._field = next((field for field in _TASKS if field in first), "")
        self.columns: tuple[Column, ...] = _FIXED
        if first:
            self.columns += _TASKS[self._field][0] if self._field else _OTHER

    def lines(self) -> Iterator[tuple[Cell, ...]]:
        """Streamed: any number of rows. Raises OSError."""
        empty = (None,) * (len(self.columns) - len(_FIXED))
        for row in read_rows(self._rows):
            fixed = (row["input"], row["index"], row["model"], row.get("latency_ms"), _error(row))
            none = True
            for cells in self._cells(row):
                none = False
                yield fixed + cells
            if none:
                yield fixed + empty

    def _cells(self, row: dict[str, Any]) -> Iterator[tuple[Cell, ...]]:
        result = row.get("result")
        if result is None:
            return iter(())
        if self._field in result:
            return _TASKS[self._field][1](result)
        return iter([(json.dumps(result, ensure_ascii=False),)])


def _error(row: dict[str, Any]) -> str | None:
    said = row.get("error")
    return f"{said['where']}: expected {said['expected']}, got {said['got']}" if said else None


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of a file of JSON lines. Raises OSError."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with path.open("rb") as lines:
        for line in lines:
            yield decode(line)
