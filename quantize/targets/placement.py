"""Where one operator of a float graph will run once the graph is quantised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantize.graph import Graph, Node
from quantize.plan import WEIGHTED, fused_values, is_planned

__all__ = ["Placement", "Where", "fused_into", "multiplications"]

Where = Literal["xnnpack", "litert", "edgetpu", "tensorrt", "onnxruntime", "unsupported"]


@dataclass(frozen=True)
class Placement:
    """``integer``: it computes on integers there. ``why`` says why not, or why elsewhere; ``source`` where that is stated.
    ``multiplications`` are multiply-accumulates of one run."""

    node: str
    op: str
    where: Where
    integer: bool
    why: str = ""
    source: str = ""
    multiplications: int = 0


def fused_into(graph: Graph) -> dict[str, Node]:
    """The operators that become part of the one before them, a Relu or Clip, and that one."""
    planned = [node for node in graph.nodes if is_planned(graph, node)]
    makers = graph.producers()
    return {after: makers[before] for before, after in fused_values(graph, planned).items()}


def multiplications(graph: Graph, node: Node) -> int:
    """Multiply-accumulates of one run, of the operators that have nearly all of them."""
    outputs = _product(graph.shapes[node.name])
    if node.op == "ConvTranspose":
        return _product(graph.shapes[node.inputs[0]]) * _product(graph.shapes[node.inputs[1]][1:])
    if node.op in WEIGHTED:
        return outputs * _product(graph.shapes[node.inputs[1]][1:])
    return outputs * graph.shapes[node.inputs[0]][-1] if node.op == "MatMul" else 0


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for side in shape:
        result *= side
    return result
