"""From candidate boxes to rows of detections: clean, suppress, map back to the source. For any decoder of boxes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import numpy as np

from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Detections
from edgeinfer.model.tensor import Array

__all__ = ["BoxRows"]

_FLOAT = sys.getsizeof(0.0)


class BoxRows:
    """The rows of one decoder, made once. Without ``nms`` every box is kept (a model that suppresses by itself)."""

    def __init__(self, names: Sequence[str], max_detections: int, nms: Nms | None) -> None:
        self.result = Detections(rows=[Box() for _ in range(max_detections)])
        self._names = tuple(names)
        self._nms = nms

    @property
    def nbytes(self) -> int:
        rows = self.result.rows
        return len(rows) * (sys.getsizeof(rows[0]) + 5 * _FLOAT) + (self._nms.nbytes if self._nms else 0)

    def none(self) -> Detections:
        """The result of a frame without a single candidate."""
        self.result.count = 0
        return self.result

    def fill(self, corners: Array, scores: Array, classes: Array, geometry: Geometry) -> Detections:
        """The result, best first. Boxes that are not finite or have no area in the picture are dropped.

        ``corners`` (n, 4) float64: left, top, right, bottom in fractions of the model's input. ``scores`` (n,) float64,
        ``classes`` (n,) integers from 0; a class without a name is called "class 3".
        """
        sound = np.isfinite(scores) & np.isfinite(corners).all(axis=1)
        sound &= (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        rows = np.flatnonzero(sound)
        corners, scores, classes = corners[rows], scores[rows], classes[rows]
        self.result.count = 0
        kept = self._nms.keep(corners, scores, classes) if self._nms else np.argsort(-scores, kind="stable").tolist()
        self._write(kept, corners, scores, classes, geometry)
        return self.result

    def _write(self, kept: Iterable[int], corners: Array, scores: Array, classes: Array, geometry: Geometry) -> None:
        rows, count = self.result.rows, 0
        for index in kept:
            left, top, right, bottom = corners[index].tolist()
            row = rows[count]
            row.left, row.right = geometry.x(left), geometry.x(right)
            row.top, row.bottom = geometry.y(top), geometry.y(bottom)
            if row.left >= row.right or row.top >= row.bottom:
                continue  # all of it lies in the padding
            row.index, row.score = int(classes[index]), float(scores[index])
            row.label = self._names[row.index] if row.index < len(self._names) else f"class {row.index}"
            count += 1
            if count == len(rows):
                break
        self.result.count = count
