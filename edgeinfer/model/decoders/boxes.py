"""From candidate boxes to rows of detections: clean, suppress, map back to the source. For any decoder of boxes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np

from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Detections
from edgeinfer.model.tensor import Array

__all__ = ["BoxRows"]

_FLOAT = sys.getsizeof(0.0)


class BoxRows:
    """The rows of one decoder, made once. Without ``nms`` every box is kept (a model that suppresses by itself)."""

    def __init__(self, names: Sequence[str], max_detections: int, nms: Nms | None,
                 row: Callable[[], Box] = Box) -> None:
        self.result = Detections(rows=[row() for _ in range(max_detections)])
        self.kept: list[int] = []  #: which of the boxes given to ``fill`` became the rows of the result, in their order
        self._names = tuple(names)
        self._nms = nms

    @property
    def nbytes(self) -> int:
        rows = self.result.rows
        return len(rows) * (sys.getsizeof(rows[0]) + 5 * _FLOAT) + (self._nms.nbytes if self._nms else 0)

    def none(self) -> Detections:
        """The result of a frame without a single candidate."""
        self.result.count = 0
        self.kept.clear()
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
        offset = (geometry.offset_x, geometry.offset_y, geometry.offset_x, geometry.offset_y)
        scale = (geometry.scale_x, geometry.scale_y, geometry.scale_x, geometry.scale_y)
        placed = np.minimum(np.maximum(corners * scale + offset, 0.0), 1.0)
        seen = (placed[:, 2] > placed[:, 0]) & (placed[:, 3] > placed[:, 1])  # others lie in the padding
        ranked = self._nms.keep(corners, scores, classes) if self._nms else iter(np.argsort(-scores, kind="stable").tolist())
        inside = seen.tolist()
        kept = list(islice((index for index in ranked if inside[index]), len(self.result.rows)))
        self._write(placed[kept].tolist(), scores[kept].tolist(), classes[kept].tolist())
        self.kept[:] = rows[kept].tolist()
        return self.result

    def _write(self, boxes: list[list[float]], scores: list[float], classes: list[int]) -> None:
        names = self._names
        for row, box, score, index in zip(self.result.rows, boxes, scores, classes, strict=False):
            row.left, row.top, row.right, row.bottom = box
            row.score, row.index = score, index
            row.label = names[index] if index < len(names) else f"class {index}"
        self.result.count = len(boxes)
