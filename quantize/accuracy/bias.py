"""Bias correction: what rounding adds to a layer's outputs on average is taken out of its biases.

Rounding shifts the mean of an output by (W' E[q] - W E[f]), with W and f the weights and inputs of the float network, W' and q
those of the quantised one (Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019).
``correct_bias`` measures the means on samples, layer by layer; ``expect_bias`` works them out from statistics of the input.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.accuracy.regressors import Layer, Moments
from quantize.accuracy.rounding import put_bias, rounded_layers
from quantize.accuracy.statistics import Normal, expected
from quantize.accuracy.twins import Samples, Twins
from quantize.graph import Graph, Node
from quantize.grid import Quantized
from quantize.progress import Progress, Silent

__all__ = ["correct_bias", "expect_bias"]

_POSITIONS = 256


def correct_bias(quantized: Quantized, graph: Graph, samples: Samples, progress: Progress | None = None,
                 threads: int = 2) -> Quantized:
    """``quantized`` with better biases; its weights and grids stay. Empirical: each layer sees what the corrected layers
    before it make. ``graph``: the float graph that it was planned from. Deterministic. Raises ModelError, and what the samples
    raise."""
    progress = progress or Silent()
    result = _copy(quantized)
    originals = graph.producers()
    layers = rounded_layers(result)
    twins = Twins(graph, result, samples, threads)
    for node in progress.count(layers, len(layers), "biases corrected"):
        moments = Moments(Layer(graph, node), _POSITIONS, second=False)
        for reals, rounded in twins.inputs_of(node):
            moments.add(reals, rounded)
        _shift(result, graph, originals[node.name], moments.mean_float, moments.mean)
    return result


def expect_bias(quantized: Quantized, graph: Graph, inputs: Mapping[str, Normal]) -> Quantized:
    """``quantized`` with better biases, without samples. Analytic: ``inputs`` says how each graph input is distributed, and
    how all else is follows from the float weights; layers behind an operator of which that is not known stay as they are."""
    result = _copy(quantized)
    originals = graph.producers()
    known = expected(graph, inputs)
    for node in rounded_layers(result):
        if node.inputs[0] in known:
            means = known[node.inputs[0]].mean
            columns = _each_column(Layer(graph, node), means)
            _shift(result, graph, originals[node.name], columns, columns)
    return result


def _each_column(layer: Layer, means: Array) -> Array:
    """(groups, inputs): the mean of each channel at all places of the kernel."""
    return np.repeat(means.reshape(layer.groups, -1), layer.inputs // (len(means) // layer.groups), axis=1)


def _shift(result: Quantized, graph: Graph, node: Node, floats: Array, rounded: Array) -> None:
    """Change a node's bias by what its output's mean is off. ``floats``, ``rounded``: (groups, inputs) means of its columns."""
    layer = Layer(graph, node)
    weights = layer.matrix(graph.constants[node.inputs[1]].astype(np.float64))
    stored = result.constants[node.inputs[1]]
    integers = layer.matrix(stored.grid.dequantize(stored.values).astype(np.float64))
    off = (integers @ rounded[:, :, None] - weights @ floats[:, :, None])[:, :, 0]
    bias = graph.constants[node.inputs[2]].astype(np.float64) - off.reshape(-1)
    put_bias(result, next(one for one in result.graph.nodes if one.name == node.name), bias)


def _copy(quantized: Quantized) -> Quantized:
    return Quantized(quantized.graph.copy(), dict(quantized.activations), dict(quantized.constants), quantized.excluded)
