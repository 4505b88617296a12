"""Heat maps: one map a keypoint, the best cell is where it is; with PoseNet's offsets, exact to the pixel.

Source of the offsets: tensorflow/tfjs-models posenet, decode_single_pose: y = row * stride + offset[row, column, k],
x = column * stride + offset[row, column, K + k], with stride = (input - 1) / (map - 1). Without them the cell's centre counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.keypoints import BODY, Points, names_of
from edgeinfer.model.decoders.pose_parameters import WHERE, Parameters
from edgeinfer.model.decoders.roles import Roles, describe, picture_size, shape_of
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["HeatMaps"]


class HeatMaps:
    """The best cell of each map is found in the quantised domain; the person's score is the mean of the keypoints'."""

    def __init__(self, chosen: Parameters, outputs: Sequence[TensorSpec], inputs: Sequence[TensorSpec], name: str,
                 threshold: float) -> None:
        self._size = picture_size(WHERE, inputs)
        roles = Roles(WHERE, {"heatmaps": chosen.heatmaps, "offsets": chosen.offsets}, outputs)
        maps = [spec for spec in outputs if len(shape_of(spec)) == 3]
        doubled = [spec for spec in maps if any(_halves(other, spec) for other in maps)]
        single = [spec for spec in maps if any(_halves(spec, other) for other in maps)] or maps
        self._maps = roles.pick("heatmaps", "one output of K maps, (1, rows, columns, K) or (1, K, rows, columns)",
                                (maps if chosen.heatmaps else single).__contains__)
        spec = outputs[self._maps]
        self._first, self._rows, self._columns, count = _layout(spec, len(chosen.names) or len(BODY))
        if min(self._rows, self._columns) < 2:
            raise ManifestError(f"{WHERE}.heatmaps", "maps of at least 2 x 2 cells", describe([spec]))
        self._offsets = roles.pick("offsets", f"one output of {2 * count} offsets by cell",
                                   lambda other: _halves(spec, other)) if doubled or chosen.offsets else None
        self._scores = Scores(spec, WHERE, threshold, chosen.logits)
        self._shifts = Real(outputs[self._offsets], WHERE) if self._offsets is not None else None
        self._points = Points(names_of(f"{WHERE}.names", chosen.names, count, BODY), 1, chosen.keypoint_threshold)
        self._threshold = threshold
        self._result = Detections(rows=[Box(label=name, keypoints=[])])
        self._best = np.empty(count, np.intp)

    @property
    def nbytes(self) -> int:
        return self._points.nbytes + self._best.nbytes

    def decode(self, outputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        maps = self._cells(outputs[self._maps])
        best = np.argmax(maps, axis=0, out=self._best)
        keypoints = np.arange(len(best))
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self._scores.many(maps[best, keypoints])
            score = float(scores.mean())
            self._result.count = 0
            row = self._result.rows[0]
            if score >= self._threshold:
                self._points.put(0, row, self._places(outputs, best, keypoints), scores, geometry)
                Points.surround(row)
                row.score = min(score, 1.0)
                self._result.count = int(row.left < row.right and row.top < row.bottom)
        return self._result

    def _cells(self, stored: Array) -> Array:
        """(cells, maps), a view."""
        cells = self._rows * self._columns
        return stored.reshape(-1, cells).T if self._first else stored.reshape(cells, -1)

    def _places(self, outputs: Sequence[Array], best: Array, keypoints: Array) -> Array:
        """(K, 2): x, y in fractions of the input."""
        rows, columns = best // self._columns, best % self._columns
        if self._shifts is None or self._offsets is None:
            return np.stack(((columns + 0.5) / self._columns, (rows + 0.5) / self._rows), axis=1)
        height, width = self._size
        offsets = self._cells(outputs[self._offsets])
        y = self._shifts.many(offsets[best, keypoints]) + rows * ((height - 1) / (self._rows - 1))
        x = self._shifts.many(offsets[best, len(keypoints) + keypoints]) + columns * ((width - 1) / (self._columns - 1))
        return np.stack((x / width, y / height), axis=1)


def _halves(spec: TensorSpec, other: TensorSpec) -> bool:
    """Whether ``other`` has two channels for each of ``spec``'s, in the same layout."""
    one, two = shape_of(spec), shape_of(other)
    return len(one) == len(two) == 3 and (two == (2 * one[0], *one[1:]) or two == (*one[:2], 2 * one[2]))


def _layout(spec: TensorSpec, usual: int) -> tuple[bool, int, int, int]:
    """Channels first, rows, columns, maps: the side of as many as usual is the maps', else the smallest."""
    shape = shape_of(spec)
    first = shape[0] == usual and shape[2] != usual if usual in (shape[0], shape[2]) else shape[0] < shape[2]
    return (True, shape[1], shape[2], shape[0]) if first else (False, shape[0], shape[1], shape[2])
