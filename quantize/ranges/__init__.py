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
    """Fills a histogram for each of ``values`` (and notes how long ranges grew), sample by sample.

    ``seen``: samples so far. ``grown``: for each of the last samples, the share of values whose range grew by over 1 %.
    """

    def __init__(self, graph: Graph, values: Sequence[str], threads: int = 2) -> None:
        self._computed = [value for value in values if value not in graph.inputs]
        self._runner = Runner(graph, self._computed, threads)
        self.histograms = {value: Histogram() for value in values}
        self.seen = 0
        self.grown: list[float] = []

    def add(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """One sample through the float graph; what was computed. Raises ModelError."""
        computed = {**feeds, **self._runner.run(feeds)}
        growing = [histogram.add(computed[value]) for value, histogram in self.histograms.items()]
        self.seen += 1
        self.grown.append(sum(growing) / max(len(growing), 1))
        return computed

    def state(self) -> dict[str, Array]:
        """All that has been seen, as arrays to be stored."""
        return {"seen": np.array(self.seen), "grown": np.array(self.grown),
                **{f"histogram/{value}": histogram.state() for value, histogram in self.histograms.items()}}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Go on from what ``state`` stored of the same graph and values."""
        self.seen, self.grown = int(state["seen"]), [float(share) for share in state["grown"]]
        self.histograms = {value: Histogram.of_state(state[f"histogram/{value}"]) for value in self.histograms}


def chosen(histograms: Mapping[str, Histogram], method: str, symmetric: bool = False,
           whole: Collection[str] = ()) -> dict[str, tuple[float, float]]:
    """The range of every value by one method; of those in ``whole`` all that was seen. A network's outputs belong there: the
    largest of them are the answer, not outliers."""
    return {value: choose(histogram, "minmax" if value in whole else method, symmetric)
            for value, histogram in histograms.items()}
