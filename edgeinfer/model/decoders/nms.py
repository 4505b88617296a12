"""Greedy non-maximum suppression in memory allocated once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["Nms"]


BLOCK = 32  # boxes compared with all worse ones at once: few numpy calls, and scratch memory that stays small


class Nms:
    """Keeps a box unless a better kept one (of its class, when ``class_aware``) overlaps it by more than ``iou``.

    Intersection over union as in PASCAL VOC (Everingham et al. 2010), without its one-pixel border. Only the best
    ``capacity`` boxes are looked at. Used by the inference thread.
    """

    def __init__(self, capacity: int, iou: float, class_aware: bool = True) -> None:
        self.capacity = capacity
        self.iou = iou
        self.class_aware = class_aware
        self._table = np.empty((5, capacity))  # left, top, right, bottom, area of those still in the race, best first
        self._classes = np.empty(capacity, np.int64)
        self._scratch = np.empty((3, BLOCK * capacity))
        self._overlaps = np.empty((2, BLOCK * capacity), np.bool_)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in (self._table, self._classes, self._scratch, self._overlaps))

    def keep(self, corners: Array, scores: Array, classes: Array) -> Iterator[int]:
        """Indices of the kept boxes, best first; of equal scores the lower index first.

        ``corners`` (n, 4) float64: left, top, right, bottom, finite, right > left and bottom > top. ``scores`` (n,)
        without NaN, ``classes`` (n,) integers.
        """
        order = np.argsort(-scores, kind="stable")[: self.capacity]
        self._load(corners[order], classes[order])
        aware = self.class_aware and len(order) > 1 and bool((classes != classes[0]).any())
        while len(order):
            count = len(order)
            block = count if count * count <= BLOCK * self.capacity else min(BLOCK, count)  # few fit into the memory all at once
            bits, width = self._rivals(block, count, aware)
            gone = 0
            for place, index in enumerate(order[:block].tolist()):
                if not gone >> place & 1:
                    yield index
                    gone |= int.from_bytes(bits[place * width : (place + 1) * width], "little")
            order = self._close_ranks(order, block, gone)

    def _load(self, corners: Array, classes: Array) -> None:
        count = len(corners)
        table = self._table[:, :count]
        table[:4] = corners.T
        np.multiply(table[2] - table[0], table[3] - table[1], out=table[4])
        self._classes[:count] = classes

    def _rivals(self, block: int, count: int, aware: bool) -> tuple[bytes, int]:
        """For each of the first ``block`` boxes the set of those that it overlaps, and in how many bytes: bit i stands for the
        i-th box."""
        overlaps = self._overlaps_of(block, count)
        if aware:
            same = self._overlaps[1, : block * count].reshape(block, count)
            classes = self._classes[:count]
            np.logical_and(overlaps, np.equal(classes, classes[:block, np.newaxis], out=same), out=overlaps)
        bits = np.packbits(overlaps, axis=1, bitorder="little")
        return bits.tobytes(), bits.shape[1]

    def _overlaps_of(self, block: int, count: int) -> Array:
        """(block, count): which overlap which, by intersection > iou * union, which needs no division."""
        left, top, right, bottom, area = self._table[:, :block, np.newaxis]
        lefts, tops, rights, bottoms, areas = self._table[:, :count]
        shared, height, union = self._scratch[:, : block * count].reshape(3, block, count)
        np.subtract(np.minimum(rights, right, out=shared), np.maximum(lefts, left, out=union), out=shared)
        np.subtract(np.minimum(bottoms, bottom, out=height), np.maximum(tops, top, out=union), out=height)
        np.multiply(np.maximum(shared, 0, out=shared), height, out=shared)  # a height below 0 makes it no more than 0
        np.subtract(np.add(areas, area, out=union), shared, out=union)
        overlaps: Array = self._overlaps[0, : block * count].reshape(block, count)
        return np.greater(shared, np.multiply(union, self.iou, out=union), out=overlaps)

    def _close_ranks(self, order: Array, block: int, gone: int) -> Array:
        """Those beyond the block that nobody suppressed, moved to the front of the table."""
        count = len(order)
        if count == block:
            return order[:0]
        raw = np.frombuffer(gone.to_bytes((count + 7) // 8, "little"), np.uint8)
        left = block + np.flatnonzero(np.unpackbits(raw, bitorder="little", count=count)[block:] == 0)
        self._table[:, : len(left)] = self._table[:, left]
        self._classes[: len(left)] = self._classes[left]
        rest: Array = order[left]
        return rest
