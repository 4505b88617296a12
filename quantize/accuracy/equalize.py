"""Cross-layer equalisation: channels of unlike size are evened out, and the network computes what it did.

A positive factor on a channel goes through Relu, pooling or a residual Add, so what one layer's weights are divided by, the next
layer's can be multiplied with. The factor is chosen so that both use their grids equally well: s = sqrt(r1 / r2), with r1 the
largest weight that makes the channel and r2 the largest that reads it (Nagel, van Baalen, Blankevoort, Welling, "Data-free
quantization through weight equalization and bias correction", 2019). Activations profit most: they have one grid for all
channels. Nothing goes through a Clip with an upper end, as in ReLU6, because the end would move from channel to channel.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.accuracy.channels import Channels
from quantize.graph import Graph, Node

__all__ = ["equalize"]

_ROUNDS = 60
_STEP = 0.5  # all classes move at once: half the way each time, or neighbours swing
_SETTLED = 1.01
_WORTH_IT = 10.0  # times that channels of a tensor differ; what differs by less loses as much as it gains


def equalize(graph: Graph) -> tuple[Graph, list[str]]:
    """A graph with the same function (to float rounding) and evener channels, and sentences on what was done; none where there
    was nothing to even out."""
    channels = Channels(graph)
    nodes = channels.weighted()
    if channels.classes < 2 or not nodes:
        return graph, []
    scaled = {node.name: _Scaled(graph, node, channels) for node in nodes}
    before = _spread(scaled.values())
    if before < _WORTH_IT:
        return graph, []
    total = np.ones(channels.classes)
    for _ in range(_ROUNDS):
        factors = _factors(list(scaled.values()), channels.classes) ** _STEP
        total *= factors
        for one in scaled.values():
            one.apply(factors)
        if max(factors.max(), 1 / factors.min()) < _SETTLED:
            break
    made = graph.copy()
    for one in scaled.values():
        one.put(made)
    after = _spread(scaled.values())
    return made, [f"evened out {np.count_nonzero(total != 1)} groups of channels across {len(scaled)} layers: weights that make "
                  f"the channels of one tensor differed up to {before:.0f} times, now {after:.0f} times"]


class _Scaled:
    """A node's weights while factors move through it."""

    def __init__(self, graph: Graph, node: Node, channels: Channels) -> None:
        self._node = node
        self.makes, self.reads = channels.of(node.name), channels.of(node.inputs[0])
        self._weights = _by_channels(node, graph.constants[node.inputs[1]].astype(np.float64))
        self._bias = graph.constants[node.inputs[2]].astype(np.float64)

    @property
    def rows(self) -> Array:
        """(out,) the largest weight that makes each channel."""
        largest: Array = np.abs(self._weights).max((2, 3)).reshape(-1)
        return largest

    @property
    def columns(self) -> Array:
        """(in,) the largest weight that reads each channel."""
        largest: Array = np.abs(self._weights).max((1, 3)).reshape(-1)
        return largest

    def apply(self, factors: Array) -> None:
        """Divide what makes a channel by its factor, multiply what reads it."""
        groups = self._weights.shape[0]
        made, read = factors[self.makes], factors[self.reads]
        self._weights *= read.reshape(groups, 1, -1, 1) / made.reshape(groups, -1, 1, 1)
        self._bias /= made

    def put(self, graph: Graph) -> None:
        node = self._node
        old = graph.constants[node.inputs[1]]
        graph.constants[node.inputs[1]] = _as_node_has(node, self._weights, old.shape).astype(np.float32)
        graph.constants[node.inputs[2]] = self._bias.astype(np.float32)


def _by_channels(node: Node, weights: Array) -> Array:
    """(groups, out, in, kernel) of a node's weights; a copy."""
    groups = node.attributes.get("group", 1)
    by_group: Array = weights.reshape(groups, weights.shape[0] // groups, weights.shape[1], -1)
    return np.array(np.swapaxes(by_group, 1, 2) if node.op == "ConvTranspose" else by_group)


def _as_node_has(node: Node, weights: Array, shape: tuple[int, ...]) -> Array:
    turned: Array = np.swapaxes(weights, 1, 2) if node.op == "ConvTranspose" else weights
    return turned.reshape(shape)


def _factors(nodes: list[_Scaled], classes: int) -> Array:
    """The factor of each class: sqrt(r1 / r2), 1 where it is fixed or weights are 0."""
    made, read = np.zeros(classes), np.zeros(classes)
    for node in nodes:
        np.maximum.at(made, node.makes, node.rows)
        np.maximum.at(read, node.reads, node.columns)
    both = (made > 1e-12) & (read > 1e-12)
    both[0] = False
    return np.where(both, np.sqrt(np.where(both, made, 1.0) / np.where(both, read, 1.0)), 1.0)


def _spread(nodes: Iterable[_Scaled]) -> float:
    """How many times the largest channel of a tensor is the tenth part smallest, at worst."""
    worst = 1.0
    for node in nodes:
        rows = node.rows[(node.makes > 0) & (node.rows > 1e-12)]
        if rows.size > 1:
            worst = max(worst, float(rows.max() / np.quantile(rows, 0.1)))
    return worst
