"""What every metric is: it takes samples one by one, keeps a few numbers of each, and gives one figure with its interval."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from edgeinfer.errors import DataError
from edgeinfer.model.tensor import Array
from quantize.metrics.intervals import percentiles, resamples

__all__ = ["Better", "Figure", "Metric"]

Better = Literal["higher", "lower"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A measured number: ``low`` to ``high`` is its 95 % interval, None where there is none (a largest error has none).

    ``unit``: "%", "points" (a difference of percentages), "dB", "nats", "LSB", or "" for a plain number. ``count``: samples.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    better: Better = "higher"
    count: int = 0


class Metric:
    """A figure that is a function of sums over samples (a ratio of sums, a mean): all that a subclass says is what a sample
    contributes (``parts``) and what the figure is of the sums (``statistic``).

    The interval is a percentile bootstrap over samples unless a subclass knows better. Metrics of the same number of samples
    draw the same resamples, so the difference of two that saw the same samples is a paired one.
    """

    name: str
    unit: str = ""
    better: Better = "higher"
    draws = 1000

    def __init__(self) -> None:
        self._rows: list[Array] = []

    @property
    def count(self) -> int:
        """Samples so far."""
        return len(self._rows)

    def add(self, expected: Any, got: Any) -> None:
        """One sample: what is right (or what float says), and what was answered."""
        self._rows.append(np.asarray(self.parts(expected, got), np.float64))

    def result(self) -> Figure:
        """The figure over all samples. Raises DataError when there are none, or none that count."""
        value = self.value()
        low, high = self.interval()
        return Figure(name=self.name, value=value, low=low, high=high, unit=self.unit, better=self.better, count=self.count)

    def value(self) -> float:
        """The figure without its interval. Raises as ``result``."""
        if not self.count:
            raise DataError(self.name, "at least one sample", "none")
        value = float(self.values(np.ones((1, self.count)))[0])
        if not np.isfinite(value):
            raise DataError(self.name, f"{self.needs} among the {self.count} samples", "none",
                            "give samples that have it, or leave this metric out")
        return value

    needs = "a sample that counts"

    def interval(self) -> tuple[float | None, float | None]:
        """Ends of the 95 % interval. Raises as ``result``."""
        return self.span(self.value(), self.resampled())

    def span(self, value: float, resampled: Array) -> tuple[float, float]:
        """The interval around ``value``, a figure or a difference of two, from what the resamples gave."""
        low, high = percentiles(resampled)
        return min(low, value), max(high, value)

    def resampled(self) -> Array:
        """(draws,): the figure of each resample of the samples; NaN where a resample holds nothing that counts."""
        return np.concatenate([self.values(weights) for weights in resamples(self.count, self.draws)])

    def values(self, weights: Array) -> Array:
        """(draws,): the figure for each row of ``weights`` (draws, samples): how often each sample counts."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.statistic(weights @ np.stack(self._rows))

    def parts(self, expected: Any, got: Any) -> Any:
        """The numbers that one sample adds to the sums."""
        raise NotImplementedError

    def statistic(self, sums: Array) -> Array:
        """(draws,) figures of (draws, parts) sums."""
        raise NotImplementedError
