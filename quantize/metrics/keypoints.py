"""Errors of keypoints: normalised mean error, percentage of correct keypoints, object keypoint similarity.

``expected`` is a ``Pose``; ``got`` is (points, 2 or more) with x and y first. Points that are not labelled do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.metrics.metric import Better, Metric

__all__ = ["COCO_SIGMAS", "NME", "OKS", "PCK", "Pose"]

# of the 17 points of COCO, nose to ankles: cocoapi, PythonAPI/pycocotools/cocoeval.py, kpt_oks_sigmas
COCO_SIGMAS = (.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089)


class Pose(NamedTuple):
    """``points`` (points, 2) x and y; ``visible`` (points,) of what is labelled; ``size``: what errors are measured by, in
    the points' unit: a head, a torso or a distance of eyes for NME and PCK, the square root of the object's area for OKS."""

    points: Array
    visible: Array
    size: float


class NME(Metric):
    """mean of distance / size over labelled points, in percent; the error of facial landmarks (300-W and others)."""

    name = "normalised mean error"
    unit = "%"
    better: Better = "lower"
    needs = "a labelled point"

    def parts(self, expected: Pose, got: Array) -> tuple[float, float]:
        distances = _distances(expected, got) / expected.size
        return float(distances.sum()), float(distances.size)

    def statistic(self, sums: Array) -> Array:
        return np.asarray(100.0 * sums[:, 0] / sums[:, 1])


class PCK(NME):
    """Share of labelled points within ``within`` x size. Y. Yang and D. Ramanan, "Articulated human detection with flexible
    mixtures of parts", PAMI 35 (2013). Points of one picture hang together, so the bootstrap is over pictures."""

    better: Better = "higher"

    def __init__(self, within: float = 0.2) -> None:
        super().__init__()
        self._within, self.name = within, f"PCK@{within:g}"

    def parts(self, expected: Pose, got: Array) -> tuple[float, float]:
        near = _distances(expected, got) <= self._within * expected.size
        return float(near.sum()), float(near.size)


class OKS(NME):
    """mean over poses of mean over labelled points of exp(-d² / (2 s² k²)), k = 2 sigma: COCO's keypoint evaluation."""

    name = "object keypoint similarity"
    better: Better = "higher"
    needs = "a pose with a labelled point"

    def __init__(self, sigmas: Sequence[float] = COCO_SIGMAS) -> None:
        super().__init__()
        self._sigmas = np.asarray(sigmas)

    def parts(self, expected: Pose, got: Array) -> tuple[float, float]:
        falloff = 2 * self._sigmas[np.asarray(expected.visible, bool)]
        if not falloff.size:
            return 0.0, 0.0
        square = np.square(_distances(expected, got)) / (2 * expected.size**2 * np.square(falloff))
        return float(np.exp(-square).mean()), 1.0


def _distances(expected: Pose, got: Array) -> Array:
    """Euclidean, of the labelled points."""
    visible = np.asarray(expected.visible, bool)
    apart = np.asarray(got, np.float64)[:, :2] - np.asarray(expected.points, np.float64)[:, :2]
    return np.asarray(np.hypot(apart[visible, 0], apart[visible, 1]))
