"""Operators as the arithmetic that they are, so that nobody else needs to know them: Pow by a constant and Softplus."""

from __future__ import annotations

import numpy as np

from quantize.graph import Graph, Node

__all__ = ["expand"]


def expand(graph: Graph) -> None:
    """Squares and cubes as Mul, roots as Sqrt, negative powers as their Reciprocal; Softplus by Log and Exp."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _power(graph, node) if node.op == "Pow" else _softplus(graph, node) if node.op == "Softplus" else [node]
    graph.nodes = nodes


def _power(graph: Graph, node: Node) -> list[Node]:
    x, exponent = node.inputs
    array = graph.constants.get(exponent)
    if array is None or array.size != 1 or graph.shapes[x] != graph.shapes[node.name] or graph.dtypes[x] != "float32":
        return [node]
    power, shape = float(array.reshape(())), graph.shapes[x]
    if power == 2:
        return [Node("Mul", [x, x], node.outputs)]
    if power == 3:
        square = graph.add_value(f"{node.name}/square", shape)
        return [Node("Mul", [x, x], [square]), Node("Mul", [square, x], node.outputs)]
    if power in (0.5, -1):
        return [Node("Sqrt" if power > 0 else "Reciprocal", [x], node.outputs)]
    if power == -0.5:
        root = graph.add_value(f"{node.name}/root", shape)
        return [Node("Sqrt", [x], [root]), Node("Reciprocal", [root], node.outputs)]
    return [node]


def _softplus(graph: Graph, node: Node) -> list[Node]:
    """log(1 + e^x) as relu(x) + log(1 + e^-|x|), which does not overflow."""
    x, shape = node.inputs[0], graph.shapes[node.name]
    relu, size, less, power, more, log = (graph.add_value(f"{node.name}/{part}", shape)
                                          for part in ("relu", "abs", "neg", "exp", "sum", "log"))
    one = graph.add_constant(f"{node.name}/one", np.array(1, np.float32))
    return [Node("Relu", [x], [relu]), Node("Abs", [x], [size]), Node("Neg", [size], [less]), Node("Exp", [less], [power]),
            Node("Add", [power, one], [more]), Node("Log", [more], [log]), Node("Add", [relu, log], node.outputs)]
