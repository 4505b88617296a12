"""How close INT8's outputs are to float's, without labels: signal to noise, cosine, KL divergence, largest error.

``expected`` is float's output and ``got`` INT8's, dequantised, of the same shape.
"""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.metrics.metric import Metric

__all__ = ["LIMIT_DB", "SQNR", "Cosine", "KLDivergence", "LargestError", "decibels"]

LIMIT_DB = 200.0  # float32 itself resolves about 150 dB


def decibels(signal: Array, noise: Array) -> Array:
    """10 log10(signal / noise) of energies, within ±200 dB: 200 where there is no noise, -200 where there is only noise."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10.0 * np.log10(np.divide(signal, noise))
    ratio = np.where(np.equal(noise, 0), LIMIT_DB, np.where(np.isfinite(noise), ratio, -LIMIT_DB))
    return np.asarray(np.clip(np.nan_to_num(ratio, nan=-LIMIT_DB), -LIMIT_DB, LIMIT_DB))


class SQNR(Metric):
    """10 log10(sum x² / sum (x - q)²), the sums over all values of all samples."""

    name = "signal to noise"
    unit = "dB"

    def parts(self, expected: Array, got: Array) -> tuple[float, float]:
        true = np.asarray(expected, np.float64)
        return float(np.square(true).sum()), float(np.square(true - got).sum())

    def statistic(self, sums: Array) -> Array:
        return decibels(sums[:, 0], sums[:, 1])

    def per_sample(self) -> Array:
        """(samples,) dB of each sample alone, in the order of ``add``: where the worst are found."""
        return np.asarray(self.statistic(np.stack(self._rows)))


class Cosine(Metric):
    """sum x q / sqrt(sum x² · sum q²), the sums over all values of all samples; 1 where both are nothing but zeros."""

    name = "cosine similarity"

    def parts(self, expected: Array, got: Array) -> tuple[float, float, float]:
        true, answer = np.asarray(expected, np.float64), np.asarray(got, np.float64)
        return float((true * answer).sum()), float(np.square(true).sum()), float(np.square(answer).sum())

    def statistic(self, sums: Array) -> Array:
        both = np.sqrt(sums[:, 1] * sums[:, 2])
        silent = (sums[:, 1] == 0) & (sums[:, 2] == 0)
        cosine = np.where(both > 0, sums[:, 0] / np.where(both > 0, both, 1.0), silent)
        return np.asarray(np.clip(np.nan_to_num(cosine), -1.0, 1.0))


class KLDivergence(Metric):
    """mean over samples of sum p log(p / q): p float's probabilities, q INT8's. S. Kullback and R. A. Leibler, "On
    information and sufficiency", Annals of Mathematical Statistics 22 (1951)."""

    name = "KL divergence"
    unit = "nats"
    better = "lower"

    def __init__(self, logits: bool = True) -> None:
        """``logits``: the outputs are before the softmax, which is then taken here. Probabilities are floored at 1/512, half
        a step of the grid that INT8 softmax has, because a stored 0 means less than that, not never."""
        super().__init__()
        self._logits = logits

    def parts(self, expected: Array, got: Array) -> tuple[float, float]:
        true, answer = self._logs(expected), self._logs(got)
        return float((np.exp(true) * (true - answer)).sum()), 1.0

    def statistic(self, sums: Array) -> Array:
        return np.asarray(np.maximum(sums[:, 0] / sums[:, 1], 0.0))

    def _logs(self, values: Array) -> Array:
        """Logarithms of the probabilities, (classes,)."""
        flat = np.ravel(np.asarray(values, np.float64))
        if not self._logits:
            floored = np.maximum(flat, 1 / 512)
            return np.asarray(np.log(floored / floored.sum()))
        shifted = flat - flat.max()
        return np.asarray(shifted - np.log(np.exp(shifted).sum()))


class LargestError(Metric):
    """max |x - q| over all values of all samples, in steps (LSB) of the output's grid. A largest value has no interval."""

    name = "largest error"
    unit = "LSB"
    better = "lower"

    def __init__(self, scale: float) -> None:
        """``scale``: one step of the grid, in real units."""
        super().__init__()
        self._scale = scale

    def parts(self, expected: Array, got: Array) -> float:
        return float(np.max(np.abs(np.asarray(expected, np.float64) - got), initial=0.0)) / self._scale

    def values(self, weights: Array) -> Array:
        errors = np.stack(self._rows)
        return np.array([errors[row > 0].max(initial=0.0) for row in weights])

    def interval(self) -> tuple[float | None, float | None]:
        return None, None
