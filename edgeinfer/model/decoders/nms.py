"""Greedy non-maximum suppression in memory allocated once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["Nms"]


BLOCK = 32  # boxes compared with all worse ones at once: 30 times fewer numpy calls, and scratch memory that stays small


class Nms:
    """Keeps a box unless a better kept one (of its class, when ``class_aware``) overlaps it by more than ``iou``.

    Intersection over union as in PASCAL VOC (Everingham et al. 2010), without its one-pixel border. Only the best
    ``capacity`` boxes are looked at. Used by the inference thread.
    """

    def __init__(self, capacity: int, iou: float, class_aware: bool = True) -> None:
        self.capacity = capacity
        self.iou = iou
        self.class_aware = class_aware
        self._corners = np.empty((4, capacity))
        self._areas = np.empty(capacity)
        self._classes = np.empty(capacity, np.int64)
        self._suppressed = np.empty(capacity, np.bool_)
        self._scratch = np.empty((3, BLOCK, capacity))
        self._overlaps = np.empty((2, BLOCK, capacity), np.bool_)

    @property
    def nbytes(self) -> int:
        arrays = (self._corners, self._areas, self._classes, self._scratch, self._suppressed, self._overlaps)
        return sum(array.nbytes for array in arrays)

    def keep(self, corners: Array, scores: Array, classes: Array) -> Iterator[int]:
        """Indices of the kept boxes, best first; of equal scores the lower index first.

        ``corners`` (n, 4) float64: left, top, right, bottom, finite, right > left and bottom > top. ``scores`` (n,)
        without NaN, ``classes`` (n,) integers.
        """
        order = np.argsort(-scores, kind="stable")[: self.capacity]
        count = len(order)
        self._corners[:, :count] = corners[order].T
        self._classes[:count] = classes[order]
        left, top, right, bottom = self._corners[:, :count]
        np.multiply(right - left, bottom - top, out=self._areas[:count])
        suppressed = self._suppressed[:count]
        suppressed[:] = False
        for start in range(0, count, BLOCK):
            overlaps = self._overlaps_of(start, min(start + BLOCK, count), count)
            for place, index in enumerate(order[start : start + BLOCK].tolist()):
                if not suppressed[start + place]:
                    yield index
                    suppressed[start:] |= overlaps[place]

    def _overlaps_of(self, start: int, stop: int, count: int) -> Array:
        """(stop - start, count - start): which overlap which, by intersection > iou * union, which needs no division."""
        left, top, right, bottom = self._corners[:, start:stop, np.newaxis]
        lefts, tops, rights, bottoms = self._corners[:, start:count]
        shared, height, union = self._scratch[:, : stop - start, : count - start]
        overlaps: Array = self._overlaps[0, : stop - start, : count - start]
        same = self._overlaps[1, : stop - start, : count - start]
#DEL - start, : count - start]
        np.subtract(np.minimum(rights, right, out=shared), np.maximum(lefts, left, out=union), out=shared)
        np.subtract(np.minimum(bottoms, bottom, out=height), np.maximum(tops, top, out=union), out=height)
        np.multiply(np.maximum(shared, 0, out=shared), np.maximum(height, 0, out=height), out=shared)
        areas = self._areas[start:count]
        np.subtract(np.add(areas, areas[: stop - start, np.newaxis], out=union), shared, out=union)
        np.greater(shared, np.multiply(union, self.iou, out=union), out=overlaps)
        if self.class_aware:
            classes = self._classes[start:count]
            np.logical_and(overlaps, np.equal(classes, classes[: stop - start, np.newaxis], out=same), out=overlaps)
        return overlaps
