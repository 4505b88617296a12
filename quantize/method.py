"""How a prepared network is quantised once a choice is made: ranges, plan, and the integers of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.tensor import Array
from quantize.accuracy.bias import correct_bias
from quantize.accuracy.equalize import equalize
from quantize.accuracy.rounding import reconstruct
from quantize.accuracy.sensitivity import rank
from quantize.dataset import tensors
from quantize.graph import Graph
from quantize.grid import Quantized
from quantize.ladder import Choice
from quantize.pixels import pixel_grid
from quantize.plan import plan
from quantize.progress import Progress
from quantize.ranges import Observer, chosen
from quantize.recipe import Recipe
from quantize.rules import Rules
from quantize.setting import Setting

__all__ = ["Method", "prepared"]

_RECONSTRUCTED = 64  # samples that the search for integers looks at
_RANKED = 12


def prepared(graph: Graph, recipe: Recipe) -> tuple[Graph, list[str]]:
    """The float graph as it is observed and quantised, and what was done to it, in sentences."""
    if not recipe.equalize:
        return graph, ["not equalised, as asked"]
    graph, done = equalize(graph)
    return graph, done or ["nothing to equalise across layers"]


class Method:
    """A float graph, what was observed of it, and the recipe; used by one thread."""

    def __init__(self, graph: Graph, observer: Observer, setting: Setting, recipe: Recipe, rules: Rules,
                 progress: Progress) -> None:
        self.graph, self._observer, self._setting = graph, observer, setting
        self._recipe, self._rules, self._progress = recipe, rules, progress

    def make(self, choice: Choice) -> Quantized:
        """The quantised graph of a choice."""
        ranges = chosen(self._observer.histograms, choice.ranges, self._rules.symmetric,
                        whole=[*self.graph.inputs, *self.graph.outputs])
        spec = self._setting.spec
        inputs = {self.graph.inputs[0]: pixel_grid(spec)} if isinstance(spec, ImageSpec) else {}
        quantized = plan(self.graph, ranges, self._rules, choice.excluded, choice.wide, inputs)
        if self._recipe.rounding == "reconstruct":
            return reconstruct(quantized, self.graph, _Feeds(self._setting, _RECONSTRUCTED), self._progress, self._recipe.threads)
        if self._recipe.correct_bias:
            return correct_bias(quantized, self.graph, _Feeds(self._setting, _RECONSTRUCTED), self._progress, self._recipe.threads)
        return quantized

    def ranking(self, quantized: Quantized) -> Sequence[str]:
        """Names of nodes, that whose rounding hurts the outputs most first."""
        return rank(quantized, self.graph, _Feeds(self._setting, _RANKED), quick=True)


class _Feeds:
    """At most so many calibration samples, spread evenly, as float tensors; anew each time they are walked."""

    def __init__(self, setting: Setting, most: int) -> None:
        data = setting.calibration
        self._tensors = tensors(data.split(min(most, len(data)))[0], setting.spec, setting.inputs)

    def __len__(self) -> int:
        return len(self._tensors)

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for _, feeds in self._tensors:
            yield feeds
