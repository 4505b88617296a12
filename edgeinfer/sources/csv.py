"""Samples from a CSV file with a header line."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from edgeinfer.errors import SourceError
from edgeinfer.model.tensor import Array
from edgeinfer.registry import closest
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.pacing import Pace

__all__ = ["Csv"]

_MAX_LINE = 64 * 1024  # characters
_LARGEST = 3.4028234663852886e38  # of float32


class CsvOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str
    columns: tuple[str | int, ...] = ()  # names in the header or numbers from 0, in the model's order; none: all
    rate: float = 0.0  # samples a second; 0: not stated
    pace: Literal["realtime", "fast"] = "realtime"  # at ``rate``, or as fast as the reader
    loop: bool = False
    delimiter: str = ","
    time: str | int | None = None  # a column of seconds, which is no sample: a jump in it is a gap

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("expected path to name a CSV file, got an empty one")
        if not 0 <= self.rate < math.inf:
            raise ValueError(f"expected rate of 0 or more, got {self.rate}")
        if self.pace == "realtime" and self.rate == 0:
            raise ValueError("expected a rate above 0, or pace: fast, got neither")
        if self.time is not None and (self.rate == 0 or self.time in self.columns):
            raise ValueError("expected a rate above 0, and time not among the columns, for gaps to be found")
        if len(self.delimiter) != 1 or self.delimiter in '\r\n"':
            raise ValueError(f"expected delimiter to be one character, got {self.delimiter!r}")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"expected each column once, got {', '.join(map(str, self.columns))}")


class Csv:
    """Streams a file of any length in bounded memory.

    A cell that is no finite number is a SourceError that names its line; the samples that were read into the same array are
    lost with it. The next read, or the next ``open``, goes on behind that line.
    """

    Options = CsvOptions
    yields: ClassVar[Literal["frames", "samples"]] = "samples"

    def __init__(self, options: CsvOptions) -> None:
        self.live = options.pace == "realtime"
        self._options = options
        self._pace = Pace()
        self._table: _Table | None = None
        self._bad_line = 0
        self.gaps = 0  # jumps of the time: half a period too early, or too late
        self._last_s = math.nan
        self._held: list[float] | None = None  # the row behind a gap

    def format(self) -> SampleFormat:
        """From the header. Raises SourceError."""
        table = _Table(self._options)
        table.close()
        return SampleFormat(len(table.columns) - table.timed, self._options.rate)

    def open(self) -> None:
        """Raises SourceError when there is no such file, or its header lacks a column."""
        self.close()
        self._pace.start()
        self._table = _Table(self._options)
        self._table.skip_to(self._bad_line)
        self._bad_line = 0
        self._last_s, self._held = math.nan, None

    def read_into(self, samples: Array) -> int:
        """Fill float32 (n, channels) from the front, at the pace of ``rate``; up to a gap, which is counted in ``gaps``; 0 at the
        end, or when interrupted."""
        assert self._table is not None
        try:
            for index in range(len(samples)):
                row = self._held or self._table.next() or self._again()
                if row is None:
                    return self._paced(index)
                if self._table.timed and self._held is None and self._jumps(row[-1]):
                    self._held = row
                    return self._paced(index)
                self._held = None
                samples[index] = row[:-1] if self._table.timed else row
        except SourceError:
            self._bad_line = self._table.line
            raise
        return self._paced(len(samples))

    def _jumps(self, time_s: float) -> bool:
        """Whether this sample does not follow the one before."""
        late = (time_s - self._last_s) * self._options.rate - 1
        self._last_s = time_s
        if abs(late) > 0.5:  # not for the first, which comes after a NaN
            self.gaps += 1
            return True
        return False

    def _again(self) -> list[float] | None:
        if not self._options.loop:
            return None
        assert self._table is not None
        self._table.close()
        self._table = _Table(self._options)
        self._last_s = math.nan
        return self._table.next()

    def _paced(self, count: int) -> int:
        gap_s = count / self._options.rate if self.live else 0.0
        return count if self._pace.wait(gap_s) else 0

    def interrupt(self) -> None:
        self._pace.interrupt()

    def close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None


class _Table:
    """An open file behind its header: rows of the wanted ``columns``, the time last where it is ``timed``. ``line`` is the last
    one read, from 1."""

    def __init__(self, options: CsvOptions) -> None:
        self._path = options.path
        try:
            self._file = Path(options.path).open(encoding="utf-8-sig", errors="replace", newline="")  # noqa: SIM115  see close
        except OSError as error:
            raise SourceError(self._path, "a CSV file", error.strerror or str(error), f"ls -l '{self._path}'") from error
        self.line = 0
        self._rows = csv.reader(iter(self._next_line, ""), delimiter=options.delimiter, strict=True)
        try:
            header = [name.strip() for name in self._row() or ()]
            if not header or all(map(_is_number, header)):
                raise SourceError(f"{self._path}: line 1", "a header that names the columns", _show(header) or "nothing",
                                  f"sed -i '1i {options.delimiter.join('xyz')}' '{self._path}'")
            self._width = len(header)
            times = [] if options.time is None else [self._find(options.time, header)]
            chosen = [self._find(column, header) for column in options.columns]
            self.columns = [*(chosen or [place for place in range(len(header)) if place not in times]), *times]
            self.timed = bool(times)
        except SourceError:
            self.close()
            raise

    def _next_line(self) -> str:
        """Empty at the end. One without an end cannot fill the memory: it raises SourceError, and is passed over."""
        line = self._read_line()
        if len(line) == _MAX_LINE:
            raise SourceError(f"{self._path}: line {self.line}", f"less than {_MAX_LINE} characters", "more")
        return line

    def _read_line(self) -> str:
        """Or what it begins with if it is too long; counted."""
        try:
            line = rest = self._file.readline(_MAX_LINE)
            while len(rest) == _MAX_LINE and not rest.endswith("\n"):
                rest = self._file.readline(_MAX_LINE)
        except OSError as error:
            raise SourceError(self._path, "a file that can be read", error.strerror or str(error)) from error
        self.line += bool(line)
        return line

    def _find(self, column: str | int, header: list[str]) -> int:
        if isinstance(column, int) and 0 <= column < len(header):
            return column
        if isinstance(column, str) and column in header:
            return header.index(column)
        raise SourceError(f"{self._path}: line 1", f"a column {column!r}", f"the columns {_show(header)}",
                          closest(str(column), header))

    def skip_to(self, line: int) -> None:
        """Go on behind a line that was found bad before."""
        while self.line < line and self._read_line():
            pass

    def next(self) -> list[float] | None:
        """The wanted cells of the next row that is not empty; None at the end. Raises SourceError for a bad one."""
        row = self._row()
        if row is None:
            return None
        try:
            values = [float(row[column]) for column in self.columns]
            sound = len(row) == self._width and all(abs(value) <= _LARGEST for value in values)  # false for a NaN
        except (ValueError, IndexError):
            sound = False
        if not sound:
            raise SourceError(f"{self._path}: line {self.line}", f"{self._width} cells, and finite numbers in those used",
                              _show(row), f"sed -n {self.line}p '{self._path}'")
        return values

    def _row(self) -> list[str] | None:
        try:
            return next((row for row in self._rows if row), None)
        except csv.Error as error:
            raise SourceError(f"{self._path}: line {self.line}", "a line of CSV", str(error)) from error

    def close(self) -> None:
        self._file.close()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _show(cells: list[str]) -> str:
    text = ", ".join(cells)
    return text if len(text) <= 80 else f"{text[:77]}..."
