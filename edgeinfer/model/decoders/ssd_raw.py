"""Raw SSD heads: encoded boxes and scores of every anchor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.heads import ClassHead, SoftmaxHead
from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.decoders.parameters import class_names
from edgeinfer.model.decoders.roles import Roles, describe, picture_size, shape_of
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.decoders.ssd_parameters import WHERE, Parameters
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["RawHead"]


class RawHead:
    """``boxes`` (N, 4 or more: keypoints that follow are passed over) and ``scores`` (N, classes), N anchors."""

    def __init__(self, chosen: Parameters, outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float) -> None:
        recipe = chosen.anchors
        assert recipe is not None
        height, width = picture_size(WHERE, inputs)
        self._anchors = recipe.anchors(height, width)
        self._exponential, self._order = recipe.exponential, recipe.order
        self._factors = np.array(chosen.scale_factors or recipe.factors(height, width))
        self._find_outputs(chosen, outputs)
        self._values = Real(outputs[self._boxes], WHERE)
        self._head = self._class_head(chosen, outputs[self._scores], threshold)
        self._shift = self._head.first + chosen.label_offset
        names = self._names(chosen, outputs[self._scores], labels)
        self._rows = BoxRows(names, chosen.max_detections, Nms(chosen.candidates, chosen.iou, chosen.class_aware))

    def _find_outputs(self, chosen: Parameters, outputs: Sequence[TensorSpec]) -> None:
        """Two outputs with a row for each anchor. Boxes: the one of 4 columns or more, or of exactly 4 when both have."""
        count = len(self._anchors)
        roles = Roles(WHERE, chosen.names, outputs)
        tables = [spec for spec in outputs if len(shape_of(spec)) == 2 and shape_of(spec)[0] == count]
        boxes = [spec for spec in tables if shape_of(spec)[1] >= 4]
        if len(boxes) > 1 and not chosen.boxes:
            boxes = [spec for spec in boxes if shape_of(spec)[1] == 4]
        self._boxes = roles.pick("boxes", f"one output of boxes for {count} anchors, (1, {count}, 4)", boxes.__contains__)
        self._scores = roles.pick("scores", f"one output of classes for {count} anchors, (1, {count}, classes)",
                                  tables.__contains__)

    def _class_head(self, chosen: Parameters, spec: TensorSpec, threshold: float) -> ClassHead | SoftmaxHead:
        candidates, columns = shape_of(spec)
        first = 0 if chosen.background is None else 1
        if chosen.activation == "softmax":
            return SoftmaxHead(Real(spec, WHERE), candidates, columns, first, threshold)
        return ClassHead(Scores(spec, WHERE, threshold, chosen.activation == "sigmoid"), candidates, columns, first, False)

    def _names(self, chosen: Parameters, spec: TensorSpec, labels: Sequence[str]) -> tuple[str, ...]:
        columns, least = shape_of(spec)[1], self._head.first + (chosen.activation == "softmax" and not self._head.first)
        if columns <= least:
            raise ManifestError(f"{WHERE}.scores", f"more than {least} classes", describe([spec]))
        if self._shift < 0:
            raise ManifestError(f"{WHERE}.label_offset", f"at least {-self._head.first}", str(chosen.label_offset))
        return class_names(labels, columns + chosen.label_offset, describe([spec]))

    @property
    def nbytes(self) -> int:
        return self._anchors.nbytes + self._head.nbytes + self._rows.nbytes

    def decode(self, outputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        count = len(self._anchors)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is dropped when the rows are filled
            rows, classes, scores = self._head.find(outputs[self._scores].reshape(count, -1))
            if not len(rows):
                return self._rows.none()
            encoded = self._values.many(outputs[self._boxes].reshape(count, -1)[rows, :4])
            return self._rows.fill(self._corners(encoded, self._anchors[rows]), scores, classes + self._shift, geometry)

    def _corners(self, encoded: Array, anchors: Array) -> Array:
        """(n, 4) float64: left, top, right, bottom in fractions of the input.

        Centre = anchor's centre + t * anchor's size, size = anchor's size * exp(t); BlazeFace's sizes without the exp.
        """
        offsets = encoded[:, self._order] / self._factors  # y, x, h, w
        centres = anchors[:, :2] + offsets[:, :2] * anchors[:, 2:]
        half = (np.exp(offsets[:, 2:]) if self._exponential else offsets[:, 2:]) * anchors[:, 2:] / 2
        return np.concatenate((centres - half, centres + half), axis=1)[:, [1, 0, 3, 2]]
