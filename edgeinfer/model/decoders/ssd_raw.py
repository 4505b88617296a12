"""Raw SSD heads: encoded boxes and scores of every anchor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.heads import ClassHead, SoftmaxHead
from edgeinfer.model.decoders.keypoints import BLAZEFACE, Points, names_of
from edgeinfer.model.decoders.parameters import class_names
from edgeinfer.model.decoders.roles import Roles, describe, picture_size, shape_of
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.decoders.ssd_parameters import WHERE, Parameters
from edgeinfer.model.decoders.yolo_layout import Slab
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["RawHead"]


class RawHead:
    """``boxes`` (N, 4 or more: keypoints may follow, two values each) and ``scores`` (N, classes), N anchors; or transposed."""

    def __init__(self, chosen: Parameters, outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float) -> None:
        recipe = chosen.anchors
        assert recipe is not None
        height, width = picture_size(WHERE, inputs)
        self._anchors = recipe.anchors(height, width)
        self._exponential, self._order = recipe.exponential, recipe.order
        self._factors = np.array(chosen.scale_factors or recipe.factors(height, width))
        self._find_outputs(chosen, outputs)
        self._values = Real(outputs[self._boxes.output], WHERE)
        self._head = self._class_head(chosen, outputs[self._scores.output], threshold)
        self._shift = self._head.first + chosen.label_offset
        names = self._names(chosen, outputs[self._scores.output], labels)
        self._rows = BoxRows(names, chosen.max_detections, chosen.suppression, row=lambda: Box(keypoints=[]))
        self._points = self._make_points(chosen, outputs[self._boxes.output])

    def _make_points(self, chosen: Parameters, spec: TensorSpec) -> Points | None:
        columns = 4 + 2 * chosen.keypoints
        if self._boxes.columns < columns:
            wanted = f"{columns} columns, a box and {chosen.keypoints} keypoints"
            raise ManifestError(f"{WHERE}.keypoints", wanted, describe([spec]))
        named = names_of(f"{WHERE}.keypoint_names", chosen.keypoint_names, chosen.keypoints, BLAZEFACE)
        return Points(named, chosen.max_detections) if chosen.keypoints else None

    def _find_outputs(self, chosen: Parameters, outputs: Sequence[TensorSpec]) -> None:
        """Two outputs with a row or a column an anchor. Boxes: the one of 4 values or more, or of exactly 4 when both have."""
        count = len(self._anchors)
        roles = Roles(WHERE, chosen.names, outputs)
        tables = [spec for spec in outputs if len(shape_of(spec)) == 2 and count in shape_of(spec)]
        boxes = [spec for spec in tables if _slab(0, spec, count).columns >= 4]
        if len(boxes) > 1 and not chosen.boxes:
            boxes = [spec for spec in boxes if _slab(0, spec, count).columns == 4]
        index = roles.pick("boxes", f"one output of boxes for {count} anchors, (1, {count}, 4)", boxes.__contains__)
        self._boxes = _slab(index, outputs[index], count)
        index = roles.pick("scores", f"one output of classes for {count} anchors, (1, {count}, classes)", tables.__contains__)
        self._scores = _slab(index, outputs[index], count)

    def _class_head(self, chosen: Parameters, spec: TensorSpec, threshold: float) -> ClassHead | SoftmaxHead:
        slab, first = self._scores, 0 if chosen.background is None else 1
        if chosen.activation == "softmax":
            return SoftmaxHead(Real(spec, WHERE), slab.candidates, slab.columns, first, threshold)
        scores = Scores(spec, WHERE, threshold, chosen.activation == "sigmoid")
        return ClassHead(scores, slab.candidates, slab.columns, first, slab.channels_first)

    def _names(self, chosen: Parameters, spec: TensorSpec, labels: Sequence[str]) -> tuple[str, ...]:
        columns, least = self._scores.columns, self._head.first + (chosen.activation == "softmax" and not self._head.first)
        if columns <= least:
            raise ManifestError(f"{WHERE}.scores", f"more than {least} classes", describe([spec]))
        if self._shift < 0:
            raise ManifestError(f"{WHERE}.label_offset", f"at least {-self._head.first}", str(chosen.label_offset))
        return class_names(labels, columns + chosen.label_offset, describe([spec]))

    @property
    def nbytes(self) -> int:
        points = self._points.nbytes if self._points else 0
        return self._anchors.nbytes + self._head.nbytes + self._rows.nbytes + points

    def decode(self, outputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is dropped when the rows are filled
            rows, classes, scores = self._head.find(self._scores.view(outputs))
            if not len(rows):
                return self._rows.none()
            table = self._boxes.view(outputs)
            corners = self._corners(self._values.many(table[rows, :4]), self._anchors[rows])
            result = self._rows.fill(corners, scores, classes + self._shift, geometry)
            if self._points is not None and result.count:
                self._put_points(self._points, table, rows[self._rows.kept], geometry)
            return result

    def _put_points(self, points: Points, table: Array, rows: Array, geometry: Geometry) -> None:
        """Each point is relative to its anchor, as the box's centre is (MediaPipe's tensors_to_detections_calculator.cc)."""
        anchors = self._anchors[rows][:, np.newaxis]
        values = self._values.many(table[rows, 4 : 4 + 2 * points.count]).reshape(len(rows), -1, 2)
        offsets = values[:, :, self._order[:2]] / self._factors[:2]  # y, x
        places = anchors[:, :, :2] + offsets * anchors[:, :, 2:]
        for place, row in enumerate(self._rows.result.rows[: len(rows)]):
            points.put(place, row, places[place, :, ::-1], None, geometry)

    def _corners(self, encoded: Array, anchors: Array) -> Array:
        """(n, 4) float64: left, top, right, bottom in fractions of the input.

        Centre = anchor's centre + t * anchor's size, size = anchor's size * exp(t); BlazeFace's sizes without the exp.
        """
        offsets = encoded[:, self._order] / self._factors  # y, x, h, w
        centres = anchors[:, :2] + offsets[:, :2] * anchors[:, 2:]
        half = (np.exp(offsets[:, 2:]) if self._exponential else offsets[:, 2:]) * anchors[:, 2:] / 2
        return np.concatenate((centres - half, centres + half), axis=1)[:, [1, 0, 3, 2]]


def _slab(index: int, spec: TensorSpec, count: int) -> Slab:
    """The output with a row for each of ``count`` anchors, or a column where it has no row for each."""
    rows, columns = shape_of(spec)
    return Slab(index, count, columns, False) if rows == count else Slab(index, count, rows, True)
