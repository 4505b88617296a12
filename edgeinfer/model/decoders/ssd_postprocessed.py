"""The outputs of TFLite_Detection_PostProcess (tensorflow/lite/kernels/detection_postprocess.cc)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.roles import Roles, shape_of
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.decoders.ssd_parameters import WHERE, Parameters
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Postprocessed"]

MOST_CLASSES = 1 << 16  # a class beyond it is not a class, whatever the tensor says
OPERATOR = "TFLite_Detection_PostProcess"
OPERATOR_ROLES = {OPERATOR: "boxes", f"{OPERATOR}:1": "classes", f"{OPERATOR}:2": "scores", f"{OPERATOR}:3": "count"}


class Postprocessed:
    """Four outputs in any order, or three without a count. Boxes and count are told by their shapes; classes and scores have
    the same shape, and are told by name (the operator's own, or one with 'class', 'label' or 'score' in it) or by parameter,
    never by order."""

    def __init__(self, chosen: Parameters, outputs: Sequence[TensorSpec], labels: Sequence[str],
                 threshold: float) -> None:
        roles = Roles(WHERE, _names(chosen, outputs), outputs)
        self._boxes = roles.pick("boxes", "one output of N boxes, (1, N, 4)", lambda spec: shape_of(spec)[1:] == (4,))
        self._most = shape_of(outputs[self._boxes])[0]
        counted = bool(roles.names["count"]) or any(_is_count(spec) for spec in outputs)
        self._count = roles.pick("count", "one output of one count, (1,)", _is_count) if counted else None
        listed = f"one output of {self._most} values, (1, {self._most})"
        self._score = roles.pick("scores", listed, lambda spec: shape_of(spec) == (self._most,))
        self._class = roles.pick("classes", listed, lambda spec: shape_of(spec) == (self._most,))
        self._box_values = Real(outputs[self._boxes], WHERE)
        self._class_values = Real(outputs[self._class], WHERE)
        self._count_values = Real(outputs[self._count], WHERE) if self._count is not None else None
        self._scores = Scores(outputs[self._score], WHERE, threshold)
        self._offset = chosen.label_offset
        self._order = [1, 0, 3, 2] if chosen.corners == "yxyx" else [0, 1, 2, 3]
        self._in_pixels = chosen.box_unit == "pixel"
        self._rows = BoxRows(labels, min(chosen.max_detections, self._most), chosen.suppression)
        if labels and self._offset >= len(labels):
            raise ManifestError(f"{WHERE}.label_offset", f"less than the {len(labels)} labels", str(self._offset))

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes

    def decode(self, outputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        stored = outputs[self._score].reshape(-1)[: self._valid(outputs)]
        rows = np.flatnonzero(stored >= self._scores.limit)
        if not len(rows):
            return self._rows.none()
        with np.errstate(invalid="ignore"):  # what is not a number is dropped
            classes = self._class_values.many(outputs[self._class].reshape(-1)[rows]) + self._offset
            rows, classes = self._known(rows, classes)
            corners = self._box_values.many(outputs[self._boxes].reshape(-1, 4)[rows][:, self._order])
            if self._in_pixels:
                corners /= (geometry.input_width, geometry.input_height, geometry.input_width, geometry.input_height)
            return self._rows.fill(corners, self._scores.many(stored[rows]), classes, geometry)

    def _valid(self, outputs: Sequence[Array]) -> int:
        if self._count is None or self._count_values is None:
            return self._most
        count = self._count_values.one(outputs[self._count].item())
        return int(min(max(count, 0), self._most)) if count == count else 0  # noqa: PLR0124 - a count that is NaN is none

    @staticmethod
    def _known(rows: Array, classes: Array) -> tuple[Array, Array]:
        known = np.flatnonzero((classes > -0.5) & (classes < MOST_CLASSES))
        return rows[known], np.rint(classes[known]).astype(np.int64)


def _is_count(spec: TensorSpec) -> bool:
    return spec.shape in ((1,), ())


def _names(chosen: Parameters, outputs: Sequence[TensorSpec]) -> dict[str, str]:
    """The parameters' names, completed by what the outputs' own names say where exactly one says it."""
    names = chosen.names
    for role in names:
        if not names[role]:
            telling = [spec.name for spec in outputs if _role_in(spec.name) == role]
            names[role] = telling[0] if len(telling) == 1 else ""
    return names


def _role_in(name: str) -> str:
    if name in OPERATOR_ROLES:
        return OPERATOR_ROLES[name]
    words = {"score": "scores", "class": "classes", "label": "classes", "num_detections": "count", "box": "boxes"}
    said = [role for word, role in words.items() if word in name.lower()]
    return said[0] if len(said) == 1 else ""
