"""Integers for all weights, layer by layer, so that each layer's output stays what it is in the float network.

Layers are visited in order. A layer of the quantised network reads q where that of the float network reads f, because all layers
before it are rounded by now. So first the real weights v are found that best make W f of q (regression towards W, so
that few samples do not mislead), then integers that best keep v q (``integers``), then the bias that makes up for the means.
That later layers mend what earlier ones broke is the asymmetric calibration of Li et al., "GPTAQ", 2025.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.accuracy.integers import search
from quantize.accuracy.regressors import Layer, Moments
from quantize.accuracy.twins import Samples, Twins
from quantize.graph import Graph, Node
from quantize.grid import Grid, Quantized, Stored
from quantize.plan import WEIGHTED, store_bias
from quantize.progress import Progress, Silent

__all__ = ["put_bias", "reconstruct", "rounded_layers"]

_ROWS = 16384  # positions that a layer's moments are made of, from all samples together
_RIDGE = 2.0  # pull of the regression towards the float weights, in mean variances of the columns; more helps where samples are few
_DAMPING = 0.01  # as in GPTQ's paper


def reconstruct(quantized: Quantized, graph: Graph, samples: Samples, progress: Progress | None = None,
                threads: int = 2) -> Quantized:
    """``quantized`` with better integers of its weights, and biases to match; grids of activations stay.

    ``graph``: the float graph that it was planned from. ``samples``: inputs by name, walked several times; some dozens of them.
    Deterministic. Raises ModelError, and what the samples raise.
    """
    progress = progress or Silent()
    result = Quantized(quantized.graph.copy(), dict(quantized.activations), dict(quantized.constants), quantized.excluded)
    originals = graph.producers()
    layers = rounded_layers(result)
    most = max((int(np.abs(result.constants[node.inputs[1]].values).max(initial=1)) for node in layers), default=127)
    per_sample = max(1, _ROWS // max(1, len(samples)))
    twins = Twins(graph, result, samples, threads)
    for node in progress.count(layers, len(layers), "weights rounded"):
        layer = Layer(graph, node)
        moments = Moments(layer, per_sample)
        for reals, rounded in twins.inputs_of(node):
            moments.add(reals, rounded)
        bias = graph.constants[originals[node.name].inputs[2]].astype(np.float64)
        _settle(result, layer, moments, bias, most)
    return result


def rounded_layers(quantized: Quantized) -> list[Node]:
    """Nodes in order whose weights are integers and theirs alone."""
    readers = quantized.graph.consumers()
    return [node for node in quantized.graph.nodes
            if node.op in WEIGHTED and node.inputs[1] in quantized.constants and node.inputs[0] in quantized.activations
            and node.name not in quantized.excluded and len(readers[node.inputs[1]]) == 1]


class _Found(NamedTuple):
    integers: Array
    scale: Array  # (groups, outputs)


def _settle(result: Quantized, layer: Layer, moments: Moments, bias: Array, most: int) -> None:
    """Put the best integers of a layer, and the bias that goes with them, into the result."""
    node = layer.node
    before = result.constants[node.inputs[1]].grid
    weights = layer.matrix(result.graph.constants[node.inputs[1]].astype(np.float64))
    biases = layer.rows(bias)
    floor = np.abs(biases) / (float(result.activations[node.inputs[0]].scale[0]) * 2**30)
    found = _search(weights, moments, before.scale.size > 1, floor, most)
    made = found.integers * found.scale[:, :, None]
    biases = biases + (weights @ moments.mean_float[:, :, None] - made @ moments.mean[:, :, None])[:, :, 0]
    scale = found.scale.reshape(-1).astype(np.float32)[: before.scale.size]
    grid = Grid(before.dtype, scale, np.zeros(scale.shape, np.int64), before.axis)
    stored = np.ascontiguousarray(layer.weights(found.integers).astype(before.dtype))
    result.constants[node.inputs[1]] = Stored(stored, grid)
    put_bias(result, node, biases.reshape(-1))


def put_bias(result: Quantized, node: Node, bias: Array) -> None:
    """A node's bias, as integers where it is stored so, else as float32."""
    if node.inputs[2] in result.constants:
        store_bias(result, node, bias)
    else:
        result.graph.constants[node.inputs[2]] = bias.astype(np.float32)


def _search(weights: Array, moments: Moments, per_output: bool, floor: Array, most: int) -> _Found:
    """``floor``: the least scale of each output, below which its bias overflows."""
    own = moments.own
    variance = np.einsum("gkk->gk", own).mean(1) + 1e-12
    eye = np.eye(own.shape[1])
    wanted = _regress(weights, own, moments.cross, eye * (_RIDGE * variance)[:, None, None])
    damped = own + eye * (_DAMPING * variance)[:, None, None]
    largest = np.abs(wanted).max(2)
    scale = np.where(largest > 0, largest / most, 1.0 / most)
    scale = np.maximum(np.maximum(scale, floor), 1e-12)
    if not per_output:
        scale = np.full_like(scale, scale.max())
    scale = scale.astype(np.float32).astype(np.float64)  # as it will be stored
    return _Found(search(wanted, scale, damped, most), scale)


def _regress(weights: Array, own: Array, cross: Array, ridge: Array) -> Array:
    """The real weights that best make of the quantised network's columns what ``weights`` make of the float network's."""
    solved = np.linalg.solve(own + ridge, (weights @ (cross + ridge)).transpose(0, 2, 1))
    found: Array = solved.transpose(0, 2, 1)
    return found

