"""Ranges of activations, from histograms that one pass over the samples fills in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.ranges.histogram import Histogram
from quantize.ranges.methods import METHODS, choose

__all__ = ["METHODS", "Histogram", "Observer", "choose", "chosen"]


class Observer:
    """Fills a histogram for each of ``values``, sample by sample.

    ``seen``: samples so far. ``before``: the range of each value after three quarters of ``expected`` samples.
    """

    def __init__(self, graph: Graph, values: Sequence[str], threads: int = 2, expected: int = 0) -> None:
        self._mark = expected - expected // 4
        self._computed = [value for value in values if value not in graph.inputs]
        self._runner = Runner(graph, self._computed, threads)
        self.histograms = {value: Histogram() for value in values}
        self.seen = 0
        self.before: dict[str, tuple[float, float]] = {}

    def add(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """One sample through the float graph; what was computed. Raises ModelError."""
        computed = {**feeds, **self._runner.run(feeds)}
        for value, histogram in self.histograms.items():
            histogram.add(computed[value])
        self.seen += 1
        if self.seen == self._mark:
            self.before = {value: (one.low, one.high) for value, one in self.histograms.items() if one.total}
        return computed

    def state(self) -> dict[str, Array]:
        """All that has been seen, as arrays to be stored."""
        before = np.array([self.before.get(value, (np.nan, np.nan)) for value in self.histograms])
        histograms = {f"histogram/{value}": histogram.state() for value, histogram in self.histograms.items()}
        return {"seen": np.array(self.seen), "before": before, **histograms}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Go on from what ``state`` stored of the same graph and values."""
        self.seen = int(state["seen"])
        self.before = {value: (float(low), float(high)) for value, (low, high) in zip(self.histograms, state["before"], strict=True)
                       if not np.isnan(low)}
        self.histograms = {value: Histogram.of_state(state[f"histogram/{value}"]) for value in self.histograms}


def chosen(histograms: Mapping[str, Histogram], method: str, symmetric: bool = False,
           whole: Collection[str] = ()) -> dict[str, tuple[float, float]]:
    """The range of every value by one method; of those in ``whole`` all that was seen. A network's outputs belong there: the
    largest of them are the answer, not outliers."""
    return {value: choose(histogram, "minmax" if value in whole else method, symmetric)
            for value, histogram in histograms.items()}
