"""Writing a picture into a tensor through tables; ``cv2.LUT`` writes uint8, int8, int16 and float32 in place.

``picture`` is uint8, of the model's size and colour; ``cells`` is the tensor without its batch axis.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgeinfer.model.preprocess.table import is_identity
from edgeinfer.model.tensor import Array

__all__ = ["Interleaved", "Planar"]


class Interleaved:
    """(height, width, channels), or (height, width) of one channel: one pass."""

    def __init__(self, table: Array) -> None:
        self.identity = is_identity(table)
        self.nbytes = table.nbytes
        self._table = np.ascontiguousarray(table[:, 0] if table.shape[1] == 1 else table[None])  # (256,) or (1, 256, 3)

    def write(self, picture: Array, cells: Array) -> None:
        if self.identity:
            np.copyto(cells, picture)
        else:
            cv2.LUT(picture, self._table, cells)


class Planar:
    """(channels, height, width): the picture is split first, since splitting uint8 is a tenth of a table's cost."""

    def __init__(self, table: Array, height: int, width: int) -> None:
        self.identity = is_identity(table)
        planes = np.empty((3, height, width), np.uint8)
        self.nbytes = table.nbytes + planes.nbytes
        self._planes = list(planes)
        self._tables = [np.ascontiguousarray(table[:, channel % table.shape[1]]) for channel in range(3)]

    def write(self, picture: Array, cells: Array) -> None:
        if self.identity:
            cv2.split(picture, list(cells))
            return
        cv2.split(picture, self._planes)
        for plane, table, cell in zip(self._planes, self._tables, cells, strict=True):
            cv2.LUT(plane, table, cell)
