"""The size of a picture, from the first bytes of its file: sizing a ring for a folder must not decode the folder."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

__all__ = ["picture_size"]

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's start-of-frame markers (ITU-T T.81, table B.1)
_MAX_SEGMENTS = 1000
_ORIENTATION = 0x0112  # the tag of Exif; 5 to 8 turn the picture by a quarter


def picture_size(path: Path) -> tuple[int, int] | None:
    """(height, width) in pixels as OpenCV will decode it; None where the header is not one of PNG, JPEG, BMP or WebP.

    Raises OSError. A header may lie: whoever decodes checks again.
    """
    with path.open("rb") as file:
        head = file.read(32)
        try:
            if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
                width, height = struct.unpack_from(">II", head, 16)
                return height, width
            if head.startswith(b"\xff\xd8"):
                return _jpeg(file)
            if head.startswith(b"BM"):
                return _bmp(head)
            if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
                return _webp(head)
        except struct.error:  # the file ends within its header
            return None
    return None


def _bmp(head: bytes) -> tuple[int, int] | None:
    (header_bytes,) = struct.unpack_from("<I", head, 14)
    if header_bytes < 40:  # OS/2's header of 1988
        return None
    width, height = struct.unpack_from("<ii", head, 18)
    return abs(height), width  # a negative height is a picture from top to bottom


def _webp(head: bytes) -> tuple[int, int] | None:
    """RFC 9649, sections 2.5 to 2.7: lossy, lossless or extended."""
    kind = head[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[27:30], "little") + 1, int.from_bytes(head[24:27], "little") + 1
    return None


def _jpeg(file: BinaryIO) -> tuple[int, int] | None:
    """Walk the segments up to the start of the frame; Exif may turn the picture by a quarter, and OpenCV heeds it."""
    file.seek(2)
    turned = False
    for _ in range(_MAX_SEGMENTS):
        fill, marker, length = struct.unpack(">BBH", file.read(4))
        if fill != 0xFF:
            return None
        if marker in _SOF:
            height, width = struct.unpack_from(">HH", file.read(5), 1)
            return (width, height) if turned else (height, width)
        segment = file.read(max(length - 2, 0))
        if marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            turned = _orientation(segment[6:]) in (5, 6, 7, 8)
    return None


def _orientation(tiff: bytes) -> int:
    """The tag 0x0112 of the first directory (TIFF 6.0, section 2); 1 where there is none."""
    order = "<" if tiff.startswith(b"II") else ">"
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for index in range(count):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * index)
        if tag == _ORIENTATION:
            return int(value)
    return 1
