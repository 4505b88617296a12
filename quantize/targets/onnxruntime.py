"""Where operators of an INT8 .onnx (QDQ) run in ONNX Runtime on a CPU: in an integer kernel, or in float between a
DequantizeLinear and a QuantizeLinear.

Source: what ONNX Runtime 1.32 makes of each operator when it loads a model (its optimised graph was looked at, operator by
operator, as on arm64 and as on x86-64). The code is in onnxruntime/core/optimizer/qdq_transformer.
"""

from __future__ import annotations

from quantize.graph import Graph, Node
from quantize.plan import WEIGHTED, is_planned
from quantize.targets.placement import Placement, fused_into, multiplications

__all__ = ["SOURCE", "place"]

SOURCE = "ONNX Runtime 1.32, its optimised graph"
_INTEGER = frozenset({
    "Conv", "Gemm", "MatMul", "Add", "Mul", "LeakyRelu", "Sigmoid", "Softmax", "AveragePool", "GlobalAveragePool",
    "Concat", "MaxPool", "Split", "Slice", "Reshape", "Transpose", "Expand", "Tile", "Gather", "DepthToSpace",
    "ReduceMax", "ReduceMin", "Relu", "Clip", "Resize", "ReduceMean"})


def place(graph: Graph, int8_on_x86: bool = False) -> list[Placement]:
    """Where each operator runs, in order. ``int8_on_x86``: on x86-64, with activations that are int8 in the file. ONNX
    Runtime changes those to uint8 that a single operator reads, and computes in float around all others and around
    constant operands; so at least these are float."""
    fused = fused_into(graph)
    readers = graph.consumers()
    shared = {value for value, nodes in readers.items() if len(nodes) > 1} if int8_on_x86 else set[str]()
    shared |= {name for name in graph.constants if graph.dtypes[name] == "float32"} if int8_on_x86 else set()
    return [_placement(graph, node, fused.get(node.name), shared) for node in graph.nodes]


def _placement(graph: Graph, node: Node, before: Node | None, shared: set[str]) -> Placement:
    work = multiplications(graph, node)
    if not is_planned(graph, node):
        why = "no integer kernel" if graph.dtypes[node.name] == "float32" else f"it makes {graph.dtypes[node.name]}"
        return Placement(node.name, node.op, "onnxruntime", False, why, SOURCE, work)
    if before is not None:
        return Placement(node.name, node.op, "onnxruntime", True, f"part of {before}")
    why = _why_float(graph, node) or _why_float_on_x86(graph, node, shared)
    return Placement(node.name, node.op, "onnxruntime", not why, why, SOURCE if why else "", work)


def _why_float(graph: Graph, node: Node) -> str:
    if node.op not in _INTEGER:
        return "no integer kernel"
    if node.op == "Resize" and node.attributes["mode"] != "nearest":
        return "only nearest neighbours are taken from integers"
    if node.op == "ReduceMean":
        rank = len(graph.shapes[node.inputs[0]])
        if rank < 3 or list(node.attributes["axes"]) != list(range(2, rank)):
            return "an integer mean is over all of a picture's height and width only"
    return ""


def _why_float_on_x86(graph: Graph, node: Node, shared: set[str]) -> str:
    if node.op in ("Relu", "Clip"):
        return ""
    values = [*node.inputs[:1], *node.outputs] if node.op in WEIGHTED else [*node.inputs, *node.outputs]
    for value in values:
        if value in shared:
            what = "a constant operand" if graph.is_constant(value) else "a value that several operators read"
            return f"{what} is no integer on x86-64"
    return ""
