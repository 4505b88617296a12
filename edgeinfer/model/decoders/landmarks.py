"""Landmarks of a face, a hand or anything else: N points by regression, and a score that it is there at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from edgeinfer.errors import ConfigError, ManifestError
from edgeinfer.model.decoders.keypoints import Points, names_of
from edgeinfer.model.decoders.parameters import Share, read, stricter
from edgeinfer.model.decoders.roles import describe, named, only, picture_size, size_of
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Landmarks", "Parameters"]

WHERE = "decoder landmarks"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One output of N x ``values`` numbers, x and y first, in pixels or fractions of the model's input. ``points``: which of
    them are reported, all where it is empty. ``names`` of those reported; without names a result has them as a list.

    ``presence`` names an output of one number, with ``logits`` before its sigmoid; without it the thing is always there.
    ``mean`` and ``std`` undo a normalisation: value * std + mean, before the unit.
    """

    values: Literal[2, 3] = 2
    unit: Literal["pixel", "fraction"] = "pixel"
    points: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    threshold: Share = 0.5
    logits: bool = False
    mean: float = 0.0
    std: float = 1.0
    landmarks: str = ""
    presence: str = ""


class Landmarks:
    """A detection with keypoints and the box around them, or none where the presence is below the threshold."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        if chosen.presence:
            self.own_threshold = chosen.threshold
        elif threshold is not None:
            raise ConfigError("threshold", "none: these landmarks have no score", f"{threshold:g}", "remove threshold")
        if len(labels) > 1:
            raise ManifestError("labels", "one label at most: what has the landmarks", f"{len(labels)} labels",
                                "names of landmarks are decoder.parameters.names")
        self._output = _find(chosen, outputs)
        spec = outputs[self._output]
        self._count, self._values = size_of(WHERE, spec) // chosen.values, chosen.values
        self._real, self._mean, self._std = Real(spec, WHERE), chosen.mean, chosen.std
        self._set_presence(chosen, outputs, stricter(chosen.threshold, threshold))
        height, width = picture_size(WHERE, inputs) if chosen.unit == "pixel" else (1, 1)
        self._side = np.array((width, height), np.float64)
        self._chosen = _indices(chosen.points, self._count)
        count = len(self._chosen)
        names = names_of(f"{WHERE}.names", chosen.names, count) if chosen.names else ("",) * count
        self._points = Points(names, 1)
        self._result = Detections(rows=[Box(label=labels[0] if labels else "landmarks", keypoints=[])])

    def _set_presence(self, chosen: Parameters, outputs: Sequence[TensorSpec], threshold: float) -> None:
        self._presence, self._scores = None, None
        if chosen.presence:
            index = named(f"{WHERE}.presence", chosen.presence, outputs)
            if size_of(WHERE, outputs[index]) != 1:
                raise ManifestError(f"{WHERE}.presence", "an output of one number", describe([outputs[index]]))
            self._presence, self._scores = index, Scores(outputs[index], WHERE, threshold, chosen.logits)

    @property
    def nbytes(self) -> int:
        return self._points.nbytes

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        result, row = self._result, self._result.rows[0]
        result.count, score = 0, 1.0
        if self._scores is not None and self._presence is not None:
            stored = outputs[self._presence].item()
            if not stored >= self._scores.limit:
                return result
            score = min(self._scores.one(stored), 1.0)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out
            table = outputs[self._output].reshape(self._count, self._values)
            points = (self._real.many(table[self._chosen, :2]) * self._std + self._mean) / self._side
            self._points.put(0, row, points, None, geometry)
        Points.surround(row)
        row.score = score
        result.count = int(row.left < row.right and row.top < row.bottom)
        return result


def _indices(points: Sequence[int], count: int) -> Array:
    wrong = [index for index in points if not 0 <= index < count]
    if wrong:
        raise ManifestError(f"{WHERE}.points", f"points from 0 to {count - 1}", str(wrong[0]))
    return np.array(points or range(count), np.intp)


def _find(chosen: Parameters, outputs: Sequence[TensorSpec]) -> int:
    fitting = [i for i, spec in enumerate(outputs) if spec.name != chosen.presence
               and (size := size_of(WHERE, spec)) >= 2 * chosen.values and size % chosen.values == 0]
    if chosen.landmarks:
        index = named(f"{WHERE}.landmarks", chosen.landmarks, outputs)
        fitting = [i for i in fitting if i == index]
    wanted = f"one output of points of {chosen.values} values each"
    return only(f"{WHERE}.landmarks", wanted, fitting, outputs, 'name it: decoder.parameters.landmarks: "NAME"')
