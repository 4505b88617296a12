"""Rows of named values from a CSV file with a header line, for a model that knows its columns by their names."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal, NoReturn, TextIO

from edgeinfer.errors import Fault, RowError, SourceError
from edgeinfer.sources import Row

__all__ = ["CsvRows", "header"]

_MAX_LINE = 64 * 1024  # characters
_TRUTH: dict[str, bool] = {"true": True, "false": False}


class CsvRows:
    """A RowSource over a file of any length, in bounded memory; a replay.

    Cells of the columns in ``texts`` are texts; the others are numbers, true or false. An empty one is missing, but in ``text``,
    the column of a model of texts. A line that cannot be used is a RowError that names it; the next read goes on behind it.
    """

    yields: ClassVar[Literal["rows"]] = "rows"
    live = False

    def __init__(self, path: Path, texts: Iterable[str], text: str = "") -> None:
        self._path, self._texts, self._text = path, frozenset(texts), text
        self._file: TextIO | None = None
        self._rows = csv.reader(())
        self._names: list[str] = []
        self._line = 0

    def open(self) -> None:
        """Raises SourceError where there is no such file, or no header that names each column once."""
        self.close()
        self._names = header(self._path)
        self._file = _opened(self._path)
        self._line = 0
        self._rows = csv.reader(iter(self._next_line, ""), strict=True)
        self.read()  # the header

    def read(self) -> Row | None:
        """The next row that is not empty; None at the end. Raises RowError; SourceError where the disk fails."""
        try:
            cells = next((row for row in self._rows if row), None)
        except csv.Error as error:
            self._refuse("a line of CSV", str(error))
        except OSError as error:
            raise SourceError(str(self._path), "a file that can be read", error.strerror or str(error)) from error
        if cells is None:
            return None
        if len(cells) != len(self._names):
            self._refuse(f"{len(self._names)} cells, as in the header", str(len(cells)))
        return {name: self._value(name, cell) for name, cell in zip(self._names, cells, strict=True)}

    def _value(self, name: str, cell: str) -> str | float | None:
        if name == self._text:
            return cell
        if name in self._texts or not cell:
            return cell or None
        try:
            return float(cell)
        except ValueError:
            return _TRUTH.get(cell.strip().lower(), cell)  # the model's table says what is wrong with another

    def refuse(self, fault: Fault) -> NoReturn:
        """Raises RowError about the line that was read last."""
        self._refuse(fault.expected, fault.got, f": {fault.where}")

    def _refuse(self, expected: str, got: str, where: str = "") -> NoReturn:
        raise RowError(f"{self._path}: line {self._line}{where}", expected, got, f"sed -n {self._line}p '{self._path}'")

    def _next_line(self) -> str:
        assert self._file is not None
        line = self._file.readline(_MAX_LINE)
        self._line += bool(line)
        if len(line) == _MAX_LINE:
            while line and not line.endswith("\n"):  # its rest is no line of its own
                line = self._file.readline(_MAX_LINE)
            self._refuse(f"less than {_MAX_LINE} characters", "more")
        try:
            line.encode()
        except UnicodeEncodeError:
            self._refuse("UTF-8", "other bytes")
        return line

    @property
    def share(self) -> float:
        """How much of the file was read, from 0 to 1."""
        return self._file.buffer.tell() / max(os.fstat(self._file.fileno()).st_size, 1) if self._file is not None else 0.0

    def interrupt(self) -> None:
        """Nothing here waits."""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def header(path: Path) -> list[str]:
    """The names of the columns. Raises SourceError."""
    try:
        with _opened(path) as file:
            lines = csv.reader(iter(lambda: file.readline(_MAX_LINE), ""), strict=True)
            names = [name.strip() for name in next((row for row in lines if row), [])]
    except (OSError, csv.Error) as error:
        raise SourceError(str(path), "a CSV file with a header", str(error), f"head -1 '{path}'") from error
    if not names or len(set(names)) < len(names):
        raise SourceError(f"{path}: line 1", "a header that names each column once", ", ".join(names)[:80] or "nothing")
    return names


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise SourceError(str(path), "a CSV file", error.strerror or str(error), f"ls -l '{path}'") from error
