"""Operators that the settled graph does not need, because TFLite's do more than ONNX's."""

from __future__ import annotations

from quantize.graph import Graph, Node

__all__ = ["tidy"]


def tidy(graph: Graph) -> None:
    """FULLY_CONNECTED takes rows from any number of sides, and gives them back; BATCH_MATMUL transposes by itself."""
    makers, consumers = graph.producers(), graph.consumers()
    for node in list(graph.nodes):
        if node.op == "Gemm":
            _without_reshapes(graph, node, makers, consumers)
        elif node.op == "MatMul":
            _without_transposes(node, makers)
    graph.remove_unused()


def _without_reshapes(graph: Graph, node: Node, makers: dict[str, Node], consumers: dict[str, list[Node]]) -> None:
    before = makers.get(node.inputs[0])
    if before is None or before.op != "Reshape" or graph.shapes[before.inputs[0]][-1:] != graph.shapes[node.inputs[0]][-1:]:
        return
    node.inputs[0] = before.inputs[0]
    readers = consumers.get(node.name, [])
    sides = (*graph.shapes[node.inputs[0]][:-1], graph.shapes[node.name][-1])
    integers = graph.dtypes[node.inputs[0]] != "float32"  # tflite-runtime 2.14 takes sides before the last for one: wrong rows
    if integers or len(readers) != 1 or readers[0].op != "Reshape" or graph.shapes[readers[0].name] != sides:
        return
    if node.name in graph.outputs:
        return
    graph.nodes.remove(readers[0])
    node.outputs = list(readers[0].outputs)
    node.attributes["keep_sides"] = True


def _without_transposes(node: Node, makers: dict[str, Node]) -> None:
    for place, flag in enumerate(("adj_x", "adj_y")):
        before = makers.get(node.inputs[place])
        if before is None or before.op != "Transpose":
            continue
        perm = list(before.attributes["perm"])
        rank = len(perm)
        if perm == [*range(rank - 2), rank - 1, rank - 2]:
            node.inputs[place] = before.inputs[0]
            node.attributes[flag] = True
