"""Whether a JPEG is whole: OpenCV would fill what is missing with grey."""

from __future__ import annotations

import re

__all__ = ["cut_short"]

_START = b"\xff\xd8"
_START_OF_SCAN = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e][\x01-\x04]")  # ITU-T T.81, B.2.3: length 6 + 2 x components
_END = b"\xff\xd9"


def cut_short(raw: bytes) -> bool:
    """Whether a file is a JPEG in which no end of image follows the last start of a scan."""
    if not raw.startswith(_START):
        return False
    last = 0
    for match in _START_OF_SCAN.finditer(raw):
        last = match.end()
    return raw.find(_END, last) < 0
