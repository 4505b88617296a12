"""Activations drawn into the operator before them, as TFLite's operators hold them."""

from __future__ import annotations

import numpy as np

from quantize.graph import Graph, Node
from quantize.grid import Quantized

__all__ = ["CLAMPING", "bounds", "fused"]

CLAMPING = frozenset({"Conv", "ConvTranspose", "Gemm", "Add", "Sub", "Mul", "Div"})


def bounds(node: Node) -> tuple[float, float]:
    """What a Relu or Clip keeps its input within."""
    return (0.0, np.inf) if node.op == "Relu" else (float(node.attributes["min"]), float(node.attributes["max"]))


def fused(quantized: Quantized) -> Graph:
    """A copy in which a Relu or Clip that alone reads a value without a grid is the attribute ``clamp`` of the operator that
    makes it. ``origin`` names the operators that became one."""
    graph = quantized.graph.copy()
    consumers, gone = graph.consumers(), set[str]()
    for node in graph.nodes:
        readers = consumers.get(node.name, [])
        if node.op not in CLAMPING or len(readers) != 1 or readers[0].op not in ("Relu", "Clip"):
            continue
        after = readers[0]
        excluded = (node.name in quantized.excluded) != (after.name in quantized.excluded)
        if node.name in graph.outputs or node.name in quantized.activations or excluded or graph.dtypes[node.name] != "float32":
            continue
        node.attributes["clamp"], node.attributes["origin"] = bounds(after), node.name
        gone.add(after.name)
        node.outputs = list(after.outputs)
    graph.nodes = [node for node in graph.nodes if not (node.name in gone and node.op in ("Relu", "Clip"))]
    return graph
