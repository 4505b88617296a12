"""FastestDet: one output (1, 5 + classes, rows, columns), one box a cell.

Source: dog-qiuqiu/FastestDet, deploy. For each cell: objectness, tanh of the centre's offset in cells, sigmoid of the size
in fractions of the picture, class probabilities. score = objectness^0.6 * class^0.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.decoders.parameters import Count, Share, class_names, read, stricter
from edgeinfer.model.decoders.roles import describe, only, shape_of
from edgeinfer.model.decoders.scores import Scores, sigmoid
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["FastestDet", "Parameters"]

WHERE = "decoder fastestdet"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest may say."""

    threshold: Share = 0.65
    iou: Share = 0.45
    max_detections: Count = 100


class FastestDet:
    """Only cells with enough objectness are dequantised: a class is at most 1, so a score of t needs t^(1 / 0.6) of it."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        fitting = [i for i, spec in enumerate(outputs) if len(shape_of(spec)) == 3 and shape_of(spec)[0] > 5]
        self._output = only(WHERE, "one output (1, 5 + classes, rows, columns)", fitting, outputs)
        spec = outputs[self._output]
        self._shape = shape_of(spec)
        self._threshold = stricter(chosen.threshold, threshold)
        self._values = Scores(spec, WHERE, self._threshold ** (1 / 0.6))
        names = class_names(labels, self._shape[0] - 5, describe([spec]))
        self._rows = BoxRows(names, chosen.max_detections, Nms(300, chosen.iou))

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        stored = outputs[self._output].reshape(self._shape[0], -1)
        cells = np.flatnonzero(stored[0] >= self._values.limit)
        if not len(cells):
            return self._rows.none()
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is dropped when the rows are filled
            real = self._values.many(stored[:, cells])
            classes = real[5:].argmax(axis=0)
            best = np.minimum(real[5:].max(axis=0), 1)
            scores = np.minimum(real[0], 1) ** 0.6 * np.maximum(best, 0) ** 0.4
            passed = np.flatnonzero(scores >= self._threshold)
            corners = self._corners(real[:, passed], cells[passed])
            return self._rows.fill(corners, scores[passed], classes[passed], geometry)

    def _corners(self, real: Array, cells: Array) -> Array:
        """(n, 4): left, top, right, bottom in fractions of the input."""
        rows, columns = self._shape[1:]
        x = (cells % columns + np.tanh(real[1])) / columns
        y = (cells // columns + np.tanh(real[2])) / rows
        width, height = sigmoid(real[3]) / 2, sigmoid(real[4]) / 2
        return np.stack((x - width, y - height, x + width, y + height), axis=1)
