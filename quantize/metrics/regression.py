"""Errors of real-valued outputs: mean absolute, root mean square, and the share of variance explained."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.metrics.metric import Metric

__all__ = ["MAE", "R2", "RMSE"]


class MAE(Metric):
    """mean |got - expected| over all values of all samples, in the values' own unit."""

    name = "mean absolute error"
    better = "lower"

    def parts(self, expected: Array, got: Array) -> tuple[float, float]:
        """Both: real values of one shape."""
        errors = np.abs(np.asarray(got, np.float64) - expected)
        return float(errors.sum()), float(errors.size)

    def statistic(self, sums: Array) -> Array:
        return np.asarray(sums[:, 0] / sums[:, 1])


class RMSE(MAE):
    """sqrt(mean (got - expected)^2)."""

    name = "root mean square error"

    def parts(self, expected: Array, got: Array) -> tuple[float, float]:
        errors = np.square(np.asarray(got, np.float64) - expected)
        return float(errors.sum()), float(errors.size)

    def statistic(self, sums: Array) -> Array:
        return np.sqrt(sums[:, 0] / sums[:, 1])


class R2(Metric):
    """1 - sum (expected - got)^2 / sum (expected - its mean)^2, the coefficient of determination; of several outputs the
    mean of theirs (scikit-learn's ``r2_score`` with uniform average). An output that is always the same is left out."""

    name = "R²"
    needs = "an expected value that varies"

    def __init__(self) -> None:
        super().__init__()
        self._origin: Array | None = None  # near the mean, so that the difference of large sums stays exact

    def parts(self, expected: Array, got: Array) -> Array:
        """Both: (outputs,) real values."""
        true, answer = np.ravel(np.asarray(expected, np.float64)), np.ravel(np.asarray(got, np.float64))
        if self._origin is None:
            self._origin = true
        shifted = true - self._origin
        return np.concatenate([np.square(true - answer), shifted, np.square(shifted), [1.0]])

    def statistic(self, sums: Array) -> Array:
        outputs = (sums.shape[1] - 1) // 3
        errors, shifted, squares = (sums[:, index * outputs : (index + 1) * outputs] for index in range(3))
        variance = squares - np.square(shifted) / sums[:, -1:]
        explained = np.where(variance > 1e-12 * np.maximum(squares, 1e-300), 1 - errors / variance, np.nan)
        known = np.isfinite(explained)
        total = np.where(known, explained, 0.0).sum(axis=1)
        return np.asarray(total / known.sum(axis=1))
