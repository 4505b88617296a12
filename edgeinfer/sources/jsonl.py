"""Rows or texts from a file of JSON lines: an object, or a text, in each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, ClassVar, Literal, NoReturn

import msgspec

from edgeinfer.errors import Fault, RowError, SourceError
from edgeinfer.sources import Row
from edgeinfer.sources.pacing import Pace

__all__ = ["Jsonl"]

_MAX_LINE = 64 * 1024  # bytes


class JsonlOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str
    interval_s: float = 0.0  # seconds from one row to the next; 0: as fast as the reader, and none is lost
    loop: bool = False

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("expected path to name a file of JSON lines, got an empty one")
        if not 0 <= self.interval_s <= 86400:
            raise ValueError(f"expected interval_s from 0 to 86400, got {self.interval_s}")


class Jsonl:
    """Streams a file of any length in bounded memory.

    A line that is no JSON object or text, or that the model's columns cannot use, is a RowError that names it; the next read,
    or the next ``open``, goes on behind it.
    """

    Options = JsonlOptions
    yields: ClassVar[Literal["rows"]] = "rows"

    def __init__(self, options: JsonlOptions) -> None:
        self.live = options.interval_s > 0
        self._options = options
        self._pace = Pace()
        self._file: IO[bytes] | None = None
        self._line = 0
        self._bad = 0
        self._delivered = 0

    def open(self) -> None:
        """Raises SourceError when there is no such file."""
        self.close()
        self._begin()
        while self._line < self._bad and self._read_line():
            pass
        self._bad = 0
        self._pace.start()

    def _begin(self) -> None:
        path = self._options.path
        try:
            self._file = Path(path).open("rb")  # noqa: SIM115  see close
        except OSError as error:
            raise SourceError(path, "a file of JSON lines", error.strerror or str(error), f"ls -l '{path}'") from error
        self._line = self._delivered = 0

    def read(self) -> Row | None:
        """The next row, at its time; None at the end, or when interrupted. Raises RowError; SourceError where the disk fails."""
        if not self._pace.wait(self._options.interval_s):
            return None
        text = self._next()
        if not text and self._options.loop and self._delivered:  # a file without a row would never end
            self.close()
            self._begin()
            text = self._next()
        if not text:
            return None
        try:
            row = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._refuse("JSON", str(error))
        if not isinstance(row, dict | str):
            self._refuse("an object or a text", str(row)[:80])
        self._delivered += 1
        return row

    def refuse(self, fault: Fault) -> NoReturn:
        """Raises RowError about the line that was read last."""
        self._refuse(fault.expected, fault.got, f": {fault.where}")

    def _refuse(self, expected: str, got: str, where: str = "") -> NoReturn:
        self._bad = self._line
        raise RowError(f"{self._options.path}: line {self._line}{where}", expected, got,
                       f"sed -n {self._line}p '{self._options.path}'")

    def _next(self) -> bytes:
        """The next line that is not blank; empty at the end."""
        while text := self._read_line():
            if len(text) == _MAX_LINE:
                self._refuse(f"less than {_MAX_LINE} bytes", "more")
            if self._line == 1:
                text = text.removeprefix(b"\xef\xbb\xbf")
            if text.strip():
                return text
        return b""

    def _read_line(self) -> bytes:
        """The next line, or what it begins with if it is too long; empty at the end."""
        assert self._file is not None
        try:
            text = rest = self._file.readline(_MAX_LINE)
            while len(rest) == _MAX_LINE and not rest.endswith(b"\n"):
                rest = self._file.readline(_MAX_LINE)
        except OSError as error:
            raise SourceError(self._options.path, "a file that can be read", error.strerror or str(error)) from error
        self._line += bool(text)
        return text

    @property
    def share(self) -> float:
        """How much of the file was read, from 0 to 1."""
        return self._file.tell() / max(os.fstat(self._file.fileno()).st_size, 1) if self._file is not None else 0.0

    def interrupt(self) -> None:
        self._pace.interrupt()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
