"""How the values of a float network are distributed, worked out from its weights: each channel as a normal variable.

Means and variances go through linear operators exactly if channels are independent of each other; through an activation they go
by quadrature over the normal distribution. An estimate, for where there are no samples to measure on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.accuracy.regressors import Layer
from quantize.graph import Graph, Node
from quantize.plan import WEIGHTED

__all__ = ["Normal", "expected"]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(96)
_SHARES = _WEIGHTS / _WEIGHTS.sum()


class Normal(NamedTuple):
    """Of a value with channels on axis 1: (C,) means and variances, float64."""

    mean: Array
    variance: Array


def expected(graph: Graph, inputs: Mapping[str, Normal]) -> dict[str, Normal]:
    """The distribution of each value that can be worked out from those of ``inputs``."""
    known = dict(inputs)
    for node in graph.nodes:
        if node.op in WEIGHTED:
            if node.inputs[0] in known and all(map(graph.is_constant, node.inputs[1:])):
                known[node.name] = _linear(graph, node, known[node.inputs[0]])
        elif node.op in _FUNCTIONS and node.inputs[0] in known:
            known[node.name] = _through(_FUNCTIONS[node.op](node.attributes), known[node.inputs[0]])
        else:
            found = _moved(graph, node, known)
            if found is not None:
                known[node.name] = found
    return known


def _linear(graph: Graph, node: Node, x: Normal) -> Normal:
    layer = Layer(graph, node)
    weights = layer.matrix(graph.constants[node.inputs[1]].astype(np.float64))
    places = layer.inputs // (len(x.mean) // layer.groups)
    means, variances = (np.repeat(part.reshape(layer.groups, -1), places, axis=1)[:, :, None] for part in x)
    share = 1.0
    if node.op == "ConvTranspose":  # most of what its columns read are the zeros between values
        share = 1.0 / float(np.prod(node.attributes["strides"]))
    bias = graph.constants[node.inputs[2]].astype(np.float64)
    return Normal((weights @ means).reshape(-1) * share + bias, ((weights**2) @ variances).reshape(-1) * share)


def _through(function: Callable[[Array], Array], x: Normal) -> Normal:
    """The mean and variance of a function of a normal variable."""
    made = function(x.mean[:, None] + np.sqrt(x.variance)[:, None] * _NODES)
    mean = made @ _SHARES
    return Normal(mean, np.maximum((made**2) @ _SHARES - mean**2, 0.0))


def _moved(graph: Graph, node: Node, known: Mapping[str, Normal]) -> Normal | None:
    """Operators that join or move numbers; None for others."""
    varying = [value for value in node.inputs if value and not graph.is_constant(value)]
    if not varying or not all(value in known for value in varying):
        return None
    parts, before, after = [known[value] for value in varying], graph.shapes[varying[0]], graph.shapes[node.name]
    if node.op in ("Add", "Sub") or (node.op == "Concat" and node.attributes["axis"] == 1):
        return _joined(node, parts) if len(parts) == len(node.inputs) else None
    if len(after) < 2 or after[0] != before[0]:
        return None
    if node.op == "Reshape" and len(after) == 2:
        return Normal(*(np.repeat(part, after[1] // len(part)) for part in parts[0]))
    averaged = float(np.prod(before[2:])) if node.op in ("GlobalAveragePool", "ReduceMean") else 1.0
    keeps = node.op in ("MaxPool", "AveragePool", "Resize", "Pad", "GlobalAveragePool", "ReduceMean")
    return Normal(parts[0].mean, parts[0].variance / averaged) if keeps and len(parts[0].mean) == after[1] else None


def _joined(node: Node, parts: list[Normal]) -> Normal | None:
    if node.op == "Concat":
        return Normal(np.concatenate([part.mean for part in parts]), np.concatenate([part.variance for part in parts]))
    if len(parts[0].mean) != len(parts[1].mean):
        return None
    sign = 1.0 if node.op == "Add" else -1.0
    return Normal(parts[0].mean + sign * parts[1].mean, parts[0].variance + parts[1].variance)


def _clip(at: Mapping[str, Any]) -> Callable[[Array], Array]:
    return lambda x: np.clip(x, at["min"], at["max"])


def _sigmoid(x: Array) -> Array:
    half: Array = 0.5 * (1 + np.tanh(x / 2))
    return half


_FUNCTIONS: dict[str, Callable[[Mapping[str, Any]], Callable[[Array], Array]]] = {
    "Relu": lambda at: lambda x: np.maximum(x, 0.0),
    "Clip": _clip,
    "LeakyRelu": lambda at: lambda x: np.where(x < 0, at["alpha"] * x, x),
    "Elu": lambda at: lambda x: np.where(x < 0, at["alpha"] * np.expm1(np.minimum(x, 0)), x),
    "Sigmoid": lambda at: _sigmoid,
    "Tanh": lambda at: np.tanh,
    "HardSigmoid": lambda at: lambda x: np.clip(at["alpha"] * x + at["beta"], 0, 1),
    "HardSwish": lambda at: lambda x: x * np.clip(x / 6 + 0.5, 0, 1)}
