"""The protobuf wire format, read field by field without a schema (https://protobuf.dev/programming-guides/encoding/).

Made for bytes that nobody vouches for: nothing is read past the end, the work is bounded, and contents are never copied.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from edgeinfer.errors import ModelError

__all__ = ["Reader"]

MAX_FIELDS = 500_000  # some twenty a node; the largest model for a small board has a few thousand nodes

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4 are groups, which no model format uses


class Reader:
    """Reads the messages of one file, at most ``MAX_FIELDS`` fields in all. ``where`` names the file in errors."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._left = MAX_FIELDS

    def fields(self, message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """(number, value) of each field in order: an int for a varint, the bytes of anything else. Raises ModelError."""
        position = 0
        while position < len(message):
            self._spend(1)
            key, position = self._varint(message, position)
            number, wire_type = key >> 3, key & 7
            if number == 0:
                raise self._malformed("field number 0")
            if wire_type == VARINT:
                value, position = self._varint(message, position)
                yield number, value
                continue
            if wire_type == LENGTH:
                size, position = self._varint(message, position)
            else:
                size = {FIXED64: 8, FIXED32: 4}.get(wire_type, -1)
            if size < 0:
                raise self._malformed(f"wire type {wire_type}")
            if size > len(message) - position:
                raise self._malformed(f"a field of {size} bytes where {len(message) - position} are left")
            yield number, message[position:position + size]
            position += size

    def integers(self, value: int | memoryview) -> list[int]:
        """The values of one occurrence of a repeated integer field, which may be packed; two's complement as int64."""
        if isinstance(value, int):
            return [_signed(value)]
        found, position = [], 0
        while position < len(value):
            self._spend(1)
            number, position = self._varint(value, position)
            found.append(_signed(number))
        return found

    def floats(self, value: int | memoryview) -> list[float]:
        """The values of one occurrence of a repeated float field, which may be packed."""
        if isinstance(value, int) or len(value) % 4:
            raise self._malformed("floats of a size that is no multiple of 4")
        self._spend(len(value) // 4)
        return list(struct.unpack(f"<{len(value) // 4}f", value))

    def message(self, value: int | memoryview) -> memoryview:
        """A field that must hold a message. Raises ModelError where it is a number."""
        if isinstance(value, int):
            raise self._malformed("a number where a message belongs")
        return value

    def text(self, value: int | memoryview) -> str:
        """A field that must hold text (UTF-8; what is not is replaced)."""
        content = self.message(value)
        self._spend(len(content) // 64)
        return str(content, "utf-8", "replace")

    def number(self, value: int | memoryview) -> int:
        """A field that must hold an integer."""
        if not isinstance(value, int):
            raise self._malformed("bytes where a number belongs")
        return _signed(value)

    def _varint(self, message: memoryview, position: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):  # ten bytes hold 64 bits
            if position >= len(message):
                raise self._malformed("the end of the bytes within a number")
            byte = message[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & (2**64 - 1), position
        raise self._malformed("a number of more than ten bytes")

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ModelError(self.where, f"at most {MAX_FIELDS} fields beside the weights", "more")

    def _malformed(self, got: str) -> ModelError:
        return ModelError(self.where, "an ONNX protobuf", got, "copy the model file anew: it is truncated or no ONNX model")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
