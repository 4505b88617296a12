"""YOLO heads: v5 (and v7), v8 (and v11), YOLOX; one tensor with all, or boxes and scores apart.

Sources: ultralytics/yolov5 and ultralytics/ultralytics (export of Detect), Megvii YOLOX (demo_utils.demo_postprocess).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.heads import ClassHead
from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.decoders.parameters import Count, Share, read, stricter
from edgeinfer.model.decoders.roles import Roles
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.decoders.yolo_layout import Grid, yolo_layout
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Parameters", "Yolo"]

WHERE = "decoder yolo"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every box is cx, cy, w, h, in pixels or fractions of the model's input.

    v5: (N, 5 + classes): box, objectness, classes; score = objectness * class. v8: (4 + classes, N) or its transpose: no
    objectness. x: like v5, the box relative to its cell: ((tx, ty) + cell) * stride, exp(tw, th) * stride, cells of
    ``strides`` one after the other. ``boxes``, ``scores`` and ``objectness`` name the outputs of a head in parts.
    """

    variant: Literal["v5", "v8", "x"]
    box_unit: Literal["pixel", "fraction"] = "pixel"
    threshold: Share = 0.25
    iou: Share = 0.45
    max_detections: Count = 100
    candidates: Count = 300
    class_aware: bool = True
    strides: tuple[Count, ...] = (8, 16, 32)
    boxes: str = ""
    scores: str = ""
    objectness: str = ""

    def __post_init__(self) -> None:
        if self.variant == "x" and self.box_unit != "pixel":
            raise ValueError("expected box_unit: pixel with variant: x, got fraction")


class Yolo:
    """Candidates are found in the quantised domain: those with a class (v8) or an objectness (v5, x) at or over the
    threshold; at most the best ``candidates`` of them go through non-maximum suppression."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self.own_threshold = chosen.threshold
        self._threshold = stricter(chosen.threshold, threshold)
        names = {"boxes": chosen.boxes, "objectness": chosen.objectness, "scores": chosen.scores}
        layout = yolo_layout(Roles(WHERE, names, outputs), chosen.variant != "v8", labels)
        self._boxes, self._objectness, self._classes = layout.boxes, layout.objectness, layout.classes
        self._real = Real(outputs[self._boxes.output], WHERE)
        self._head = self._class_head(outputs[self._classes.output])
        if self._objectness:
            self._objects = Scores(outputs[self._objectness.output], WHERE, self._threshold)
            self._present = np.empty(self._objectness.candidates, np.bool_)
        self._grid = Grid(WHERE, chosen.strides, inputs, self._boxes.candidates) if chosen.variant == "x" else None
        self._in_pixels = chosen.box_unit == "pixel"
        self._rows = BoxRows(layout.names, chosen.max_detections, Nms(chosen.candidates, chosen.iou, chosen.class_aware))

    def _class_head(self, spec: TensorSpec) -> ClassHead:
        slab = self._classes
        searched = 0 if self._objectness else slab.candidates  # with an objectness it alone finds the candidates
        return ClassHead(Scores(spec, WHERE, self._threshold), searched, slab.columns, slab.first, slab.channels_first)

    @property
    def nbytes(self) -> int:
        present = self._present.nbytes if self._objectness else 0
        return self._rows.nbytes + self._head.nbytes + present + (self._grid.nbytes if self._grid else 0)

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        classes_view = self._classes.view(outputs)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is dropped when the rows are filled
            rows = self._present_rows(outputs) if self._objectness else self._head.survivors(classes_view)
            if not len(rows):
                return self._rows.none()
            classes, scores = self._head.best(classes_view, rows)
            if self._objectness:
                objectness = self._objects.many(self._objectness.column(outputs)[rows])
                scores = np.minimum(scores, 1.0) * np.minimum(objectness, 1.0)
                passed = np.flatnonzero(scores >= self._threshold)
                rows, classes, scores = rows[passed], classes[passed], scores[passed]
            return self._rows.fill(self._corners(outputs, rows, geometry), scores, classes, geometry)

    def _present_rows(self, outputs: Sequence[Array]) -> Array:
        """Objectness * class reaches the threshold only where the objectness does: both are at most 1."""
        assert self._objectness is not None
        column = self._objectness.column(outputs)
        return np.flatnonzero(np.greater_equal(column, self._objects.limit, out=self._present))

    def _corners(self, outputs: Sequence[Array], rows: Array, geometry: Geometry) -> Array:
        """(n, 4) float64: left, top, right, bottom in fractions of the input."""
        first = self._boxes.first
        boxes = self._real.many(self._boxes.view(outputs)[rows, first : first + 4])
        if self._grid:
            self._grid.place(boxes, rows)
        if self._in_pixels:
            boxes /= (geometry.input_width, geometry.input_height, geometry.input_width, geometry.input_height)
        half = boxes[:, 2:] / 2
        return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)
