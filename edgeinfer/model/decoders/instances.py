"""YOLO segmentation (v8, v11): boxes, and for each a mask of prototypes weighted by its coefficients.

Source: ultralytics/ultralytics utils/ops.py, process_mask: a cell belongs where sigmoid(coefficients · prototypes) > 0.5,
which is where the sum is above 0, within its box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.dense import DenseHead
from edgeinfer.model.decoders.masks import encode, window_of
from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.decoders.parameters import Count, Share, class_names, read, stricter
from edgeinfer.model.decoders.roles import describe, named, only, shape_of
from edgeinfer.model.decoders.scores import Real
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Detections, Mask
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Instances", "Parameters"]

WHERE = "decoder instances"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``side``: cells on the longer side of a mask that are looked at. ``mask: true`` reports the masks, each of at most
    ``max_runs`` run lengths; else only their areas. The outputs: one of 4 + classes + coefficients by candidate, or ``boxes``,
    ``scores`` (of the same name where they are in one) and ``coefficients``; and ``prototypes``."""

    threshold: Share = 0.25
    iou: Share = 0.45
    max_detections: Count = 20
    candidates: Count = 300
    class_aware: bool = True
    box_unit: Literal["pixel", "fraction"] = "pixel"
    mask: bool = False
    side: Annotated[int, msgspec.Meta(ge=8, le=256)] = 64
    max_runs: Count = 200
    boxes: str = ""
    scores: str = ""
    coefficients: str = ""
    prototypes: str = ""


class Instances:
    """Only survivors of the suppression get a mask, and it is computed within their boxes."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self._chosen, self.own_threshold = chosen, chosen.threshold
        self._prototypes = _find(chosen, outputs)
        shape = shape_of(outputs[self._prototypes])
        square = (shape[1] == shape[2]) != (shape[0] == shape[1])  # as most pictures are: the odd one out is the masks
        self._first = shape[1] == shape[2] if square else shape[0] < shape[2]
        self._masks, self._height, self._width = shape if self._first else (shape[2], *shape[:2])
        self._shape = shape
        names = {"boxes": chosen.boxes, "scores": chosen.scores, "coefficients": chosen.coefficients}
        self._head = DenseHead(WHERE, outputs, names, "coefficients", lambda _columns, _spec: self._masks,
                               stricter(chosen.threshold, threshold), chosen.box_unit)
        if self._head.more.columns != self._masks:
            raise ManifestError(f"{WHERE}.coefficients", f"{self._masks} coefficients, one for each prototype", describe(outputs))
        classes = class_names(labels, self._head.scores.columns, describe([outputs[self._head.scores.output]]))
        nms = Nms(chosen.candidates, chosen.iou, chosen.class_aware)
        self._rows = BoxRows(classes, chosen.max_detections, nms, row=lambda: Box(mask=Mask(counts=[]) if chosen.mask else None))
        self._zero_point = Real(outputs[self._prototypes], WHERE).zero_point
        self._frame: _Frame | None = None
        self._scratch = np.empty(self._masks * chosen.side**2, np.float32)
        self._sums = np.empty(chosen.side**2, np.float32)
        self._inside = np.empty(chosen.side**2, np.bool_)

    @property
    def nbytes(self) -> int:
        runs = self._chosen.max_detections * self._chosen.max_runs * 36 if self._chosen.mask else 0
        return self._head.nbytes + self._rows.nbytes + self._scratch.nbytes + self._sums.nbytes + self._inside.nbytes + runs

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is dropped when the rows are filled
            rows, classes, scores = self._head.find(outputs)
            if not len(rows):
                return self._rows.none()
            corners = self._head.corners(outputs, rows, geometry)
            result = self._rows.fill(corners, scores, classes, geometry)
            kept = self._rows.kept
            if kept:
                weights = self._head.steps(outputs, rows[kept])
                self._put(result, corners[kept], weights, outputs[self._prototypes], geometry)
            return result

    def _put(self, result: Detections, corners: Array, weights: Array, stored: Array, geometry: Geometry) -> None:
        """The areas and masks of all rows, each within its box in the model's input."""
        if self._frame is None or self._frame.geometry != geometry:
            self._frame = _Frame(geometry, self._height, self._width)
        areas, covers = self._frame.place(corners)
        sizes = (covers[:, 2] - covers[:, 0]) * (covers[:, 3] - covers[:, 1])
        limits = weights.sum(axis=1) * self._zero_point  # of the stored prototypes: where their sum would be 0
        table = stored.reshape(*self._shape)
        each = zip(result.rows, areas.tolist(), covers.tolist(), sizes.tolist(), weights, limits, strict=False)
        for row, area, cover, size, weight, limit in each:
            cells = self._cells(table, weight, limit, *area)
            row.area = np.count_nonzero(cells) / cells.size * size
            if row.mask is not None:
                encode(cells, tuple(cover), row.mask, self._chosen.side, self._chosen.max_runs)

    def _cells(self, table: Array, weights: Array, limit: float, left: int, top: int, right: int, bottom: int) -> Array:
        """(rows, columns) bool: where the weighted prototypes are above 0. Overwritten by the next call.

        Prototypes are multiplied as they lie: a transposed copy is slow. Only the sign counts, so both are in steps of their
        own scale: of 8 bits all sums are whole numbers below 2**24, exact in float32."""
        step = -(-max(bottom - top, right - left) // self._chosen.side)
        rows, columns = slice(top, bottom, step), slice(left, right, step)
        part = table[:, rows, columns] if self._first else table[rows, columns]
        height, width = part.shape[1:] if self._first else part.shape[:2]
        count = height * width
        steps = self._scratch[: part.size]
        np.copyto(steps.reshape(part.shape), part, casting="unsafe")
        sums = self._sums[:count]
        if self._first:
            np.dot(weights, steps.reshape(-1, count), out=sums)
        else:
            np.dot(steps.reshape(count, -1), weights, out=sums)
        cells: Array = np.greater(sums, limit, out=self._inside[:count])
        return cells.reshape(height, width)


class _Frame:
    """Where the cells of the prototypes lie in a source frame: computed once for each geometry."""

    def __init__(self, geometry: Geometry, height: int, width: int) -> None:
        self.geometry = geometry
        window = window_of(geometry, height, width)
        self._signs = np.array((1.0, 1.0, -1.0, -1.0))
        sides = np.array((width, height, width, height))
        self._sides = sides * self._signs
        self._least = np.array((window.left, window.top, window.left + 1, window.top + 1))
        self._most = np.array((window.right - 1, window.bottom - 1, window.right, window.bottom))
        self._scale = np.array((geometry.scale_x, geometry.scale_y) * 2) / sides
        self._offset = np.array((geometry.offset_x, geometry.offset_y) * 2)

    def place(self, corners: Array) -> tuple[Array, Array]:
        """(n, 4) integers: first column and row, and where they stop, of the cells that each box touches, at least one, and none
        in the padding; and what they cover of the source frame, in fractions."""
        spans = np.floor(corners * self._sides) * self._signs  # of the last two the ceiling
        areas = np.minimum(np.maximum(spans, self._least), self._most).astype(np.intp)
        np.maximum(areas[:, 2:], areas[:, :2] + 1, out=areas[:, 2:])
        return areas, np.minimum(np.maximum(areas * self._scale + self._offset, 0.0), 1.0)


def _find(chosen: Parameters, outputs: Sequence[TensorSpec]) -> int:
    fitting = [i for i, spec in enumerate(outputs) if len(shape_of(spec)) == 3 and min(shape_of(spec)) > 1]
    if chosen.prototypes:
        index = named(f"{WHERE}.prototypes", chosen.prototypes, outputs)
        fitting = [i for i in fitting if i == index]
    wanted = "one output of prototypes, (1, masks, rows, columns) or (1, rows, columns, masks)"
    return only(f"{WHERE}.prototypes", wanted, fitting, outputs, 'name it: decoder.parameters.prototypes: "NAME"')
