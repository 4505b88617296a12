"""Area under the ROC curve: the chance that something anomalous scores above something normal."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.metrics.intervals import Z
from quantize.metrics.metric import Metric

__all__ = ["AUC"]


class AUC(Metric):
    """The Mann-Whitney statistic over the product of the numbers; ties count half. One score for each sample is kept.

    Its interval is the set of areas from which the measured one is not more than 1.96 standard errors away, with the
    standard error of J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a ROC curve", Radiology 143
    (1982), taken at that area, as R. G. Newcombe recommends (Statistics in Medicine 25, 2006): it has a width at 1.0 too.
    """

    name = "AUC"
    needs = "both a positive and a negative label"

    def parts(self, expected: int, got: float) -> tuple[float, float]:
        """``expected``: 1 (positive, anomalous) or 0. ``got``: the score, higher for positive."""
        return float(bool(expected)), float(np.ravel(got)[0])

    def values(self, weights: Array) -> Array:
        rows = np.stack(self._rows)
        labels = rows[:, 0]
        levels, place = np.unique(rows[:, 1], return_inverse=True)
        areas = np.empty(len(weights))
        for index, row in enumerate(weights):
            positive = np.bincount(place, row * labels, minlength=len(levels))
            negative = np.bincount(place, row * (1 - labels), minlength=len(levels))
            pairs = positive.sum() * negative.sum()
            below = np.cumsum(negative) - negative / 2
            areas[index] = (positive * below).sum() / pairs if pairs else np.nan
        return areas

    def interval(self) -> tuple[float | None, float | None]:
        area = self.value()
        labels = np.stack(self._rows)[:, 0]
        positives = int(labels.sum())
        negatives = len(labels) - positives
        return (_end(area, 0.0, positives, negatives), _end(area, 1.0, positives, negatives))


def _variance(area: float, positives: int, negatives: int) -> float:
    """Hanley and McNeil's formula 2, with their Q1 = A / (2 - A) and Q2 = 2 A² / (1 + A)."""
    first, second = area / (2 - area), 2 * area * area / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (first - area * area) + (negatives - 1) * (second - area * area)
    return max(spread, 0.0) / (positives * negatives)


def _end(area: float, limit: float, positives: int, negatives: int) -> float:
    """The end of the interval between ``area`` and ``limit``, by bisection."""
    near, far = area, limit
    for _ in range(60):
        middle = (near + far) / 2
        if abs(middle - area) <= Z * _variance(middle, positives, negatives) ** 0.5:
            near = middle
        else:
            far = middle
    return near
