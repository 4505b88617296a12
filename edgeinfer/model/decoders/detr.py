"""DETR and its kin (RT-DETR, D-FINE, RF-DETR): a set of queries, each with class logits and a box by its centre.

Sources: facebookresearch/detr models/detr.py PostProcess; lyuwenyu/RT-DETR rtdetr_postprocessor.py. No suppression is needed:
each query stands for one thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.heads import ClassHead, SoftmaxHead
from edgeinfer.model.decoders.parameters import Count, Share, class_names, read, stricter
from edgeinfer.model.decoders.roles import Roles, describe, shape_of
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Detr", "Parameters"]

WHERE = "decoder detr"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``boxes`` (queries, 4): cx, cy, w, h in fractions; ``scores`` (queries, classes). ``activation``: sigmoid (RT-DETR,
    D-FINE, Deformable DETR), softmax over the classes and a last one that means nothing (DETR), or none (one export has it
    done)."""

    activation: Literal["sigmoid", "softmax", "none"] = "sigmoid"
    threshold: Share = 0.5
    max_detections: Count = 100
    boxes: str = ""
    scores: str = ""


class Detr:
    """Queries with a class at or over the threshold are found in the quantised domain; each counts for its best class."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self.own_threshold = chosen.threshold
        least = stricter(chosen.threshold, threshold)
        roles = Roles(WHERE, {"boxes": chosen.boxes, "scores": chosen.scores}, outputs)
        tables = [spec for spec in outputs if len(shape_of(spec)) == 2]
        self._boxes = roles.pick("boxes", "one output of boxes by query, (1, queries, 4)",
                                 lambda spec: spec in tables and 4 in shape_of(spec))
        self._count, self._boxes_first = _orient(outputs[self._boxes], 4)
        self._scores = roles.pick("scores", f"one output of classes for {self._count} queries",
                                  lambda spec: spec in tables and self._count in shape_of(spec))
        spec = outputs[self._scores]
        shape = shape_of(spec)
        self._scores_first = shape[0] != self._count
        columns = shape[0] if self._scores_first else shape[1]
        classes = columns - (chosen.activation == "softmax")
        if classes < 1:
            raise ManifestError(f"{WHERE}.scores", "more than 1 class", describe([spec]))
        self._real = Real(outputs[self._boxes], WHERE)
        self._head: ClassHead | SoftmaxHead
        if chosen.activation == "softmax":
            self._head = SoftmaxHead(Real(spec, WHERE), self._count, columns, 0, least, last=1)
        else:
            logits = chosen.activation == "sigmoid"
            self._head = ClassHead(Scores(spec, WHERE, least, logits), self._count, columns, 0, self._scores_first)
        self._rows = BoxRows(class_names(labels, classes, describe([spec])), min(chosen.max_detections, self._count), None)

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._head.nbytes

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is dropped when the rows are filled
            rows, classes, scores = self._head.find(_table(outputs[self._scores], self._count, self._scores_first))
            if not len(rows):
                return self._rows.none()
            boxes = self._real.many(_table(outputs[self._boxes], self._count, self._boxes_first)[rows])
            half = boxes[:, 2:] / 2
            corners = np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)
            return self._rows.fill(corners, scores, classes, geometry)


def _orient(spec: TensorSpec, columns: int) -> tuple[int, bool]:
    """How many rows, and whether memory holds (columns, rows)."""
    shape = shape_of(spec)
    first = shape[0] == columns and shape[1] != columns
    return (shape[1] if first else shape[0]), first


def _table(stored: Array, count: int, channels_first: bool) -> Array:
    table: Array = stored.reshape(-1, count).T if channels_first else stored.reshape(count, -1)
    return table
