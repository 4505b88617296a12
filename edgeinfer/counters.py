"""Counters and latency histograms that never grow: allocated once, written by one thread, read by any."""

from __future__ import annotations

__all__ = ["Latency"]

_SUB = 16  # buckets an octave: a bucket is at most 6.25 % wide
_OCTAVES = 36  # up to 2**36 ns, a little over a minute


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
