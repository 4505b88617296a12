"""Raw heads by feature maps, as exports without the last layer have them: boxes are still relative to their cells.

YOLOv3, v5 and v7 with anchors, YOLOX, v8 and v11 before the DFL, NanoDet, PicoDet, FastestDet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.grid_boxes import ENCODINGS, Cells, Encoding
from edgeinfer.model.decoders.grid_layout import Map, Patch, find_patches
from edgeinfer.model.decoders.heads import ClassHead
from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.decoders.parameters import Count, Share, class_names, read, stricter
from edgeinfer.model.decoders.roles import describe, picture_size
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Grid", "Parameters"]

WHERE = "decoder grid"
Names = tuple[str, ...]
Patches = tuple[Patch, "Patch | None", Patch]  # boxes, objectness, classes
Anchor = tuple[Annotated[float, msgspec.Meta(gt=0)], Annotated[float, msgspec.Meta(gt=0)]]


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``encoding``: v3, v5 (and v7), x: box, objectness, classes; dfl: classes and 4 x ``bins``, or 4 distances with bins: 1;
    fastestdet: objectness, box, classes. ``anchors``: for each stride the widths and heights in pixels, of v3 and v5.

    ``activation: none``: the model has applied its sigmoids. ``centre`` of a cell, of dfl: 0.5, or 0 in NanoDet-Plus.
    ``classes_first``: of dfl, the classes stand before the boxes, as in NanoDet. ``outputs`` names the outputs in the order of
    the strides; ``boxes``, ``scores`` and ``objectness`` those of a head in parts.
    """

    encoding: Encoding
    strides: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1)] = (8, 16, 32)
    anchors: tuple[tuple[Anchor, ...], ...] = ()
    bins: Count = 16
    centre: float = 0.5
    classes_first: bool = False
    activation: Literal["sigmoid", "none"] = "sigmoid"
    threshold: Share = 0.25
    iou: Share = 0.45
    max_detections: Count = 100
    candidates: Count = 300
    class_aware: bool = True
    outputs: Names = ()
    boxes: Names = ()
    scores: Names = ()
    objectness: Names = ()

    def __post_init__(self) -> None:
        anchored = self.encoding in ("v3", "v5")
        counts = {len(sizes) for sizes in self.anchors}
        if anchored and (len(self.anchors) != len(self.strides) or len(counts) != 1 or 0 in counts):
            raise ValueError(f"expected anchors for each of the {len(self.strides)} strides, as many for each, "
                             f"got {[len(sizes) for sizes in self.anchors]}")
        if self.anchors and not anchored:
            raise ValueError(f"expected anchors with encoding: v3 or v5 only, got encoding: {self.encoding}")

    @property
    def has_objectness(self) -> bool:
        return self.encoding != "dfl"

    @property
    def box_columns(self) -> int:
        return 4 * self.bins if self.encoding == "dfl" else 4


class _Part:
    """One anchor of one map: where its boxes, objectness and classes are, and what they mean."""

    def __init__(self, chosen: Parameters, outputs: Sequence[TensorSpec], patches: Patches, level: Map,
                 size: tuple[float, float], threshold: float) -> None:
        self.boxes, self.objectness, self.classes = patches
        self.level, self.size = level, size
        logits = chosen.activation == "sigmoid" and chosen.encoding != "fastestdet"
        self.probable = not logits
        self.real = Real(outputs[self.boxes.output], WHERE)
        if self.objectness:  # with an objectness it alone finds the candidates
            self.objects = Scores(outputs[self.objectness.output], WHERE, threshold, logits)
        scores = Scores(outputs[self.classes.output], WHERE, threshold, logits)
        self.head = ClassHead(scores, 0 if self.objectness else level.cells, self.classes.columns, 0, self.classes.channels_first)

    def survivors(self, outputs: Sequence[Array], classes: Array) -> Array:
        """Cells, rising, that may reach the threshold."""
        if self.objectness is None:
            return self.head.survivors(classes)
        return np.flatnonzero(self.objectness.view(outputs)[:, 0] >= self.objects.limit)

    def cells(self, centre: float) -> Array:
        """(cells, 5) float64: column, row, stride, and the anchor's width and height."""
        y, x = np.mgrid[: self.level.rows, : self.level.columns].reshape(2, -1) + centre
        return np.stack((x, y, *(np.full(len(x), value) for value in (self.level.stride, *self.size))), axis=1)


class Grid:
    """Candidates are found in the quantised domain, each map by its own scale: those with an objectness (or, without one, a
    class) at or over the threshold; at most the best ``candidates`` of them go through non-maximum suppression."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self.own_threshold = chosen.threshold
        self._threshold = stricter(chosen.threshold, threshold)
        self._powers = (0.6, 0.4) if chosen.encoding == "fastestdet" else (1.0, 1.0)
        self._encode = ENCODINGS[chosen.encoding]
        self._parts = _parts(chosen, outputs, labels, picture_size(WHERE, inputs), self._threshold ** (1 / self._powers[0]))
        self._cells = [part.cells(chosen.centre if chosen.encoding == "dfl" else 0.0) for part in self._parts]
        scored = self._parts[0].classes
        names = class_names(labels, scored.columns, describe([outputs[scored.output]]))
        self._rows = BoxRows(names, chosen.max_detections, Nms(chosen.candidates, chosen.iou, chosen.class_aware))

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + sum(part.head.nbytes for part in self._parts) + sum(cells.nbytes for cells in self._cells)

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is dropped when the rows are filled
            found = [one for pair in zip(self._parts, self._cells, strict=True)
                     if (one := self._find(*pair, outputs)) is not None]
            if not found:
                return self._rows.none()
            encoded, cells, scores, classes = found[0] if len(found) == 1 else map(np.concatenate, zip(*found, strict=True))
            x, y, stride, width, height = cells.T
            corners = self._encode(encoded, Cells(x, y, stride, width, height, self._parts[0].probable))
            side = (geometry.input_width, geometry.input_height, geometry.input_width, geometry.input_height)
            return self._rows.fill(corners / side, scores, classes, geometry)

    def _find(self, part: _Part, cells: Array, outputs: Sequence[Array]) -> tuple[Array, Array, Array, Array] | None:
        """Encoded boxes, their cells, scores and classes of one part's candidates."""
        view = part.classes.view(outputs)
        rows = part.survivors(outputs, view)
        if not len(rows):
            return None
        classes, scores = part.head.best(view, rows)
        if part.objectness is not None:
            scores = self._joined(scores, part.objects.many(part.objectness.view(outputs)[rows, 0]))
            passed = np.flatnonzero(scores >= self._threshold)
            rows, classes, scores = rows[passed], classes[passed], scores[passed]
        return part.real.many(part.boxes.view(outputs)[rows]), cells[rows], scores, classes

    def _joined(self, scores: Array, objectness: Array) -> Array:
        scores, objectness = np.clip(scores, 0.0, 1.0), np.clip(objectness, 0.0, 1.0)
        if self._powers == (1.0, 1.0):
            return scores * objectness
        joined: Array = objectness ** self._powers[0] * scores ** self._powers[1]
        return joined


def _parts(chosen: Parameters, outputs: Sequence[TensorSpec], labels: Sequence[str], picture: tuple[int, int],
           threshold: float) -> list[_Part]:
    """All of them, maps first. Raises ManifestError where the outputs do not fit."""
    height, width = picture
    maps = [Map(stride, -(-height // stride), -(-width // stride)) for stride in chosen.strides]
    anchors = len(chosen.anchors[0]) if chosen.anchors else 1
    patches = _patches(chosen, outputs, labels, maps, anchors)
    whole = (float(width), float(height))  # what fastestdet's sizes are shares of
    sizes = [size for sizes in chosen.anchors for size in sizes] or [whole] * len(maps)
    levels = [level for level in maps for _ in range(anchors)]
    return [_Part(chosen, outputs, *one, threshold) for one in zip(patches, levels, sizes, strict=True)]


def _patches(chosen: Parameters, outputs: Sequence[TensorSpec], labels: Sequence[str], maps: Sequence[Map],
             anchors: int) -> list[Patches]:
    """Boxes, objectness and classes of every anchor of every map: of one output with all, or of a head in parts."""
    lead = chosen.box_columns + chosen.has_objectness
    if not (chosen.boxes or chosen.scores):
        for columns in [lead + len(labels), 0] if labels else [0]:
            try:
                together = find_patches(f"{WHERE}.outputs", outputs, chosen.outputs, maps, anchors, columns)
            except ManifestError:
                if chosen.outputs and not columns:
                    raise
            else:
                if all(patch.columns > lead for patch in together):
                    return [_split(chosen, patch) for patch in together]
    boxes = find_patches(f"{WHERE}.boxes", outputs, chosen.boxes, maps, anchors, chosen.box_columns)
    taken, last = {patch.output for patch in boxes}, not boxes[0].channels_first
    objectness: Sequence[Patch | None] = [None] * len(boxes)
    if chosen.has_objectness:
        found = find_patches(f"{WHERE}.objectness", outputs, chosen.objectness, maps, anchors, 1, taken, last)
        objectness, taken = found, taken | {patch.output for patch in found}
    scores = find_patches(f"{WHERE}.scores", outputs, chosen.scores, maps, anchors, 0, taken, last)
    return list(zip(boxes, objectness, scores, strict=True))


def _split(chosen: Parameters, patch: Patch) -> Patches:
    """The columns of an output with all."""
    boxes, classes = chosen.box_columns, patch.columns - chosen.box_columns - chosen.has_objectness
    if chosen.encoding == "fastestdet":
        return patch.part(1, 4), patch.part(0, 1), patch.part(5, classes)
    if chosen.encoding == "dfl":
        return patch.part(classes if chosen.classes_first else 0, boxes), None, patch.part(
            0 if chosen.classes_first else boxes, classes)
    return patch.part(0, 4), patch.part(4, 1), patch.part(5, classes)
