"""Rows of detections with keypoints, and the places of points in the source frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Keypoint
from edgeinfer.model.tensor import Array

__all__ = ["BLAZEFACE", "BODY", "Points", "names_of"]

BODY = ("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
        "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
        "right ankle")  # COCO's order, which MoveNet, PoseNet and YOLO pose share
BLAZEFACE = ("right eye", "left eye", "nose", "mouth", "right ear", "left ear")  # MediaPipe's order


def names_of(where: str, given: Sequence[str], count: int, usual: Sequence[str] = ()) -> tuple[str, ...]:
    """A name for each of ``count`` points: those given, else the usual ones where they are as many, else "point 0", …

    Raises ManifestError for another number of names, or one twice.
    """
    if given and (len(given) != count or len(set(given)) != count):
        raise ManifestError(where, f"{count} different names, one for each point", f"{len(set(given))} different names")
    if given or len(usual) == count:
        return tuple(given or usual)
    return tuple(f"point {index}" for index in range(count))


class Points:
    """The keypoints of each row, made once: ``put`` fills a row's with those that are sure enough."""

    def __init__(self, names: Sequence[str], rows: int, least: float = 0.0) -> None:
        self.count = len(names)
        self._least = least
        self._made = [[Keypoint(name=name) for name in names] for _ in range(rows)]

    @property
    def nbytes(self) -> int:
        return len(self._made) * self.count * (56 + 3 * 24)

    def put(self, place: int, row: Box, points: Array, scores: Array | None, geometry: Geometry) -> None:
        """Fill the keypoints of row number ``place``: ``points`` (count, 2) float64 as x, y in fractions of the input,
        ``scores`` (count,). What is not finite, not in the frame's plane or less sure than the least is left out."""
        xs = np.minimum(np.maximum(points[:, 0] * geometry.scale_x + geometry.offset_x, 0.0), 1.0).tolist()
        ys = np.minimum(np.maximum(points[:, 1] * geometry.scale_y + geometry.offset_y, 0.0), 1.0).tolist()
        sound = np.isfinite(points).all(axis=1)
        marks: list[float] | list[None] = [None] * self.count
        if scores is not None:
            sound &= scores >= self._least
            marks = np.minimum(np.maximum(scores, 0.0), 1.0).tolist()
        made, kept = self._made[place], row.keypoints
        kept.clear()
        for index in np.flatnonzero(sound).tolist():
            keypoint = made[index]
            keypoint.x, keypoint.y, keypoint.score = xs[index], ys[index], marks[index]
            kept.append(keypoint)

    @staticmethod
    def surround(row: Box) -> None:
        """Give the row the box around its keypoints; all zeros without any."""
        xs, ys = [point.x for point in row.keypoints], [point.y for point in row.keypoints]
        row.left, row.right = (min(xs), max(xs)) if xs else (0.0, 0.0)
        row.top, row.bottom = (min(ys), max(ys)) if ys else (0.0, 0.0)
