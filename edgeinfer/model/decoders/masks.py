"""Masks as run lengths, and where a model's map lies in the source frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Mask
from edgeinfer.model.tensor import Array

__all__ = ["Window", "encode", "window_of"]


class Window(NamedTuple):
    """The cells of a map (rows and columns, stops excluded) that show the source frame rather than padding, and what they cover
    of it, in fractions."""

    top: int
    bottom: int
    left: int
    right: int
    covers: tuple[float, float, float, float]  # left, top, right, bottom

    @property
    def cell_share(self) -> float:
        """What one cell is of the source frame."""
        left, top, right, bottom = self.covers
        cells = max((self.bottom - self.top) * (self.right - self.left), 1)
        return (right - left) * (bottom - top) / cells


def window_of(geometry: Geometry, height: int, width: int) -> Window:
    """That of a map of the whole input: a cell belongs where its centre does."""
    left, right = _inside(geometry.offset_x, geometry.scale_x, width)
    top, bottom = _inside(geometry.offset_y, geometry.scale_y, height)
    covers = (geometry.x(left / width), geometry.y(top / height), geometry.x(right / width), geometry.y(bottom / height))
    return Window(top, bottom, left, right, covers)


def _inside(offset: float, scale: float, cells: int) -> tuple[int, int]:
    """First and stop of the cells whose centres lie in the source: 0 <= offset + scale * (i + 0.5) / cells < 1."""
    first = int(np.ceil(-offset / scale * cells - 0.5 - 1e-9))
    stop = int(np.ceil((1 - offset) / scale * cells - 0.5 - 1e-9))
    first = min(max(first, 0), cells - 1)
    return first, min(max(stop, first + 1), cells)


def encode(cells: Array, covers: tuple[float, float, float, float], mask: Mask, side: int, most: int) -> None:
    """Fill ``mask`` with ``cells`` (height, width) bool, thinned to at most ``side`` cells a side, then to half as many until
    it has at most ``most`` run lengths: a mask is whole or coarser, never cut.

    The format is COCO's uncompressed RLE (cocodataset/cocoapi common/maskApi.h): column by column, beginning with a run of
    cells that do not belong, which may be 0.
    """
    most_cells = side
    while True:
        thin = cells[_spread(cells.shape[0], most_cells)[:, np.newaxis], _spread(cells.shape[1], most_cells)]
        counts = _runs(thin)
        if len(counts) <= most or most_cells <= 2:
            break
        most_cells = max(2, min(most_cells, max(cells.shape)) // 2)
    mask.height, mask.width = thin.shape
    mask.left, mask.top, mask.right, mask.bottom = covers
    mask.counts[:] = counts.tolist()


def _spread(length: int, most: int) -> Array:
    """Which rows or columns stand for all, evenly: the one at the middle of each part."""
    count = min(length, most)
    return ((2 * np.arange(count) + 1) * length) // (2 * count)


def _runs(cells: Array) -> Array:
    flat = cells.T.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0], edges, [len(flat)]))
    runs = np.diff(bounds)
    return np.concatenate(([0], runs)) if len(flat) and flat[0] else runs
