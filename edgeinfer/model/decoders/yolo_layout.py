"""Where a YOLO head keeps its boxes, objectness and classes: in one output or in several, in rows or in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.parameters import class_names
from edgeinfer.model.decoders.roles import Roles, describe, named, picture_size, shape_of
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Grid", "Layout", "Slab", "yolo_layout"]


class Slab(NamedTuple):
    """Columns from ``first`` on of one output, seen as (candidates, columns); transposed in memory with channels first."""

    output: int
    candidates: int
    columns: int
    channels_first: bool
    first: int = 0

    def view(self, outputs: Sequence[Array]) -> Array:
        """(candidates, columns), of this frame."""
        stored = outputs[self.output]
        if self.channels_first:
            return np.transpose(stored.reshape(self.columns, self.candidates))
        return stored.reshape(self.candidates, self.columns)

    def column(self, outputs: Sequence[Array]) -> Array:
        """(candidates,): the first column."""
        column: Array = self.view(outputs)[:, self.first]
        return column


class Layout(NamedTuple):
    """The three parts of a head; ``objectness`` is None in a head without one."""

    boxes: Slab
    objectness: Slab | None
    classes: Slab
    names: tuple[str, ...]


def yolo_layout(roles: Roles, has_objectness: bool, labels: Sequence[str]) -> Layout:
    """Of the roles "boxes", "objectness" and "scores"; one output with all when it is the only table, or has both names.

    Raises ManifestError when the outputs do not fit, or the labels are not as many as the classes.
    """
    tables = [i for i in roles.free() if len(shape_of(roles.outputs[i])) == 2]
    boxes, scores = roles.names["boxes"], roles.names["scores"]
    if boxes and boxes == scores:
        return _together(roles, named(f"{roles.where}.boxes", boxes, roles.outputs), has_objectness, labels)
    if len(tables) == 1 and not any(roles.names.values()):
        return _together(roles, tables[0], has_objectness, labels)
    return _apart(roles, has_objectness, labels)


def _together(roles: Roles, index: int, has_objectness: bool, labels: Sequence[str]) -> Layout:
    spec, lead = roles.outputs[index], 5 if has_objectness else 4
    shape = shape_of(spec)
    columns = lead + len(labels) if labels and lead + len(labels) in shape else min(shape)
    if len(shape) != 2 or columns <= lead:
        raise ManifestError(roles.where, f"an output of {lead} + classes by candidates", describe([spec]),
                            "a head in parts needs names: decoder.parameters.boxes and decoder.parameters.scores")
    channels_first = shape[0] == columns and (shape[1] != columns or not has_objectness)
    whole = Slab(index, shape[1] if channels_first else shape[0], columns, channels_first)
    names = class_names(labels, columns - lead, describe([spec]))
    return Layout(whole, whole._replace(first=4) if has_objectness else None, whole._replace(first=lead), names)


def _apart(roles: Roles, has_objectness: bool, labels: Sequence[str]) -> Layout:
    boxes = _slab(roles, roles.pick("boxes", "one output of 4 by candidates", lambda spec: _is_table(spec, 4)), 4)
    count, objectness = boxes.candidates, None
    if has_objectness:
        wanted = f"one output of {count} values"
        index = roles.pick("objectness", wanted, lambda spec: sorted(shape_of(spec)) in ([count], [1, count]))
        objectness = Slab(index, count, 1, False)
    scores = roles.pick("scores", f"one output of classes by {count} candidates", lambda spec: _is_table(spec, count))
    shape = shape_of(roles.outputs[scores])
    channels_first = shape[1] == count and (shape[0] != count or boxes.channels_first)
    columns = shape[0] if channels_first else shape[1]
    names = class_names(labels, columns, describe([roles.outputs[scores]]))
    return Layout(boxes, objectness, Slab(scores, count, columns, channels_first), names)


def _is_table(spec: TensorSpec, side: int) -> bool:
    shape = shape_of(spec)
    return len(shape) == 2 and side in shape and min(shape) > 0


def _slab(roles: Roles, index: int, columns: int) -> Slab:
    shape = shape_of(roles.outputs[index])
    channels_first = shape[0] == columns
    return Slab(index, shape[1] if channels_first else shape[0], columns, channels_first)


class Grid:
    """The cells of YOLOX, one feature map after the other, each row by row: (candidates, 3) of column, row, stride."""

    def __init__(self, where: str, strides: Sequence[int], inputs: Sequence[TensorSpec], candidates: int) -> None:
        height, width = picture_size(where, inputs)
        maps = []
        for stride in strides:
            y, x = np.mgrid[: height // stride, : width // stride].reshape(2, -1).astype(np.float64)
            maps.append(np.stack((x, y, np.full_like(x, stride)), axis=1))
        self._cells = np.concatenate(maps)
        if len(self._cells) != candidates:
            made = f"{len(self._cells)} cells of {height} x {width}"
            raise ManifestError(f"{where}.strides", f"strides that make {candidates} cells", f"{tuple(strides)}: {made}")

    @property
    def nbytes(self) -> int:
        return self._cells.nbytes

    def place(self, boxes: Array, rows: Array) -> None:
        """Raw boxes (n, 4) of the candidates ``rows`` to pixels, in place."""
        cells = self._cells[rows]
        boxes[:, :2] += cells[:, :2]
        np.exp(boxes[:, 2:], out=boxes[:, 2:])
        boxes *= cells[:, 2:]
