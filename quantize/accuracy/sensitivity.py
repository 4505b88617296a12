"""Which layers' rounding hurts the outputs most: each is rounded alone, all else stays float.

How much noisier a layer's output is than its input would be cheaper to see, but says little: most noise never reaches the outputs,
and the worst is amplified on its way. So the network is run for each layer, on few samples.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.accuracy.twins import Feeds, Samples
from quantize.graph import Graph, Node
from quantize.graph.execute import Runner
from quantize.grid import Quantized
from quantize.plan import MOVING, fused_values
from quantize.progress import Progress, Silent
from quantize.qdq import explicit

__all__ = ["Sensitivity", "rank", "sensitivities"]

_QUICK = 3


class Sensitivity(NamedTuple):
    """``noise``: power of the outputs' error over their own, where only ``node`` is rounded."""

    node: str
    noise: float

    @property
    def sqnr_db(self) -> float:
        return float(-10 * np.log10(max(self.noise, 1e-20)))


def rank(quantized: Quantized, graph: Graph, samples: Samples, quick: bool = False) -> list[str]:
    """Names of nodes that compute in integers, the most harmful first. ``quick``: on the first samples alone."""
    return [one.node for one in sensitivities(quantized, graph, samples, quick)]


def sensitivities(quantized: Quantized, graph: Graph, samples: Samples, quick: bool = False,
                  progress: Progress | None = None, threads: int = 2) -> list[Sensitivity]:
    """The noise of each node that computes in integers, most first. ``graph``: the float graph that ``quantized`` was planned
    from. A dozen samples tell enough; ``quick`` takes three. Raises ModelError, and what the samples raise."""
    nodes = _candidates(quantized)
    found = _alone(quantized, graph, nodes, list(islice(samples, _QUICK if quick else None)), progress or Silent(), threads)
    return sorted(found, key=lambda one: -one.noise)  # stable: of equals the first in the network


def _candidates(quantized: Quantized) -> list[Node]:
    """Nodes whose own rounding matters: not those that only move numbers, nor the Relu or Clip inside another operator."""
    fused = set(fused_values(quantized.graph, quantized.graph.nodes).values())
    return [node for node in quantized.graph.nodes
            if node.op not in MOVING and node.name not in fused and node.name not in quantized.excluded
            and _output(quantized, node) in quantized.activations
            and any(value in quantized.activations for value in node.inputs)]


def _output(quantized: Quantized, node: Node) -> str:
    """The value that holds a node's result: behind the activation where that is fused."""
    return fused_values(quantized.graph, [*quantized.graph.nodes]).get(node.name, node.name)


def _alone(quantized: Quantized, graph: Graph, nodes: list[Node], feeds: list[Feeds], progress: Progress,
           threads: int) -> list[Sensitivity]:
    reference = Runner(graph, threads=threads)
    wanted = [reference.run(one) for one in feeds]
    power = _power(wanted)
    found = []
    for node in progress.count(nodes, len(nodes), "layers rounded alone"):
        values = {*node.inputs, _output(quantized, node)}
        only = Quantized(quantized.graph, {value: grid for value, grid in quantized.activations.items() if value in values},
                         {name: stored for name, stored in quantized.constants.items() if name in values})
        # unoptimised: ONNX Runtime would round the weights of other layers that stand between rounded values
        runner = Runner(explicit(only), threads=threads, optimize=False)
        noise = sum(_error(runner.run(one), answer, power) for one, answer in zip(feeds, wanted, strict=True))
        found.append(Sensitivity(node.name, noise / len(power)))
    return found


def _power(answers: list[dict[str, Array]]) -> dict[str, float]:
    return {name: max(sum(float(np.square(answer[name], dtype=np.float64).sum()) for answer in answers), 1e-30)
            for name in answers[0]}


def _error(made: Feeds, wanted: Feeds, power: dict[str, float]) -> float:
    """Summed over the outputs, each relative to its own power: a small output counts as much as a large one."""
    return sum(float(np.square(made[name].astype(np.float64) - wanted[name]).sum()) / power[name] for name in power)
