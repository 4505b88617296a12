"""95 % confidence intervals: Wilson for a share, percentile bootstrap for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["Z", "percentiles", "resamples", "wilson"]

Z = 1.959963984540054  # the normal distribution's 97.5 % point
_AT_ONCE = 1 << 20  # weights in memory: 8 MB


def wilson(hits: float, count: int) -> tuple[float, float]:
    """The score interval of a share of ``count``, as fractions. E. B. Wilson, "Probable inference, the law of succession,
    and statistical inference", JASA 22 (1927). Not degenerate at 0 or all, where the textbook's interval is."""
    share, square = hits / count, Z * Z / count
    middle = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / count + square / count / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def resamples(count: int, draws: int, seed: int = 0) -> Iterator[Array]:
    """Weights of the bootstrap: in all ``draws`` rows of ``count``, in pieces of bounded memory; row r says how often each
    sample was drawn. B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979)."""
    random = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // max(count, 1))
    for first in range(0, draws, rows):
        yield np.stack([np.bincount(random.integers(count, size=count), minlength=count).astype(np.float64)
                        for _ in range(first, min(first + rows, draws))])


def percentiles(resampled: Array) -> tuple[float, float]:
    """The middle 95 % of bootstrap figures. Resamples that held nothing that counts (NaN) are left out."""
    known = resampled[np.isfinite(resampled)]
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
