"""CSV files of samples: a row is one sample of all channels, or a whole window; with or without a header and labels.

The file is read once when it is opened, to check each cell and to note where windows start; after that window by window.
"""

from __future__ import annotations

import csv
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgeinfer.errors import DataError
from edgeinfer.model.tensor import Array

__all__ = ["Row", "Table", "is_number", "rows"]

LABEL_COLUMNS = ("label", "class", "category", "target")
_MAX_LINE = 1 << 20  # bytes
_LARGEST = 3.4028234663852886e38  # of float32


class Row(NamedTuple):
    """One line that is not empty: where it starts, which line it is (from 1), its cells without blanks around them."""

    offset: int
    line: int
    cells: list[str]


class Table:
    """``count`` windows of ``length`` rows, one each ``hop`` rows; a row that has ``length * channels`` values is a whole
    window. ``labels`` has the label of each window as written (the most frequent of its rows; of equals the first), or
    is None. A cell may not hold a line break."""

    def __init__(self, path: Path, length: int, channels: int, hop: int) -> None:
        """Raises DataError that names the first line that does not fit."""
        self.path = path
        first = next(rows(path), None)
        if first is None:
            raise DataError(str(path), "a CSV of numbers", "an empty file", f"head '{path}'")
        self._width, self._header = len(first.cells), _is_header(first.cells)
        self._label = _label_column(first.cells, self._header)
        values = self._width - (self._label is not None)
        if values not in (channels, length * channels):
            whole = "" if length == 1 else f" (a sample) or {length * channels} (a whole window)"
            raise DataError(f"{path}: line {first.line}", f"{channels} columns of values{whole}, as the model takes",
                            f"{values}: {', '.join(first.cells)}"[:120],
                            "keep the model's columns alone; labels go into a column that is called label")
        self._rows, self._hop = (length, hop) if values == channels else (1, 1)
        self._starts, of_rows = self._scan()
        self.count = len(self._starts)
        self.labels = None if self._label is None else [self._vote(of_rows, index) for index in range(self.count)]

    def _scan(self) -> tuple[array[int], list[str]]:
        """Where the rows are at which a whole window starts, and the label of each row."""
        starts, labels, count = array("Q"), [], 0
        for row in self._values_from(0):
            self._numbers(row)
            if count % self._hop == 0:
                starts.append(row.offset)
            count += 1
            if self._label is not None:
                labels.append(row.cells[self._label])
        whole = 0 if count < self._rows else (count - self._rows) // self._hop + 1
        return starts[:whole], labels

    def _vote(self, labels: list[str], index: int) -> str:
        return Counter(labels[index * self._hop : index * self._hop + self._rows]).most_common(1)[0][0]

    def read(self, index: int, out: Array) -> None:
        """Fill float32 ``out`` (length, channels) with window ``index``. Raises DataError."""
        wanted = out.reshape(self._rows, -1)
        filled = 0
        for target, row in zip(wanted, self._values_from(self._starts[index]), strict=False):
            target[...] = self._numbers(row)
            filled += 1
        if filled < self._rows:
            raise DataError(str(self.path), f"{self._rows} rows", "fewer: the file was cut while it was read")

    def _values_from(self, offset: int) -> Iterator[Row]:
        found = rows(self.path, offset)
        if offset == 0 and self._header:
            next(found, None)
        return found

    def _numbers(self, row: Row) -> list[float]:
        cells = [cell for column, cell in enumerate(row.cells) if column != self._label]
        sound = len(row.cells) == self._width and all(map(is_number, cells))
        numbers = [float(cell) for cell in cells] if sound else []
        if not sound or not all(abs(number) <= _LARGEST for number in numbers):  # false for a NaN
            raise DataError(f"{self.path}: byte {row.offset}" if not row.line else f"{self.path}: line {row.line}",
                            f"{self._width} cells, and finite numbers for the model", ", ".join(row.cells)[:80],
                            f"sed -n {row.line}p '{self.path}'" if row.line else "")
        return numbers


def rows(path: Path, offset: int = 0) -> Iterator[Row]:
    """The rows from a byte on; lines are counted from 1 where that is the start of the file, else they are 0. Cells are
    separated by what the first line has most of: comma, semicolon or tab. Raises DataError."""
    try:
        with path.open("rb") as file:
            head = file.readline(_MAX_LINE)
            delimiter = max(",;\t", key=lambda mark: head.count(mark.encode()))
            file.seek(offset)
            line, mark = 0, b"\xef\xbb\xbf" if offset == 0 else b""
            while raw := file.readline(_MAX_LINE):
                line += 1
                if len(raw) == _MAX_LINE:
                    raise DataError(f"{path}: line {line}", f"less than {_MAX_LINE} bytes", "more")
                cells = _cells(raw.removeprefix(mark) if line == 1 else raw, delimiter, path)
                if any(cells):
                    yield Row(offset, line if mark else 0, cells)
                offset += len(raw)
    except OSError as error:
        raise DataError(str(path), "a CSV file", error.strerror or str(error), f"ls -l '{path}'") from error


def _cells(raw: bytes, delimiter: str, path: Path) -> list[str]:
    try:
        text = raw.decode(errors="surrogateescape").strip("\r\n")
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, strict=True), [])]
    except csv.Error as error:
        raise DataError(str(path), "lines of CSV", f"{error}: {raw[:80]!r}") from error


def is_number(text: str) -> bool:
    """Also for "nan" and "inf"."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_header(cells: list[str]) -> bool:
    """A name anywhere but in the last cell; there, what such a column is called and not what a class is."""
    names = [not is_number(cell) for cell in cells]
    return any(names[:-1]) or (names[-1] and (len(cells) == 1 or cells[-1].casefold() in LABEL_COLUMNS))


def _label_column(cells: list[str], header: bool) -> int | None:
    if not header:
        return None if is_number(cells[-1]) else len(cells) - 1
    folded = [cell.casefold() for cell in cells]
    return next((folded.index(name) for name in LABEL_COLUMNS if name in folded), None)
