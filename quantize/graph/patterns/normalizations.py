"""LayerNormalization, InstanceNormalization and Softmax written as arithmetic.

What the first two share is d / sqrt(mean(d^2) + epsilon) with d = x - mean(x); the sides of the mean tell which it is. The
Mul and Add after it are its scale and bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node

__all__ = ["recognise_normalizations"]


def recognise_normalizations(graph: Graph) -> None:
    """Put normalisations in the place of their parts."""
    parts = _Parts(graph, graph.producers(), graph.consumers())
    nodes: list[Node] = []
    for node in graph.nodes:
        made = _softmax(parts, node) or _normalization(parts, node)
        if made is not None:
            parts.producers.update({output: new for new in made for output in new.outputs})
        nodes += [node] if made is None else made
    graph.nodes = nodes


@dataclass
class _Parts:
    graph: Graph
    producers: dict[str, Node]
    consumers: Mapping[str, list[Node]]

    def of(self, value: str, *ops: str) -> Node | None:
        node = self.producers.get(value)
        return node if node is not None and node.op in ops else None

    def scalar(self, value: str) -> float | None:
        array = self.graph.constants.get(value)
        return float(array.reshape(())) if array is not None and array.size == 1 else None

    def mean(self, value: str) -> tuple[str, list[int]] | None:
        """(x, axes) of a value that is x's mean, sides kept."""
        node = self.of(value, "ReduceMean", "GlobalAveragePool")
        if node is None:
            return None
        if node.op == "GlobalAveragePool":
            return node.inputs[0], list(range(2, len(self.graph.shapes[value])))
        return (node.inputs[0], node.attributes["axes"]) if node.attributes["keepdims"] else None


def _normalization(parts: _Parts, node: Node) -> list[Node] | None:
    """From the division on, so that it is recognised with or without scale and bias."""
    found = _centred(parts, node)
    if found is None:
        return None
    x, axes, epsilon = found
    graph, last = parts.graph, node
    scale, bias = np.ones(1, np.float32), np.zeros(1, np.float32)
    for op in ("Mul", "Add"):
        after = parts.consumers.get(last.name, [])
        if len(after) != 1 or after[0].op != op or last.name in graph.outputs:
            break
        array = next((graph.constants[value] for value in after[0].inputs if graph.is_constant(value)), None)
        if array is None or graph.shapes[after[0].name] != graph.shapes[x] or not _fits(array, graph.shapes[x], axes):
            break
        scale, bias = (array, bias) if op == "Mul" else (scale, array)
        last = after[0]
    made = _made(graph, last.name, x, axes, epsilon, (scale, bias))
    if made is not None:  # it stands where the division stood; what came after that makes nothing any more
        last.outputs = [graph.add_value(f"{last.name}/gone", graph.shapes[x])]
    return made


def _made(graph: Graph, name: str, x: str, axes: list[int], epsilon: float,
          affine: tuple[Array, Array]) -> list[Node] | None:
    """The nodes that make ``name``."""
    shape = graph.shapes[x]
    rank, spatial = len(shape), axes == list(range(2, len(shape)))

    def constants(arrays: list[Array]) -> list[str]:
        return [graph.add_constant(f"{name}/{what}", array) for what, array in zip(("scale", "bias"), arrays, strict=True)]

    inner = [array for array in (_inner(array, shape, axes) for array in affine) if array is not None]
    outer = [array for array in (_channels(array, shape) for array in affine) if array is not None]
    if axes == list(range(rank - len(axes), rank)) and len(inner) == 2 and not (spatial and rank > 3):
        return [Node("LayerNormalization", [x, *constants(inner)], [name], {"axis": rank - len(axes), "epsilon": epsilon})]
    if spatial and len(outer) == 2:
        return [Node("InstanceNormalization", [x, *constants(outer)], [name], {"epsilon": epsilon})]
    if axes == [1] and len(outer) == 2:
        return _over_channels(graph, name, x, epsilon, constants(outer))
    return None


def _over_channels(graph: Graph, name: str, x: str, epsilon: float, affine: list[str]) -> list[Node]:
    """Over the channels of each pixel: with the channels last it is a LayerNormalization."""
    shape = graph.shapes[x]
    perm = [0, *range(2, len(shape)), 1]
    back = [perm.index(side) for side in range(len(shape))]
    sides = [shape[side] for side in perm]
    turned, normal = graph.add_value(f"{name}/channels_last", sides), graph.add_value(f"{name}/normal", sides)
    return [Node("Transpose", [x], [turned], {"perm": perm}),
            Node("LayerNormalization", [turned, *affine], [normal], {"axis": len(shape) - 1, "epsilon": epsilon}),
            Node("Transpose", [normal], [name], {"perm": back})]


def _centred(parts: _Parts, node: Node) -> tuple[str, list[int], float] | None:
    """(x, axes, epsilon) where the node computes d / sqrt(mean(d^2) + epsilon)."""
    if node.op not in ("Div", "Mul"):
        return None
    for d, other in (node.inputs, node.inputs[::-1]):
        root = other
        if node.op == "Mul":
            inverse = parts.of(other, "Reciprocal", "Pow")
            if inverse is None or (inverse.op == "Pow" and parts.scalar(inverse.inputs[1]) != -0.5):
                continue
            variance = inverse.inputs[0] if inverse.op == "Pow" else None
            root = inverse.inputs[0]
        else:
            variance = None
        variance = variance or _under_root(parts, root)
        found = _variance(parts, variance, d) if variance else None
        if found:
            return found
        if node.op == "Div":
            break
    return None


def _under_root(parts: _Parts, root: str) -> str | None:
    node = parts.of(root, "Sqrt", "Pow")
    if node is None or (node.op == "Pow" and parts.scalar(node.inputs[1]) != 0.5):
        return None
    return node.inputs[0]


def _variance(parts: _Parts, value: str, d: str) -> tuple[str, list[int], float] | None:
    total, centre = parts.of(value, "Add"), parts.of(d, "Sub")
    if total is None or centre is None:
        return None
    mean_of_x = parts.mean(centre.inputs[1])
    epsilon = next((number for number in map(parts.scalar, total.inputs) if number is not None), None)
    mean_of_squares = next((found for found in map(parts.mean, total.inputs) if found), None)
    if mean_of_x is None or mean_of_squares is None or epsilon is None or not 0 <= epsilon < 1:
        return None
    squares = parts.of(mean_of_squares[0], "Pow", "Mul")
    squared = squares is not None and _is_square_of(parts, squares, d)
    same = mean_of_x == (centre.inputs[0], mean_of_squares[1])
    return (centre.inputs[0], mean_of_squares[1], epsilon) if squared and same else None


def _is_square_of(parts: _Parts, node: Node, d: str) -> bool:
    """Of d, or of a second x - mean(x), as some exporters compute it twice."""
    bases = set(node.inputs[:1] if node.op == "Pow" else node.inputs)
    if len(bases) != 1 or (node.op == "Pow" and parts.scalar(node.inputs[1]) != 2):
        return False
    base = bases.pop()
    other, centre = parts.of(base, "Sub"), parts.of(d, "Sub")
    if base == d:
        return True
    return (other is not None and centre is not None and other.inputs[0] == centre.inputs[0]
            and parts.mean(other.inputs[1]) == parts.mean(centre.inputs[1]))


def _fits(array: Array, shape: tuple[int, ...], axes: list[int]) -> bool:
    return _inner(array, shape, axes) is not None or _channels(array, shape) is not None


def _inner(array: Array, shape: tuple[int, ...], axes: list[int]) -> Array | None:
    """A constant over the sides that are normalised, None for one that has others."""
    sides = (*[1] * (len(shape) - array.ndim), *array.shape)
    if len(sides) != len(shape) or any(side != 1 for place, side in enumerate(sides) if place not in axes):
        return None
    inner = np.broadcast_to(array.reshape([sides[axis] for axis in axes]), [shape[axis] for axis in axes])
    return np.ascontiguousarray(inner, np.float32)


def _channels(array: Array, shape: tuple[int, ...]) -> Array | None:
    """A constant over the channels, None for one that has other sides."""
    if array.size == 1:
        return np.full(shape[1], array.reshape(()), np.float32)
    sides = (*[1] * (len(shape) - array.ndim), *array.shape)
    if len(sides) != len(shape) or array.size != shape[1] or sides[1] != shape[1]:
        return None
    return array.reshape(-1).astype(np.float32)


def _softmax(parts: _Parts, node: Node) -> list[Node] | None:
    """exp(x - max(x)) / sum(exp(x - max(x)))."""
    if node.op != "Div":
        return None
    power, total = parts.of(node.inputs[0], "Exp"), parts.of(node.inputs[1], "ReduceSum")
    if power is None or total is None or total.inputs[0] != power.name or not total.attributes["keepdims"]:
        return None
    axes, x = total.attributes["axes"], power.inputs[0]
    if len(axes) != 1:
        return None
    less = parts.of(x, "Sub")
    most = parts.of(less.inputs[1], "ReduceMax") if less else None
    if less and most and most.inputs[0] == less.inputs[0] and most.attributes == total.attributes:
        x = less.inputs[0]
    return [Node("Softmax", [x], node.outputs, {"axis": axes[0]})]

