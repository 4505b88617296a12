"""YOLO v8 heads with something more for each candidate: (4 + classes + more, N) in one output, or in parts.

Source: ultralytics/ultralytics nn/modules/head.py, Segment and Pose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.heads import ClassHead
from edgeinfer.model.decoders.roles import Roles, describe, shape_of
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.decoders.yolo_layout import Slab
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["DenseHead"]


class DenseHead:
    """Boxes by their centre, class scores and ``more`` columns of each candidate.

    ``names``: of the outputs by role, "boxes", "scores" and ``role``; all empty: one output with all, else a head in parts.
    Raises ManifestError. Used by the inference thread.
    """

    def __init__(self, where: str, outputs: Sequence[TensorSpec], names: Mapping[str, str], role: str,
                 more: Callable[[int, TensorSpec], int], threshold: float, box_unit: Literal["pixel", "fraction"]) -> None:
        """``more``: how many of these columns (4 + classes + more), of that output."""
        roles = Roles(where, names, outputs)
        if any(names.values()):
            self.boxes, self.scores, self.more = _parts(roles, role)
        else:
            self.boxes, self.scores, self.more = _together(roles, role, more)
        self._real = Real(outputs[self.boxes.output], where)
        self._more_real = Real(outputs[self.more.output], where)
        scores = Scores(outputs[self.scores.output], where, threshold)
        last = self.scores.first + self.scores.columns
        self._head = ClassHead(scores, self.scores.candidates, last, self.scores.first, self.scores.channels_first)
        self._in_pixels = box_unit == "pixel"

    @property
    def nbytes(self) -> int:
        return self._head.nbytes

    def find(self, outputs: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Indices of the candidates that reach the threshold, their classes and scores."""
        view = _view(self.scores, outputs)
        return self._head.find(view[:, : self.scores.first + self.scores.columns])

    def corners(self, outputs: Sequence[Array], rows: Array, geometry: Geometry) -> Array:
        """(n, 4) float64: left, top, right, bottom in fractions of the input."""
        boxes = self._real.many(_view(self.boxes, outputs)[rows, self.boxes.first : self.boxes.first + 4])
        if self._in_pixels:
            boxes /= (geometry.input_width, geometry.input_height, geometry.input_width, geometry.input_height)
        half = boxes[:, 2:] / 2
        return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)

    def extras(self, outputs: Sequence[Array], rows: Sequence[int]) -> Array:
        """(n, more) float64: the further columns of some candidates."""
        first = self.more.first
        return self._more_real.many(_view(self.more, outputs)[rows, first : first + self.more.columns])

    def steps(self, outputs: Sequence[Array], rows: Array) -> Array:
        """(n, more) float32: the same in steps of their scale, for whom only the sign of their sums matters."""
        first = self.more.first
        stored = _view(self.more, outputs)[rows, first : first + self.more.columns]
        return np.subtract(stored, self._more_real.zero_point, dtype=np.float32)


def _view(slab: Slab, outputs: Sequence[Array]) -> Array:
    """All columns of the output as (candidates, columns)."""
    stored = outputs[slab.output]
    table: Array = stored.reshape(-1, slab.candidates).T if slab.channels_first else stored.reshape(slab.candidates, -1)
    return table


def _together(roles: Roles, role: str, more: Callable[[int, TensorSpec], int]) -> tuple[Slab, Slab, Slab]:
    tables = [i for i in roles.free() if len(shape_of(roles.outputs[i])) == 2]
    if len(tables) != 1:
        raise ManifestError(roles.where, f"one output of 4 + classes + {role} by candidates", describe(roles.outputs),
                            f"a head in parts needs names: decoder.parameters.boxes, .scores and .{role}")
    spec = roles.outputs[tables[0]]
    shape = shape_of(spec)
    columns = min(shape)
    extra = more(columns, spec)
    if columns - 4 - extra < 1:
        raise ManifestError(roles.where, f"an output of 4 + classes + {extra} {role} by candidates", describe([spec]))
    first = shape[0] == columns
    boxes = Slab(tables[0], max(shape), 4, first)
    classes = boxes._replace(first=4, columns=columns - 4 - extra)
    return boxes, classes, boxes._replace(first=columns - extra, columns=extra)


def _parts(roles: Roles, role: str) -> tuple[Slab, Slab, Slab]:
    """Boxes and classes of outputs of their own, or of the one that has both names."""
    both = bool(roles.names["boxes"]) and roles.names["boxes"] == roles.names["scores"]
    wanted = "one output of 4 + classes by candidates" if both else "one output of 4 by candidates"
    index = roles.pick("boxes", wanted, lambda spec: len(shape_of(spec)) == 2 if both else _is_table(spec, 4))
    shape = shape_of(roles.outputs[index])
    first = shape[0] == (min(shape) if both else 4)
    count, columns = (shape[1], shape[0]) if first else shape
    boxes = Slab(index, count, 4, first)
    if both and columns < 5:
        raise ManifestError(f"{roles.where}.boxes", wanted, describe([roles.outputs[index]]))
    scores = boxes._replace(first=4, columns=columns - 4) if both else _part(roles, "scores", boxes)
    return boxes, scores, _part(roles, role, boxes)


def _part(roles: Roles, role: str, boxes: Slab) -> Slab:
    """All columns of one output; where its shape leaves it open, it lies as the boxes do."""
    count = boxes.candidates
    index = roles.pick(role, f"one output of {role} by {count} candidates", lambda spec: _is_table(spec, count))
    shape = shape_of(roles.outputs[index])
    first = shape[1] == count and (shape[0] != count or boxes.channels_first)
    return Slab(index, count, shape[0] if first else shape[1], first)


def _is_table(spec: TensorSpec, side: int) -> bool:
    shape = shape_of(spec)
    return len(shape) == 2 and side in shape and min(shape) > 0
