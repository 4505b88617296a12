"""Movements of numbers that follow each other, and DepthToSpace as it is written with six sides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quantize.graph import Graph, Node

__all__ = ["merge_movements"]

_BROADCASTING = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"})
_SIX = {(0, 1, 4, 2, 5, 3): "CRD", (0, 3, 4, 1, 5, 2): "DCR"}


def merge_movements(graph: Graph) -> None:
    """One Reshape for several, one Transpose for several, none where they cancel; no Expand where broadcasting does it."""
    _depth_to_space(graph)
    producers = graph.producers()
    for node in graph.nodes:
        if node.op == "Reshape":
            _follow(node, producers)
        elif node.op == "Transpose":
            _follow_transpose(node, producers)
    _drop_idle(graph)
    _drop_expands(graph)
    graph.remove_unused()


def _follow(node: Node, producers: Mapping[str, Node]) -> None:
    before = producers.get(node.inputs[0])
    if before is not None and before.op == "Reshape":
        node.inputs = list(before.inputs)


def _follow_transpose(node: Node, producers: Mapping[str, Node]) -> None:
    before = producers.get(node.inputs[0])
    if before is not None and before.op == "Transpose":
        perm = before.attributes["perm"]
        node.inputs, node.attributes = list(before.inputs), {"perm": [perm[side] for side in node.attributes["perm"]]}


def _drop_idle(graph: Graph) -> None:
    """A Reshape to the same shape and a Transpose that moves nothing, unless a graph output is called after it."""
    for node in graph.nodes:
        idle = ((node.op == "Reshape" and graph.shapes[node.inputs[0]] == graph.shapes[node.name])
                or (node.op == "Transpose" and node.attributes["perm"] == sorted(node.attributes["perm"])))
        if idle and node.name not in graph.outputs:
            graph.rename_input_of_all(node.name, node.inputs[0])
        elif idle and node.op == "Transpose":
            node.op, node.attributes = "Reshape", {"shape": list(graph.shapes[node.name])}


def _drop_expands(graph: Graph) -> None:
    consumers = graph.consumers()
    for node in graph.nodes:
        if node.op != "Expand" or node.name in graph.outputs:
            continue
        x, readers = node.inputs[0], consumers.get(node.name, [])
        if all(reader.op in _BROADCASTING and _fits_without(graph, reader, node.name, x) for reader in readers):
            graph.rename_input_of_all(node.name, x)


def _fits_without(graph: Graph, reader: Node, expanded: str, x: str) -> bool:
    shapes = [graph.shapes[x if value == expanded else value] for value in reader.inputs]
    return np.broadcast_shapes(*shapes) == graph.shapes[reader.name]


def _depth_to_space(graph: Graph) -> None:
    """Reshape to six sides, Transpose, Reshape back."""
    producers = graph.producers()
    for node in graph.nodes:
        turn = producers.get(node.inputs[0]) if node.op == "Reshape" else None
        split = producers.get(turn.inputs[0]) if turn is not None and turn.op == "Transpose" else None
        if turn is None or split is None or split.op != "Reshape":
            continue
        into, six, out = (graph.shapes[value] for value in (split.inputs[0], split.name, node.name))
        if len(into) != 4 or len(six) != 6 or len(out) != 4:
            continue
        perm = tuple(turn.attributes["perm"])
        block = six[2]
        mode = _SIX.get(perm)
        if mode and block == six[3 if mode == "CRD" else 1] and six[4:] == into[2:] and six[0] == into[0] and out == (
                into[0], into[1] // block**2, into[2] * block, into[3] * block):
            node.op, node.inputs, node.attributes = "DepthToSpace", list(split.inputs), {"blocksize": block, "mode": mode}
        elif perm == (0, 3, 5, 1, 2, 4) and six[3] == six[5] and six == (
                into[0], into[1], into[2] // six[3], six[3], into[3] // six[3], six[3]) and out == (
                into[0], into[1] * six[3]**2, into[2] // six[3], into[3] // six[3]):
            node.op, node.inputs, node.attributes = "SpaceToDepth", list(split.inputs), {"blocksize": six[3]}
