"""Activation functions written as arithmetic, recognised by their values.

Exporters and people write Gelu and HardSwish in a dozen orders, so it is not the order that counts. Where everything
between two values is arithmetic on single numbers with scalar constants, the one is a function of the other. That function
is computed at many points: if its values are those of a known one, it is that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node

__all__ = ["recognise_activations"]

_POINTS = np.concatenate([np.linspace(-12, 12, 1921), [-50.0, -20.0, 20.0, 50.0]])
_CLOSE = 1e-5  # constants are written with six digits or more; the two forms of Gelu differ by 5e-4
_MOST_NODES = 16
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def _clip(x: Array, min: float, max: float) -> Array:
    return np.minimum(np.maximum(x, min), max)


_COMPUTE: Mapping[str, Callable[..., Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power, "Min": np.minimum,
    "Max": np.maximum, "Erf": _ERF, "Tanh": np.tanh, "Exp": np.exp, "Neg": np.negative, "Reciprocal": lambda a: 1 / a,
    "Sqrt": np.sqrt, "Abs": np.abs, "Sigmoid": lambda a: 1 / (1 + np.exp(-a)), "Relu": lambda a: np.maximum(a, 0),
    "Greater": np.greater, "Less": np.less, "GreaterOrEqual": np.greater_equal, "LessOrEqual": np.less_equal,
    "Where": np.where, "Log": np.log, "Softplus": lambda a: np.logaddexp(a, 0), "Clip": _clip,
    "HardSigmoid": lambda a, alpha, beta: _clip(alpha * a + beta, 0, 1),
}
_MARKS = frozenset({"Where", "Erf", "Tanh", "Exp", "Clip", "HardSigmoid", "Relu", "Max", "Min"})  # no known function is without one
_KNOWN: list[tuple[str, dict[str, Any], Array]] = []


def _known() -> list[tuple[str, dict[str, Any], Array]]:
    """The known functions with their values."""
    if not _KNOWN:
        x = _POINTS
        cube = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        _KNOWN.extend([
            ("Gelu", {"approximate": "none"}, 0.5 * x * (1 + _ERF(x / math.sqrt(2)))),
            ("Gelu", {"approximate": "tanh"}, 0.5 * x * (1 + np.tanh(cube))),
            ("HardSwish", {}, x * _clip(x + 3, 0, 6) / 6),
            ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, _clip(x + 3, 0, 6) / 6),
            ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}, _clip(0.2 * x + 0.5, 0, 1)),
            ("Sigmoid", {}, 1 / (1 + np.exp(-x))),
            ("Relu", {}, np.maximum(x, 0)),
            ("Softplus", {}, np.logaddexp(x, 0)),
            ("Elu", {"alpha": 1.0}, np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
        ])
    return _KNOWN


def recognise_activations(graph: Graph) -> None:
    """Put the known functions, LeakyRelu and Clip in the place of their parts."""
    order = {node.name: place for place, node in enumerate(graph.nodes)}
    producers = graph.producers()
    for node in graph.nodes:
        if _arithmetic(graph, node):
            _recognise(graph, node, producers, order)
            _as_clip(graph, node, producers)


def _recognise(graph: Graph, end: Node, producers: Mapping[str, Node], order: Mapping[str, int]) -> None:
    """Go back from ``end``, always over the latest node, and look at each value that all of it depends on."""
    pending, inside = {end.name}, list[Node]()
    while pending and len(inside) < _MOST_NODES:
        latest = max(pending, key=lambda value: order.get(value, -1))
        node = producers.get(latest)
        if node is None or not _arithmetic(graph, node):
            return
        inside.append(node)
        pending.remove(latest)
        pending |= {value for value in node.inputs if not graph.is_constant(value)}
        if len(pending) == 1 and len(inside) > 1 and not _MARKS.isdisjoint(node.op for node in inside):
            x = next(iter(pending))
            found = _named(_values(graph, inside[::-1], x))
            if found and graph.shapes[x] == graph.shapes[end.name]:
                end.op, end.inputs, end.attributes = found[0], [x], dict(found[1])
                return


def _arithmetic(graph: Graph, node: Node) -> bool:
    """On single numbers, every constant a scalar, nothing broadcast."""
    if node.op not in _COMPUTE or graph.dtypes[node.name] not in ("float32", "bool"):
        return False
    return all(graph.constants[value].size == 1 if graph.is_constant(value) else True for value in node.inputs)


def _values(graph: Graph, nodes: list[Node], x: str) -> Array:
    """The last node's output where ``x`` is each of the points."""
    known: dict[str, Array] = {x: _POINTS}
    with np.errstate(all="ignore"):
        for node in nodes:
            inputs = [known[value] if value in known else float(graph.constants[value].reshape(()))
                      for value in node.inputs]
            known[node.name] = _COMPUTE[node.op](*inputs, **node.attributes)
    return known[nodes[-1].name]


def _named(values: Array) -> tuple[str, dict[str, Any]] | None:
    for op, attributes, wanted in _known():
        if np.allclose(values, wanted, rtol=_CLOSE, atol=_CLOSE):
            return op, attributes
    slope = float(np.interp(-1.0, _POINTS[:1921], -values[:1921]))
    if 0 < slope < 1 and np.allclose(values, np.where(_POINTS > 0, _POINTS, slope * _POINTS), rtol=_CLOSE, atol=_CLOSE):
        return "LeakyRelu", {"alpha": float(np.float32(slope))}
    return None


def _as_clip(graph: Graph, node: Node, producers: Mapping[str, Node]) -> None:
    """Min and Max with a scalar, and a Clip or Relu after another, as one Clip."""
    if node.op in ("Min", "Max"):
        varying = [value for value in node.inputs if not graph.is_constant(value)]
        if len(varying) != 1 or graph.shapes[varying[0]] != graph.shapes[node.name]:
            return
        limit = float(next(graph.constants[value] for value in node.inputs if graph.is_constant(value)).reshape(()))
        node.attributes = {"min": limit, "max": np.inf} if node.op == "Max" else {"min": -np.inf, "max": limit}
        node.op, node.inputs = "Clip", varying
    if node.op not in ("Clip", "Relu"):
        return
    low, high = _limits(node)
    inner = producers.get(node.inputs[0])
    if inner is not None and inner.op in ("Clip", "Relu"):
        (inner_low, inner_high), node.inputs = _limits(inner), list(inner.inputs)
        low, high = min(max(low, inner_low), high), max(min(high, inner_high), low)
    relu = (low, high) == (0, np.inf)
    node.op, node.attributes = ("Relu", {}) if relu else ("Clip", {"min": low, "max": high})


def _limits(node: Node) -> tuple[float, float]:
    return (0.0, np.inf) if node.op == "Relu" else (node.attributes["min"], node.attributes["max"])
