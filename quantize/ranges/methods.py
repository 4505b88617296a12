"""How the range of an activation is chosen from its histogram.

    minmax      all that was seen
    percentile  99.99 % of it
    mse         the range with the least mean square of rounding and cutting together
    entropy     the range whose grid keeps the distribution best (Kullback-Leibler), as in S. Migacz, "8-bit inference with
                TensorRT", GTC 2017, but with a search over both ends and bins finer than the grid
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.ranges.histogram import BINS, Histogram

__all__ = ["METHODS", "choose"]

Range = tuple[float, float]

_SHARES = np.concatenate([np.linspace(0.3, 0.95, 27), np.linspace(0.96, 1.0, 9)])  # of the whole range, tried as ends


def choose(histogram: Histogram, method: str, symmetric: bool = False, bits: int = 8) -> Range:
    """The range of a tensor. ``symmetric``: its grid has its zero point in the middle. Deterministic."""
    if not histogram.total:
        return 0.0, 0.0
    return METHODS[method](histogram, symmetric, bits)


def _minmax(histogram: Histogram, symmetric: bool, bits: int) -> Range:
    return histogram.low, histogram.high


def _percentile(histogram: Histogram, symmetric: bool, bits: int) -> Range:
    return histogram.bulk(0.9999)


def _mse(histogram: Histogram, symmetric: bool, bits: int) -> Range:
    return _search(histogram, symmetric, lambda low, high: _square_error(histogram, low, high, bits))


def _entropy(histogram: Histogram, symmetric: bool, bits: int) -> Range:
    return _search(histogram, symmetric, lambda low, high: _divergence(histogram, low, high, bits))


def _search(histogram: Histogram, symmetric: bool, cost: Callable[[float, float], float]) -> Range:
    """The cheapest range, the wider one of equals: each end a share of what was seen, first both together, then each."""
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if symmetric:
        largest = max(-low, high)
        best = min((float(share) for share in _SHARES[::-1]), key=lambda share: cost(-share * largest, share * largest))
        return max(-best * largest, low), min(best * largest, high)
    both = min((float(share) for share in _SHARES[::-1]), key=lambda share: cost(share * low, share * high))
    ends = [both, both]
    for _ in range(2):
        for side in (0, 1):
            if (low, high)[side] == 0.0:
                continue
            tried = [[*ends[:side], float(share), *ends[side + 1 :]] for share in _SHARES[::-1]]
            ends = min(tried, key=lambda pair: cost(pair[0] * low, pair[1] * high))
    return ends[0] * low, ends[1] * high


def _square_error(histogram: Histogram, low: float, high: float, bits: int) -> float:
    """The mean square error of a grid over [low, high]: cutting is counted bin by bin, rounding is a twelfth of a step's
    square inside (the values are spread over many steps). Exact zeros, common after a Relu, are on every grid."""
    centres, counts = histogram.centres, histogram.counts
    step = (high - low) / (2**bits - 1)
    outside = np.maximum(centres - high, 0.0) + np.maximum(low - centres, 0.0)
    inside = counts[outside == 0].sum() - histogram.zeros
    return float((counts * outside**2).sum() + max(inside, 0) * step**2 / 12) / histogram.total


def _divergence(histogram: Histogram, low: float, high: float, bits: int) -> float:
    """KL(p, q) in nats: p the histogram, what lies outside counted into the ends; q what is left of it after each step
    of the grid has spread its count evenly over its bins that are not empty."""
    if high <= low:
        return np.inf
    kept = (histogram.centres >= low - histogram.width) & (histogram.centres <= high + histogram.width)
    counts = histogram.counts.astype(np.float64)
    counts[BINS // 2] -= histogram.zeros  # exact zeros, common after a Relu, are on every grid
    outside, counts = counts[~kept], counts[kept]
    centres = histogram.centres[kept]
    if not counts.any():
        return np.inf
    reference = counts.copy()
    first = int(np.argmax(kept))
    reference[0] += outside[:first].sum()
    reference[-1] += outside[first:].sum()
    steps = np.clip(np.rint((centres - low) / (high - low) * (2**bits - 1)), 0, 2**bits - 1).astype(np.int64)
    filled = counts > 0
    share = np.bincount(steps, counts, 2**bits) / np.maximum(np.bincount(steps, filled, 2**bits), 1)
    spread = share[steps] * filled
    return _kl(reference, spread)


def _kl(reference: Array, other: Array) -> float:
    p, q = reference / reference.sum(), other / max(other.sum(), 1e-300)
    where = p > 0
    return float((p[where] * np.log(p[where] / np.maximum(q[where], 1e-9))).sum())


METHODS: dict[str, Callable[[Histogram, bool, int], Range]] = {
    "minmax": _minmax, "percentile": _percentile, "mse": _mse, "entropy": _entropy}
