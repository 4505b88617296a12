"""How an Industrial I/O device lays out a scan, the values of its channels at one instant.

https://docs.kernel.org/driver-api/iio/buffers.html: an element's type is [be|le]:[s|u]bits/storagebits[Xrepeat]>>shift.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["Element", "layout"]

_TYPE = re.compile(r"(be|le):([su])(\d+)/(8|16|32|64)(?:X1)?>>(\d+)")


class Element(NamedTuple):
    """A whole number of ``bits`` in a word of ``dtype``, ``shift`` bits from its low end, ``start`` bytes into the scan."""

    start: int
    dtype: str
    signed: bool
    bits: int
    shift: int

    def of(self, scans: Array) -> Array:
        """int64 or uint64 (n,) of uint8 (n, bytes of a scan), C order."""
        words = np.ndarray(len(scans), self.dtype, scans, self.start, (scans.strides[0],)).astype(np.uint64)
        spare = np.uint64(64 - self.bits)
        high = words >> np.uint64(self.shift) << spare
        numbers: Array = high.view(np.int64) >> np.int64(spare) if self.signed else high >> spare
        return numbers


def layout(stated: Mapping[str, tuple[int, str]]) -> tuple[dict[str, Element], int]:
    """Where each element lies, and the bytes of a scan, from the elements' indices and types: each is aligned to its own size, the
    scan to the greatest. Raises ValueError for a type that is none, or of several numbers."""
    elements: dict[str, Element] = {}
    end, greatest = 0, 1
    for name, (_, text) in sorted(stated.items(), key=lambda item: item[1][0]):
        found = _TYPE.fullmatch(text)
        bits, size, shift = (int(found[3]), int(found[4]) // 8, int(found[5])) if found else (0, 1, 0)
        if found is None or not 1 <= bits <= 8 * size - shift:
            raise ValueError(f"{name}: {text!r}")
        start = end + -end % size
        elements[name] = Element(start, f"{'>' if found[1] == 'be' else '<'}u{size}", found[2] == "s", bits, shift)
        end, greatest = start + size, max(greatest, size)
    return elements, end + -end % greatest
