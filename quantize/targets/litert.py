"""Where operators of an INT8 .tflite run on a CPU: in XNNPACK, in LiteRT's own INT8 kernels, or in float.

XNNPACK is the fast path: it uses all threads and the processor's dot products. What it leaves out runs in LiteRT's kernels,
correct and in INT8, but slower, and each change between the two costs a little.

Sources: tflite/delegates/xnnpack/README.md, "Quantized Operators" (github.com/google-ai-edge/LiteRT), and what LiteRT 2.3
was seen to delegate, operator by operator, where that is more (BATCH_MATMUL, MEAN of any axes, SUM, REDUCE_MAX).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quantize.graph import Graph, Node
from quantize.plan import is_planned
from quantize.targets.lowering import lowered
from quantize.targets.placement import Placement, fused_into, multiplications

__all__ = ["SOURCE", "XNNPACK", "place"]

SOURCE = "LiteRT: tflite/delegates/xnnpack/README.md, Quantized Operators"
XNNPACK = frozenset({
    "ADD", "SUB", "MUL", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV",
    "BATCH_MATMUL", "MAX_POOL_2D", "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "PAD", "RESHAPE", "RESIZE_BILINEAR",
    "SLICE", "SPLIT", "TRANSPOSE", "LEAKY_RELU", "LOGISTIC", "TANH", "ELU", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"})


def place(graph: Graph) -> list[Placement]:
    """Where each operator runs, in order."""
    fused = fused_into(graph)
    return [_placement(graph, node, fused) for node in graph.nodes]


def _placement(graph: Graph, node: Node, fused: Mapping[str, Node]) -> Placement:
    work, name = multiplications(graph, node), lowered(graph, node)
    if not is_planned(graph, node):
        return Placement(node.name, node.op, "litert", False, _why_float(graph, node), SOURCE, work)
    if node.name in fused:
        before = fused[node.name]
        if name == "MAXIMUM":
            return Placement(node.name, node.op, "xnnpack", True, f"the integers of {before} end where it clips")
        return Placement(node.name, node.op, "xnnpack", True, f"part of {before}")
    if name not in XNNPACK:
        return Placement(node.name, node.op, "litert", True, f"XNNPACK has no INT8 {name}", SOURCE, work)
    check = _CONDITIONS.get(name)
    why = check(graph, node) if check else ""
    return Placement(node.name, node.op, "litert" if why else "xnnpack", True, why, SOURCE if why else "", work)


def _why_float(graph: Graph, node: Node) -> str:
    dtype = graph.dtypes[node.name]
    if dtype != "float32":
        return f"it makes {dtype}, which is not quantised"
    if node.op in ("Conv", "ConvTranspose", "Gemm"):
        return "its weights are not constant"
    return "no INT8 kernel, or none that keeps the accuracy"


def _concatenation(_: Graph, node: Node) -> str:
    count = len(node.inputs)
    return f"XNNPACK joins at most 4 values, this joins {count}" if count > 4 else ""


def _split(_: Graph, node: Node) -> str:
    count = len(node.outputs)
    return f"XNNPACK splits into at most 4, this into {count}" if count > 4 else ""


def _leaky_relu(_: Graph, node: Node) -> str:
    """The slope times input scale / output scale must be at least 1/256. The scales are not known yet; where positive values
    make the range, they are equal."""
    slope = abs(float(node.attributes["alpha"]))
    return f"XNNPACK takes slopes of 1/256 and more, this is {slope:g}" if slope < 1 / 256 else ""


def _pool(_: Graph, node: Node) -> str:
    one = all(side == 1 for side in node.attributes["kernel_shape"]) and any(step > 1 for step in node.attributes["strides"])
    return "XNNPACK has no 1x1 pooling with strides" if one else ""


def _rank_4(graph: Graph, node: Node) -> str:
    rank = len(graph.shapes[node.inputs[0]])
    return f"XNNPACK resizes 4-D values, this is {rank}-D" if rank != 4 else ""


_CONDITIONS: Mapping[str, Callable[[Graph, Node], str]] = {
    "CONCATENATION": _concatenation, "SPLIT": _split, "LEAKY_RELU": _leaky_relu, "MAX_POOL_2D": _pool,
    "RESIZE_BILINEAR": _rank_4}
