"""Where a head by feature maps keeps its boxes, objectness and classes: an output a map or one for all, whole or in parts,
channels first or last, one anchor a cell or several."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.roles import describe, named, shape_of
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Map", "Patch", "find_patches"]


class Map(NamedTuple):
    """A feature map: its stride and its rows and columns."""

    stride: int
    rows: int
    columns: int

    @property
    def cells(self) -> int:
        return self.rows * self.columns


class Patch(NamedTuple):
    """Columns from ``first`` on of one anchor of one feature map in one output: (cells, columns), cells row by row."""

    output: int
    shape: tuple[int, ...]  # to see the output in
    place: tuple[int | slice, ...]  # of this anchor and map in that
    channels_first: bool
    columns: int
    first: int = 0

    def view(self, outputs: Sequence[Array]) -> Array:
        """(cells, columns), of this frame."""
        patch: Array = outputs[self.output].reshape(self.shape)[self.place]
        if self.channels_first:
            patch = patch.T
        return patch[:, self.first : self.first + self.columns]

    def part(self, first: int, columns: int) -> Patch:
        """Some of its columns."""
        return self._replace(first=first, columns=columns)


def find_patches(where: str, outputs: Sequence[TensorSpec], names: Sequence[str], maps: Sequence[Map], anchors: int,
                 columns: int, taken: Collection[int] = (), last: bool = False) -> list[Patch]:
    """A patch for each map and anchor, maps first, of outputs with ``columns`` values for each anchor of each cell (0: any).

    ``names``: of the outputs, one a map in their order, or one for all; empty: those whose shape fits and which are not
    ``taken``, which must be one a map. ``last``: channels stand last where the shape leaves it open.
    Raises ManifestError, with the tensors that there are.
    """
    chosen = [named(where, name, outputs) for name in names] or [i for i in range(len(outputs)) if i not in taken]
    wholes = [whole for i in chosen if anchors == 1 and (whole := _whole(i, outputs[i], maps, columns))]
    if len(wholes) == 1:
        return wholes[0]
    found: list[Patch] = []
    for place, level in enumerate(maps):
        among = [chosen[place]] if len(names) == len(maps) else chosen
        fitting = [patches for i in among if (patches := _level(i, outputs[i], level, anchors, columns, last))]
        if len(fitting) != 1:
            parameter = where.rpartition(".")[2]
            hint = f"name them in the order of the strides: decoder.parameters.{parameter}: [NAME, …]"
            raise ManifestError(where, _wanted(maps, level, anchors, columns), describe(outputs), hint)
        found += fitting[0]
    return found


def _wanted(maps: Sequence[Map], level: Map, anchors: int, columns: int) -> str:
    channels = f"{anchors} x " * (anchors > 1) + (str(columns) if columns else "channels")
    total = sum(one.cells for one in maps)
    together = f", or one of {total} candidates" if anchors == 1 else ""
    return f"one output of {channels} by {level.rows} x {level.columns} cells (stride {level.stride}){together}"


def _whole(index: int, spec: TensorSpec, maps: Sequence[Map], columns: int) -> list[Patch]:
    """All maps one after the other in one table of candidates."""
    shape, total = shape_of(spec), sum(one.cells for one in maps)
    if len(shape) != 2 or total not in shape:
        return []
    first = shape[1] == total and (shape[0] != total or shape[0] == columns)
    width = shape[0] if first else shape[1]
    if columns and width != columns:
        return []
    patches, start = [], 0
    for level in maps:
        cells = slice(start, start + level.cells)
        patches.append(Patch(index, shape, (slice(None), cells) if first else (cells,), first, width))
        start += level.cells
    return patches


def _level(index: int, spec: TensorSpec, level: Map, anchors: int, columns: int, last: bool) -> list[Patch]:
    """The anchors of one map in one output; none where its shape is another."""
    shape, grid, cells = shape_of(spec), (level.rows, level.columns), level.cells
    width = int(np.prod(shape)) // (cells * anchors)
    if width < 1 or (columns and width != columns) or int(np.prod(shape)) != width * cells * anchors:
        return []
    flat = anchors == 1
    # shapes, how they are seen, the anchors' axis in that, channels first
    kinds: list[tuple[list[tuple[int, ...]], tuple[int, int, int], int, bool]] = [
        ([(anchors * width, *grid), (anchors, width, *grid)], (anchors, width, cells), 0, True),
        ([(width, cells)] * flat, (1, width, cells), 0, True),
        ([(*grid, anchors * width), (*grid, anchors, width)], (cells, anchors, width), 1, False),
        ([(anchors, *grid, width)], (anchors, cells, width), 0, False),
        ([(cells, width)] * flat, (1, cells, width), 0, False),
    ]
    for shapes, seen, axis, first in reversed(kinds) if last else kinds:
        if shape in shapes:
            return [Patch(index, seen, (slice(None),) * axis + (anchor,), first, width) for anchor in range(anchors)]
    return []
