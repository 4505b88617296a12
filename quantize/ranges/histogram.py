"""A streaming histogram: the values of an activation over all samples, in memory that is fixed whatever their number."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["BINS", "MOST", "Histogram"]

BINS = 4096  # 16 for each step of an 8-bit grid over half the range
MOST = 1 << 16  # values of one array: percentiles to 0.01 % need no more


class Histogram:
    """Counts in ``BINS`` equal bins around 0 whose width is a power of two, doubled (neighbours merged) when a value lies
    outside. The counts therefore depend on the values alone, not on their order or how they came in batches.

    ``low`` and ``high`` are the exact least and largest value. Of a large array every so many-th value is counted, at most
    ``MOST``; ``total``, ``zeros``, ``sum`` and ``squares`` are of those.
    """

    __slots__ = ("counts", "exponent", "high", "low", "squares", "sum", "total", "zeros")

    def __init__(self) -> None:
        self.counts: Array = np.zeros(BINS, np.int64)
        self.exponent: int | None = None  # of the bins' width: edges are (index - BINS / 2) * 2**exponent
        self.low, self.high = np.inf, -np.inf
        self.total = self.zeros = 0
        self.sum = self.squares = 0.0

    def add(self, values: Array) -> None:
        """Count all values of an array of any shape. NaN and infinities count as nothing."""
        flat = np.ravel(values)
        low, high = float(flat.min(initial=np.inf)), float(flat.max(initial=-np.inf))
        if not (np.isfinite(low) and np.isfinite(high)):
            flat = flat[np.isfinite(flat)]
            low, high = float(flat.min(initial=np.inf)), float(flat.max(initial=-np.inf))
        if not flat.size:
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(abs(low), abs(high)))
        assert self.exponent is not None
        if flat.size > MOST:
            flat = flat[:: -(-flat.size // MOST) | 1]  # an odd stride meets all channels
        index = np.floor(flat * np.float32(2.0**-self.exponent)).astype(np.int64) + BINS // 2
        self.counts += np.bincount(np.minimum(index, BINS - 1), minlength=BINS)
        self.total += flat.size
        self.zeros += flat.size - int(np.count_nonzero(flat))
        self.sum += float(flat.sum(dtype=np.float64))
        self.squares += float(np.einsum("i,i->", flat, flat, dtype=np.float64))

    @property
    def width(self) -> float:
        """Of a bin, in the values' own unit."""
        return float(2.0**self.exponent) if self.exponent is not None else 0.0

    @property
    def centres(self) -> Array:
        """(BINS,) the middle of each bin."""
        return (np.arange(BINS) - BINS / 2 + 0.5) * self.width

    def quantile(self, share: float) -> float:
        """The value below which that share of all values lies, to a bin's width."""
        if not self.total:
            return 0.0
        reached = np.cumsum(self.counts)
        index = int(np.searchsorted(reached, share * self.total))
        inside = (index - BINS / 2) * self.width
        before = float(reached[index - 1]) if index else 0.0
        here = float(self.counts[min(index, BINS - 1)]) or 1.0
        return float(np.clip(inside + self.width * (share * self.total - before) / here, self.low, self.high))

    def bulk(self, share: float = 0.999) -> tuple[float, float]:
        """The range that holds so much of the values, the rest cut off evenly at both ends."""
        return self.quantile((1 - share) / 2), self.quantile((1 + share) / 2)

    def mean(self) -> float:
        return self.sum / self.total if self.total else 0.0

    def std(self) -> float:
        """The standard deviation."""
        return float(np.sqrt(max(self.squares / self.total - self.mean() ** 2, 0.0))) if self.total else 0.0

    def state(self) -> Array:
        """(BINS + 7,) float64: all of it, to be stored."""
        exponent = np.nan if self.exponent is None else float(self.exponent)
        return np.concatenate([[exponent, self.low, self.high, self.total, self.zeros, self.sum, self.squares], self.counts])

    @staticmethod
    def of_state(state: Array) -> Histogram:
        """What ``state`` stored."""
        histogram = Histogram()
        exponent, histogram.low, histogram.high, total, zeros, histogram.sum, histogram.squares = map(float, state[:7])
        histogram.exponent = None if np.isnan(exponent) else int(exponent)
        histogram.total, histogram.zeros, histogram.counts = int(total), int(zeros), state[7:].astype(np.int64)
        return histogram

    def _widen(self, largest: float) -> None:
        """Let the bins reach ``largest``."""
        wanted = int(np.ceil(np.log2(max(largest, 1e-30) * (1 + 1e-6) / (BINS // 2))))
        if self.exponent is None:
            self.exponent = wanted
        while self.exponent < wanted:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[BINS // 4 : BINS // 4 + BINS // 2] = merged
            self.exponent += 1
