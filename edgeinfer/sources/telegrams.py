"""What a device sends over a serial line, in pieces of any size: lines of CSV or JSON, or binary frames."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Literal

import msgspec

from edgeinfer.jsonpath import number_at, steps

__all__ = ["BinaryOptions", "Frames", "Lines"]

_LONGEST = 64 * 1024  # bytes of a line

Checksum = Literal["", "sum8", "xor8", "crc16", "crc32"]


class BinaryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frame: header, values, checksum."""

    header: str  # hexadecimal digits: aa55
    values: str  # as Python's struct has them: <3h is three 16-bit integers, the low byte first
    checksum: Checksum = ""  # of the values' bytes, the low byte first; crc16 is Modbus's, crc32 zlib's

    def __post_init__(self) -> None:
        try:
            header = bytes.fromhex(self.header)
        except ValueError as error:
            raise ValueError(f"expected header to be hexadecimal digits such as aa55, got {self.header!r}") from error
        if not 1 <= len(header) <= 16:
            raise ValueError(f"expected header of 1 to 16 bytes, got {len(header)}")
        try:
            size = struct.calcsize(self.values)
            numbers = size <= 4096 and struct.unpack(self.values, bytes(size))
        except struct.error as error:
            raise ValueError(f"expected values as Python's struct has them, such as <3h, got {self.values!r}") from error
        if not numbers or not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(f"expected values that are numbers, at most 4096 bytes, such as <3h, got {self.values!r}")

    @property
    def count(self) -> int:
        """Values in a frame."""
        return len(struct.unpack(self.values, bytes(struct.calcsize(self.values))))


class Lines:
    """``feed`` bytes, then ``next`` until there is no more. ``bad`` counts lines that could not be read; the first one is not
    counted, since a port opens in the midst of it, and of CSV not read: the rest of a number is a number.

    CSV with another number of fields than the line before is bad: the end of a line was lost. The second of those in a row is what
    the device sends now."""

    def __init__(self, columns: Sequence[int | str], delimiter: str, json: bool) -> None:
        self.bad = 0
        self._paths = [(column,) if isinstance(column, int) else steps(column) for column in columns]
        self._delimiter = delimiter.encode()
        self._json = json
        self._buffer = bytearray()
        self._first = True
        self._overlong = False
        self._fields = self._other_fields = 0

    def feed(self, came: bytes) -> None:
        self._buffer += came

    def next(self) -> list[float] | None:
        """The values of the next good line; None where there is no whole one."""
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).strip()
            del self._buffer[: end + 1]
            overlong, self._overlong = self._overlong, False
            first, self._first = self._first, False
            if (not line and not overlong) or (first and not self._json):
                continue
            try:
                values = None if overlong else self._values(line)
            except (ValueError, RecursionError):  # msgspec's DecodeError is a ValueError
                values = None
            if values is not None:
                return values
            self.bad += not first
        if len(self._buffer) > _LONGEST:
            self._buffer.clear()
            self._overlong = True
        return None

    def _values(self, line: bytes) -> list[float]:
        document = msgspec.json.decode(line) if self._json else [cell.decode() for cell in line.split(self._delimiter)]
        values = [number_at(document, path, {}) for path in self._paths]
        if not self._json:
            self._check_fields(len(document))
        return values

    def _check_fields(self, count: int) -> None:
        """Raises ValueError."""
        expected = count if self._other_fields == count else self._fields or count
        self._fields, self._other_fields = expected, 0 if count == expected else count
        if count != expected:
            raise ValueError(f"{count} fields")

    def forget(self) -> None:
        """The line was cut."""
        self._buffer.clear()
        self._first, self._overlong = True, False


class Frames:
    """The same of binary frames. ``bad`` counts stretches of bytes that are none, and frames with a wrong checksum."""

    def __init__(self, options: BinaryOptions, columns: Sequence[int]) -> None:
        self.bad = 0
        self._header = bytes.fromhex(options.header)
        self._values = struct.Struct(options.values)
        self._checksum = options.checksum
        self._columns = columns
        self._size = len(self._header) + self._values.size + _SIZES[options.checksum]
        self._buffer = bytearray()
        self._lost = True  # not in step with the frames; at first that is nobody's fault

    def feed(self, came: bytes) -> None:
        self._buffer += came

    def next(self) -> list[float] | None:
        """The values of the next good frame; None where there is no whole one."""
        buffer, header = self._buffer, self._header
        while len(buffer) >= self._size:
            at = buffer.find(header)
            if at != 0:
                self._lose()
                del buffer[: at if at > 0 else len(buffer) - len(header) + 1]
                continue
            body = bytes(buffer[len(header) : len(header) + self._values.size])
            values = self._values.unpack(body)
            sound = bytes(buffer[len(header) + len(body) : self._size]) == _sum_of(body, self._checksum)
            if not sound or any(value != value or abs(value) > 3.4e38 for value in values):  # noqa: PLR0124  a NaN
                self._lose()
                del buffer[:1]  # this header may have been a value; the real one is behind it
                continue
            del buffer[: self._size]
            self._lost = False
            return [float(values[column]) for column in self._columns]
        return None

    def _lose(self) -> None:
        self.bad += not self._lost
        self._lost = True

    def forget(self) -> None:
        """The frame was cut."""
        self._buffer.clear()
        self._lost = True


_SIZES: dict[Checksum, int] = {"": 0, "sum8": 1, "xor8": 1, "crc16": 2, "crc32": 4}


def _sum_of(body: bytes, checksum: Checksum) -> bytes:
    match checksum:
        case "sum8":
            return bytes([sum(body) & 0xFF])
        case "xor8":
            return bytes([_xor(body)])
        case "crc16":
            return _crc16(body).to_bytes(2, "little")
        case "crc32":
            return zlib.crc32(body).to_bytes(4, "little")
    return b""


def _xor(body: bytes) -> int:
    result = 0
    for byte in body:
        result ^= byte
    return result


def _crc16_of_byte(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


_CRC16 = tuple(map(_crc16_of_byte, range(256)))


def _crc16(body: bytes) -> int:
    """Of Modbus over Serial Line 1.02, 6.2.2: polynomial 0xA001 (reflected 0x8005), from 0xFFFF."""
    crc = 0xFFFF
    for byte in body:
        crc = crc >> 8 ^ _CRC16[(crc ^ byte) & 0xFF]
    return crc
