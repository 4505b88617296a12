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
        names = {"boxes": chosen.boxes, "scores": chosen.scores, "coefficients": chosen.coefficients}
        self._head = DenseHead(WHERE, outputs, names, "coefficients", lambda _columns, _spec: self._masks,
                               stricter(chosen.threshold, threshold), chosen.box_unit)
        if self._head.more.columns != self._masks:
            raise ManifestError(f"{WHERE}.coefficients", f"{self._masks} coefficients, one for each prototype", describe(outputs))
        classes = class_names(labels, self._head.scores.columns, describe([outputs[self._head.scores.output]]))
        nms = Nms(chosen.candidates, chosen.iou, chosen.class_aware)
        self._rows = BoxRows(classes, chosen.max_detections, nms, row=lambda: Box(mask=Mask(counts=[]) if chosen.mask else None))
        self._zero_point = Real(outputs[self._prototypes], WHERE).zero_point
        self._scratch = np.empty(self._masks * chosen.side**2, np.float32)
        self._sums = np.empty(chosen.side**2, np.float32)

    @property
    def nbytes(self) -> int:
        runs = self._chosen.max_detections * self._chosen.max_runs * 36 if self._chosen.mask else 0
        return self._head.nbytes + self._rows.nbytes + self._scratch.nbytes + self._sums.nbytes + runs

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
                weights = self._head.extras(outputs, rows[kept].tolist()).astype(np.float32)
                window = window_of(geometry, self._height, self._width)
                limits = ((window.left, window.right), (window.top, window.bottom))
                for row, corner, weight in zip(result.rows, corners[kept].tolist(), weights, strict=False):
                    self._put(row, corner, weight, outputs[self._prototypes], limits, geometry)
            return result

    def _put(self, row: Box, corner: list[float], weights: Array, stored: Array, limits: tuple[tuple[int, int], ...],
             geometry: Geometry) -> None:
        """The area and the mask of one row, within its box in the model's input."""
        left, right = _cells(corner[0], corner[2], self._width, *limits[0])
        top, bottom = _cells(corner[1], corner[3], self._height, *limits[1])
        cells = self._sum(stored, weights, (top, bottom, left, right)) > 0
        covers = (geometry.x(left / self._width), geometry.y(top / self._height),
                  geometry.x(right / self._width), geometry.y(bottom / self._height))
        row.area = np.count_nonzero(cells) / cells.size * (covers[2] - covers[0]) * (covers[3] - covers[1])
        if row.mask is not None:
            encode(cells, covers, row.mask, self._chosen.side, self._chosen.max_runs)

    def _sum(self, stored: Array, weights: Array, area: tuple[int, int, int, int]) -> Array:
        """(rows, columns): the weighted prototypes in steps of their own scale, of which only the sign counts."""
        top, bottom, left, right = area
        step = -(-max(bottom - top, right - left) // self._chosen.side)
        y, x = slice(top, bottom, step), slice(left, right, step)
        if self._first:
            part = stored.reshape(self._masks, self._height, self._width)[:, y, x]
        else:
            part = stored.reshape(self._height, self._width, self._masks)[y, x].transpose(2, 0, 1)
        real = self._scratch[: part.size].reshape(part.shape)
        np.subtract(part, self._zero_point, out=real, dtype=np.float32, casting="unsafe")
        sums = self._sums[: part[0].size]
        np.matmul(weights, real.reshape(self._masks, -1), out=sums)
        return sums.reshape(part.shape[1:])


def _cells(start: float, end: float, count: int, first: int, stop: int) -> tuple[int, int]:
    """The cells that a span of fractions touches, at least one, within first..stop."""
    begin = min(max(int(min(max(start, 0.0), 1.0) * count), first), stop - 1)
    return begin, min(max(-int(-min(max(end, 0.0), 1.0) * count // 1), begin + 1), stop)


def _find(chosen: Parameters, outputs: Sequence[TensorSpec]) -> int:
    fitting = [i for i, spec in enumerate(outputs) if len(shape_of(spec)) == 3 and min(shape_of(spec)) > 1]
    if chosen.prototypes:
        index = named(f"{WHERE}.prototypes", chosen.prototypes, outputs)
        fitting = [i for i in fitting if i == index]
    wanted = "one output of prototypes, (1, masks, rows, columns) or (1, rows, columns, masks)"
    return only(f"{WHERE}.prototypes", wanted, fitting, outputs, 'name it: decoder.parameters.prototypes: "NAME"')
