"""What the first layer makes of the input: its biases beside its signal.

A layer that was trained (with a BatchNormalization that is folded into it, or without) adds biases of about the size of the
deviation of what it computes from its inputs: 0.4 to 2.2 of it on the nets that this was measured on. Both grow with the
weights' scale, so that their quotient only changes with the input's: pixels of 0 to 255 in place of -1 to 1 make it some
hundredth, and the other way round a hundred.

Without BatchNormalization biases stay near where they began, near 0, and tell nothing: one in ten of them was then 0.18 of its
channel's weights (their Euclidean norm) or more, and 1 to many thousand of them with it.
"""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph
from quantize.judging.channels import Channels

__all__ = ["USUAL", "FirstLayer", "deviation_from_usual", "first_layer"]

USUAL = 0.9
_LEAST_FITTED = 0.3  # of a channel's weights, exceeded by one bias in ten
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")


class FirstLayer:
    """The value ``name`` of a graph, and the biases in it."""

    def __init__(self, name: str, bias: Array) -> None:
        self.name = name
        self.bias = np.abs(bias.astype(np.float64))

    def channels(self, value: Array) -> Array:
        """(elements, channels) of the value (n, channels, …)."""
        return np.moveaxis(value, 1, -1).reshape(-1, value.shape[1])

    def quotient(self, seen: Channels) -> float:
        """The median over the channels of bias by deviation; 0 where there are no biases, infinite where nothing varies."""
        alive = seen.deviation > 1e-12
        return float(np.median(self.bias[alive] / seen.deviation[alive])) if alive.any() else math.inf


def first_layer(graph: Graph) -> FirstLayer | None:
    """The first layer that multiplies the (first) input by weights; None where it has no biases to compare with."""
    reached = set(graph.inputs[:1])
    for node in graph.nodes:
        if not reached.intersection(node.inputs):
            continue
        if node.op in _WEIGHTED:
            bias = graph.constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
            weights = graph.constants.get(node.inputs[1])
            if bias is None or weights is None or not _fitted(bias, weights, 1 if node.op == "ConvTranspose" else 0):
                return None
            return FirstLayer(node.name, bias)
        reached.update(node.outputs)
    return None


def _fitted(bias: Array, weights: Array, axis: int) -> bool:
    """Whether the biases are those of a BatchNormalization, by their size beside the weights'."""
    if weights.shape[axis] != bias.size or not np.any(bias):  # a ConvTranspose of groups
        return False
    norms = np.linalg.norm(np.moveaxis(weights, axis, 0).reshape(bias.size, -1).astype(np.float64), axis=1)
    return float(np.percentile(np.abs(bias) / np.maximum(norms, 1e-12), 90)) >= _LEAST_FITTED


def deviation_from_usual(quotient: float) -> float:
    """In factors of e, either way."""
    return abs(math.log(min(max(quotient, 1e-6), 1e6) / USUAL))
