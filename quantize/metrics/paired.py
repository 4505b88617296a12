"""What quantising costs: the difference of one metric between two models that saw the same samples.

The two accuracies share their samples, so their difference is known far better than either: a comparison of the two
intervals would call significant losses noise.
"""

from __future__ import annotations

import math

import numpy as np

from quantize.metrics.classification import Share
from quantize.metrics.intervals import Z
from quantize.metrics.metric import Figure, Metric

__all__ = ["drop", "mcnemar"]


def drop(reference: Metric, other: Metric) -> Figure:
    """How much worse ``other`` is than ``reference`` (positive: worse, whichever way the metric points), with its interval.

    Shares (top-k): the adjusted interval of A. Agresti and Y. Min, "Simple improved confidence intervals for comparing
    matched proportions", Statistics in Medicine 24 (2005). Others: a bootstrap that draws the same samples for both.
    Raises RuntimeError when the two are not the same metric of the same number of samples.
    """
    if reference.name != other.name or reference.count != other.count:
        raise RuntimeError(f"{reference.name} of {reference.count} samples against {other.name} of {other.count}")
    sign = 1.0 if reference.better == "higher" else -1.0
    value = sign * (reference.value() - other.value())
    if isinstance(reference, Share) and isinstance(other, Share):
        low, high = _matched(*_discordant(reference, other), reference.count)
    else:
        low, high = reference.span(value, sign * (reference.resampled() - other.resampled()))
    unit = "points" if reference.unit == "%" else reference.unit
    return Figure(name=f"drop of {reference.name}", value=value, low=low, high=high, unit=unit, better="lower",
                  count=reference.count)


def mcnemar(reference: Share, other: Share) -> float:
    """The chance of discordant samples at least as one-sided as these if the two models were equally good: the exact,
    two-sided test of Q. McNemar, "Note on the sampling error of the difference between correlated proportions",
    Psychometrika 12 (1947).
    """
    lost, won = _discordant(reference, other)
    total, fewer = lost + won, min(lost, won)
    if not total:
        return 1.0
    logs = [math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) - total * math.log(2)
            for k in range(fewer + 1)]
    return min(1.0, 2 * math.fsum(math.exp(value) for value in logs))


def _discordant(reference: Share, other: Share) -> tuple[int, int]:
    """Samples that only the reference has right, and those that only the other has."""
    first, second = reference.hits, other.hits
    return int(np.sum((first == 1) & (second == 0))), int(np.sum((first == 0) & (second == 1)))


def _matched(lost: int, won: int, count: int) -> tuple[float, float]:
    """Wald's interval of (lost - won) / count in points, after half a sample was added to each of the four cells."""
    first, second, whole = lost + 0.5, won + 0.5, count + 2.0
    middle = (first - second) / whole
    half = Z * math.sqrt(first + second - (first - second) ** 2 / whole) / whole
    return 100 * max(-1.0, middle - half), 100 * min(1.0, middle + half)
