"""Pow by a constant exponent as the arithmetic that it is."""

from __future__ import annotations

from quantize.graph import Graph, Node

__all__ = ["expand_powers"]


def expand_powers(graph: Graph) -> None:
    """Squares and cubes as Mul, roots as Sqrt, negative ones as their Reciprocal."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _expanded(graph, node) if node.op == "Pow" else [node]
    graph.nodes = nodes


def _expanded(graph: Graph, node: Node) -> list[Node]:
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
