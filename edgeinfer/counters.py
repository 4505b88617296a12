"""Counters and latency histograms that never grow: allocated once, written by one thread, read by any."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Latency", "Scores", "stability_index"]

_SUB = 16  # buckets an octave: a bucket is at most 6.25 % wide
_OCTAVES = 36  # up to 2**36 ns, a little over a minute
_LINEAR = 16  # buckets of scores from 0 to 1; then one an octave above 1, and one an octave below 0
_ABOVE, _BELOW = 32, 16
_LEAST_SHARE = 1e-3  # an empty bucket counts as this: the logarithm of nothing says nothing


class Latency:
    """A log-linear histogram of durations in nanoseconds (the layout of HdrHistogram, 4 significant bits).

    ``record`` is called by one thread for each frame; ``quantile`` may be called by another and sees counts that are at
    most one frame old. Memory is fixed: 576 buckets.
    """

    __slots__ = ("buckets", "count", "largest", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (_SUB * _OCTAVES)
        self.count = 0
        self.total = 0
        self.largest = 0

    def record(self, nanoseconds: int) -> None:
        """Count one duration (ns, >= 0; longer than a minute counts as a minute)."""
        octave = nanoseconds.bit_length() - 5
        if octave <= 0:
            index = nanoseconds if nanoseconds > 0 else 0
        else:
            index = _SUB * octave + (nanoseconds >> octave)
            if index >= 576:
                index = 575
        self.buckets[index] += 1
        self.count += 1
        self.total += nanoseconds
        self.largest = max(self.largest, nanoseconds)

    def quantile(self, fraction: float) -> int:
        """The upper edge (ns) of the bucket in which the given fraction of durations ends; 0 when nothing was counted."""
        wanted = fraction * self.count
        seen = 0
        for index, count in enumerate(self.buckets):
            seen += count
            if count and seen >= wanted:
                return min(self.largest, _upper_edge(index))
        return self.largest

    def summary(self) -> dict[str, float]:
        """Milliseconds: p50, p95, p99, mean, max; and the count."""
        mean = self.total / self.count if self.count else 0.0
        figures = {f"p{percent}": self.quantile(percent / 100) for percent in (50, 95, 99)}
        return {**{name: round(value / 1e6, 4) for name, value in figures.items()}, "mean": round(mean / 1e6, 4),
                "max": round(self.largest / 1e6, 4), "count": self.count}

    def clear(self) -> None:
        """Forget everything counted so far, in place."""
        self.buckets[:] = [0] * (_SUB * _OCTAVES)
        self.count = self.total = self.largest = 0


def _upper_edge(index: int) -> int:
    if index < 2 * _SUB:
        return index
    octave, step = divmod(index, _SUB)
    return ((_SUB + step + 1) << (octave - 1)) - 1


class Scores:
    """A histogram of results' scores: 16 buckets from 0 to 1, octaves beyond (an anomaly's score has no upper end), one for
    NaN. ``add`` is called by one thread; 65 buckets, allocated once."""

    __slots__ = ("buckets", "count")

    def __init__(self) -> None:
        self.buckets = [0] * (_LINEAR + _ABOVE + _BELOW + 1)
        self.count = 0

    def add(self, score: float) -> None:
        """Count one score of any value."""
        if 0.0 <= score <= 1.0:
            index = min(int(score * _LINEAR), _LINEAR - 1)
        elif score > 1.0:
            index = _LINEAR + min(max(math.frexp(score)[1], 0), _ABOVE - 1)  # frexp gives exponent 0 for infinity
        elif score < 0.0:
            index = _LINEAR + _ABOVE + min(max(math.frexp(score)[1] + _BELOW // 2, 0), _BELOW - 1)
        else:
            index = _LINEAR + _ABOVE + _BELOW
        self.buckets[index] += 1
        self.count += 1


def stability_index(expected: Sequence[float], actual: Sequence[float]) -> float:
    """The population stability index of two histograms with the same buckets: the sum of (a - e) ln(a / e) over the shares
    (the symmetric Kullback-Leibler divergence). Below 0.1 nothing moved, above 0.25 much did (Siddiqi, "Credit Risk
    Scorecards", 2006). 0 where one of the two is empty."""
    total_e, total_a = sum(expected), sum(actual)
    if not total_e or not total_a:
        return 0.0
    index = 0.0
    for e, a in zip(expected, actual, strict=True):
        if e or a:
            share_e, share_a = max(e / total_e, _LEAST_SHARE), max(a / total_a, _LEAST_SHARE)
            index += (share_a - share_e) * math.log(share_a / share_e)
    return index
