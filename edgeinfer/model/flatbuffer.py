"""FlatBuffers tables, read without generated code (https://flatbuffers.dev/internals/).

Made for bytes that nobody vouches for: every offset is checked, and the work is bounded, for offsets may point anywhere and
many of them to one place.
"""

from __future__ import annotations

import struct
from typing import Any

from edgeinfer.errors import ModelError

__all__ = ["Flatbuffer", "Table"]

MAX_VISITS = 500_000  # tables, vector elements and characters; the largest model for a small board has some ten thousand


class Flatbuffer:
    """The bytes of one file. ``where`` names the file in errors."""

    def __init__(self, content: memoryview, where: str) -> None:
        self.content = content
        self.where = where
        self._left = MAX_VISITS

    def root(self) -> Table:
        """The table that the first four bytes point to. Raises ModelError, as every read does."""
        return Table(self, self.read("<I", 0))

    def read(self, format: str, position: int) -> Any:
        """One little-endian number (``struct`` format)."""
        self.inside(position, struct.calcsize(format))
        return struct.unpack_from(format, self.content, position)[0]

    def inside(self, position: int, size: int) -> None:
        """Raises ModelError unless ``size`` bytes from ``position`` are in the file."""
        if position < 0 or position + size > len(self.content):
            raise ModelError(self.where, "a whole TFLite flatbuffer",
                             f"an offset to byte {position + size} of {len(self.content)}",
                             "copy the model file anew: it is truncated or damaged")

    def visit(self, count: int) -> None:
        """Raises ModelError once more is visited than any real model has."""
        self._left -= count
        if self._left < 0:
            raise ModelError(self.where, f"at most {MAX_VISITS} tables and vector elements beside the weights", "more")


class Table:
    """One table of a flatbuffer. Fields are numbered from 0 in the order of the schema."""

    __slots__ = ("_file", "_position", "_vtable", "_vtable_size")

    def __init__(self, file: Flatbuffer, position: int) -> None:
        file.visit(1)
        self._file = file
        self._position = position
        self._vtable: int = position - file.read("<i", position)
        self._vtable_size: int = file.read("<H", self._vtable)
        file.inside(self._vtable, self._vtable_size)

    def number(self, field: int, format: str, default: int = 0) -> int:
        """A scalar, or its default where the table leaves it out. ``format`` is struct's letter."""
        place = self._place(field)
        return default if place is None else int(self._file.read(f"<{format}", place))

    def table(self, field: int) -> Table | None:
        """A sub-table, or None where there is none."""
        place = self._target(field)
        return None if place is None else Table(self._file, place)

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        start, count = self.extent(field, 4)
        self._file.visit(count)
        places = range(start, start + 4 * count, 4)
        return [Table(self._file, place + self._file.read("<I", place)) for place in places]

    def numbers(self, field: int, format: str) -> tuple[Any, ...]:
        """A vector of scalars; empty where there is none."""
        start, count = self.extent(field, struct.calcsize(format))
        self._file.visit(count)
        return struct.unpack_from(f"<{count}{format}", self._file.content, start)

    def text(self, field: int) -> str:
        """A string (UTF-8; what is not is replaced)."""
        start, count = self.extent(field, 1)
        self._file.visit(count)
        return str(self._file.content[start:start + count], "utf-8", "replace")

    def extent(self, field: int, size: int) -> tuple[int, int]:
        """Where a vector's elements of ``size`` bytes begin and how many there are, all inside the file; (0, 0) for none."""
        place = self._target(field)
        if place is None:
            return 0, 0
        count = self._file.read("<I", place)
        self._file.inside(place + 4, count * size)
        return place + 4, count

    def _place(self, field: int) -> int | None:
        """Where the field's inline value lies; None where the table leaves it out."""
        entry = 4 + 2 * field
        offset = self._file.read("<H", self._vtable + entry) if entry + 2 <= self._vtable_size else 0
        return self._position + offset if offset else None

    def _target(self, field: int) -> int | None:
        """Where the field's offset points."""
        place = self._place(field)
        return None if place is None else place + int(self._file.read("<I", place))
