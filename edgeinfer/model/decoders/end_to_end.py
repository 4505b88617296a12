"""Detectors that end in finished rows, as YOLOv10, RT-DETR exports and models exported with their suppression have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.decoders.parameters import Count, Share, read, stricter
from edgeinfer.model.decoders.roles import describe, named, only, shape_of
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["EndToEnd", "Parameters"]

WHERE = "decoder end_to_end"
MOST_CLASSES = 1 << 16  # a class beyond it is not a class, whatever the tensor says

Column = Literal["left", "top", "right", "bottom", "x", "y", "width", "height", "score", "class", "-"]
_CORNERS, _CENTRE = ("left", "top", "right", "bottom"), ("x", "y", "width", "height")


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One output (N, columns) of finished rows, or its transpose. ``columns`` says what stands in a row, "-" what is passed
    over: left, top, right, bottom, or the centre x, y, width, height; score; class.

    ``iou`` below 1 suppresses what the model has left. A label's index is the model's class plus ``label_offset``.
    """

    columns: tuple[Column, ...] = ("left", "top", "right", "bottom", "score", "class")
    box_unit: Literal["pixel", "fraction"] = "pixel"
    threshold: Share = 0.25
    max_detections: Count = 100
    iou: Share = 1.0
    class_aware: bool = True
    label_offset: int = 0
    output: str = ""

    def __post_init__(self) -> None:
        box = [name for name in self.columns if name in _CORNERS + _CENTRE]
        if sorted(box) not in (sorted(_CORNERS), sorted(_CENTRE)) or self.columns.count("score") != 1 or \
                self.columns.count("class") > 1:
            raise ValueError(f"expected columns with left, top, right, bottom (or x, y, width, height), score and class, "
                             f"got {list(self.columns)}")


class EndToEnd:
    """Rows at or over the threshold are found in the quantised domain."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self.own_threshold = chosen.threshold
        width = len(chosen.columns)
        self._output = _find(chosen, outputs)
        spec = outputs[self._output]
        shape = shape_of(spec)
        self._shape, self._channels_first = shape, shape[1] != width
        count = shape[1] if self._channels_first else shape[0]
        self._scores = Scores(spec, WHERE, stricter(chosen.threshold, threshold))
        self._real = Real(spec, WHERE)
        self._by_centre = "x" in chosen.columns
        self._box = [chosen.columns.index(name) for name in (_CENTRE if self._by_centre else _CORNERS)]
        self._score = chosen.columns.index("score")
        self._class = chosen.columns.index("class") if "class" in chosen.columns else None
        self._in_pixels, self._offset = chosen.box_unit == "pixel", chosen.label_offset
        if labels and self._offset >= len(labels):
            raise ManifestError(f"{WHERE}.label_offset", f"less than the {len(labels)} labels", str(self._offset))
        nms = Nms(min(count, 300), chosen.iou, chosen.class_aware) if chosen.iou < 1 else None
        self._rows = BoxRows(labels, min(chosen.max_detections, count), nms)

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        table = outputs[self._output].reshape(self._shape)
        if self._channels_first:
            table = table.T
        rows = np.flatnonzero(table[:, self._score] >= self._scores.limit)
        if not len(rows):
            return self._rows.none()
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is dropped when the rows are filled
            real = self._real.many(table[rows])
            classes = np.zeros(len(rows)) if self._class is None else real[:, self._class]
            classes = classes + self._offset
            known = np.flatnonzero((classes > -0.5) & (classes < MOST_CLASSES))
            real, classes = real[known], np.rint(classes[known]).astype(np.int64)
            return self._rows.fill(self._corners(real[:, self._box], geometry), real[:, self._score], classes, geometry)

    def _corners(self, boxes: Array, geometry: Geometry) -> Array:
        if self._in_pixels:
            boxes = boxes / (geometry.input_width, geometry.input_height, geometry.input_width, geometry.input_height)
        if not self._by_centre:
            return boxes
        half = boxes[:, 2:] / 2
        return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def _find(chosen: Parameters, outputs: Sequence[TensorSpec]) -> int:
    width = len(chosen.columns)
    fitting = [i for i, spec in enumerate(outputs) if len(shape_of(spec)) == 2 and width in shape_of(spec)]
    wanted = f"one output of rows of {width} columns ({', '.join(chosen.columns)})"
    if chosen.output:
        index = named(f"{WHERE}.output", chosen.output, outputs)
        if index not in fitting:
            raise ManifestError(f"{WHERE}.output", wanted, describe([outputs[index]]), f"there are: {describe(outputs)}")
        return index
    return only(f"{WHERE}.output", wanted, fitting, outputs, 'name it: decoder.parameters.output: "NAME"')
