"""MoveNet single and multi (tensorflow.org/hub/tutorials/movenet): y, x and score of each keypoint in fractions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.model.decoders.keypoints import BODY, Points, names_of
from edgeinfer.model.decoders.pose_parameters import WHERE, Parameters
from edgeinfer.model.decoders.roles import only
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["MoveNet"]


class MoveNet:
    """The score of a single pose is the mean of its keypoints' scores; a multi-pose model gives one, and a box."""

    def __init__(self, chosen: Parameters, outputs: Sequence[TensorSpec], inputs: Sequence[TensorSpec], name: str,
                 threshold: float) -> None:
        fitting = [i for i, spec in enumerate(outputs) if _count(spec)]
        wanted = "one output of keypoints, (1, 1, K, 3), or of people, (1, people, 3 K + 5)"
        self._output = only(WHERE, wanted, fitting, outputs)
        spec = outputs[self._output]
        self._single, self._name = spec.shape[-1] == 3, name
        people, count = (1, spec.shape[-2]) if self._single else (spec.shape[-2], _count(spec))
        self._shape = (people, 3 * count + (0 if self._single else 5))
        self._threshold = threshold
        self._scores = Scores(spec, WHERE, threshold)
        self._real = Real(spec, WHERE)
        most = min(people, chosen.max_detections)
        self._points = Points(names_of(f"{WHERE}.names", chosen.names, count, BODY), most, chosen.keypoint_threshold)
        self._result = Detections(rows=[Box(label=name, keypoints=[]) for _ in range(most)])

    @property
    def nbytes(self) -> int:
        return self._points.nbytes

    def decode(self, outputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        table = outputs[self._output].reshape(self._shape)
        with np.errstate(over="ignore", invalid="ignore"):
            real, scores = self._people(table)
            self._result.count = 0
            for index in np.argsort(-scores, kind="stable").tolist():
                if self._result.count < len(self._result.rows):
                    self._put(real[index], float(scores[index]), geometry)
        return self._result

    def _people(self, table: Array) -> tuple[Array, Array]:
        """Those at or over the threshold, and their scores."""
        if self._single:
            real = self._real.many(table)
            scores = real[:, 2::3].mean(axis=1)
            return (real, scores) if scores[0] >= self._threshold else (real[:0], scores[:0])
        real = self._real.many(table[np.flatnonzero(table[:, -1] >= self._scores.limit)])
        finite = np.isfinite(real[:, -5:]).all(axis=1)
        return real[finite], real[finite, -1]

    def _put(self, person: Array, score: float, geometry: Geometry) -> None:
        place = self._result.count
        row, count = self._result.rows[place], self._points.count
        points = person[: 3 * count].reshape(count, 3)
        self._points.put(place, row, points[:, 1::-1], points[:, 2], geometry)
        if self._single:
            Points.surround(row)
        else:
            top, left, bottom, right = person[3 * count : 3 * count + 4].tolist()
            row.left, row.right, row.top, row.bottom = geometry.x(left), geometry.x(right), geometry.y(top), geometry.y(bottom)
        if row.left < row.right and row.top < row.bottom:
            row.score = min(score, 1.0)
            self._result.count += 1


def _count(spec: TensorSpec) -> int:
    """How many keypoints; 0 where the shape is another's."""
    shape = spec.shape
    if shape[-1:] == (3,) and len(shape) > 1 and all(side == 1 for side in shape[:-2]):
        return shape[-2]
    if len(shape) == 3 and shape[0] == 1 and shape[2] > 5 and (shape[2] - 5) % 3 == 0:
        return (shape[2] - 5) // 3
    return 0
