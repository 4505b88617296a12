"""Which TFLite operators a float operator becomes: what the paths that run TFLite files are asked about."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from quantize.graph import Graph, Node

__all__ = ["is_depthwise", "lowered"]

_SAME: Mapping[str, str] = {
    "ConvTranspose": "TRANSPOSE_CONV", "Gemm": "FULLY_CONNECTED", "MatMul": "BATCH_MATMUL", "Relu": "RELU",
    "Sigmoid": "LOGISTIC", "Tanh": "TANH", "HardSwish": "HARD_SWISH", "LeakyRelu": "LEAKY_RELU", "Elu": "ELU",
    "Gelu": "GELU", "PRelu": "PRELU", "Softmax": "SOFTMAX", "LogSoftmax": "LOG_SOFTMAX", "MaxPool": "MAX_POOL_2D",
    "AveragePool": "AVERAGE_POOL_2D", "GlobalAveragePool": "MEAN", "GlobalMaxPool": "REDUCE_MAX", "Add": "ADD",
    "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Pow": "POW", "Min": "MINIMUM", "Max": "MAXIMUM", "Concat": "CONCATENATION",
    "Reshape": "RESHAPE", "Transpose": "TRANSPOSE", "Expand": "BROADCAST_TO", "Tile": "TILE", "Gather": "GATHER",
    "Cast": "CAST", "DepthToSpace": "DEPTH_TO_SPACE", "SpaceToDepth": "SPACE_TO_DEPTH", "ArgMax": "ARG_MAX",
    "ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN", "Exp": "EXP",
    "Log": "LOG", "Sqrt": "SQRT", "Abs": "ABS", "Neg": "NEG", "Floor": "FLOOR", "HardSigmoid": "ADD",
}


def lowered(graph: Graph, node: Node) -> str:
    """The TFLite operator that does a node's work; its own name in capitals where no operator does."""
    special = _SPECIAL.get(node.op)
    return special(graph, node) if special else _SAME.get(node.op, node.op.upper())


def is_depthwise(graph: Graph, node: Node) -> bool:
    """Whether a Conv has one input channel a group: TFLite has an operator of its own for it."""
    return bool(node.attributes["group"] > 1 and graph.shapes[node.inputs[1]][1] == 1)


def _conv(graph: Graph, node: Node) -> str:
    return "DEPTHWISE_CONV_2D" if is_depthwise(graph, node) else "CONV_2D"


def _clip(_: Graph, node: Node) -> str:
    bounds = (float(node.attributes["min"]), float(node.attributes["max"]))
    names = {(0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1", (0.0, math.inf): "RELU", (0.0, 1.0): "RELU_0_TO_1"}
    return names.get(bounds, "MAXIMUM")


def _split(_: Graph, node: Node) -> str:
    return "SPLIT" if len(set(node.attributes["split"])) == 1 else "SPLIT_V"


def _slice(_: Graph, node: Node) -> str:
    return "SLICE" if all(step == 1 for step in node.attributes["steps"]) else "STRIDED_SLICE"


def _pad(_: Graph, node: Node) -> str:
    if node.attributes["mode"] != "constant":
        return "MIRROR_PAD"
    return "PAD" if node.attributes.get("value", 0.0) == 0 else "PADV2"


def _resize(_: Graph, node: Node) -> str:
    return {"linear": "RESIZE_BILINEAR", "nearest": "RESIZE_NEAREST_NEIGHBOR"}.get(node.attributes["mode"], "RESIZE_CUBIC")


_SPECIAL: Mapping[str, Callable[[Graph, Node], str]] = {
    "Conv": _conv, "Clip": _clip, "Split": _split, "Slice": _slice, "Pad": _pad, "Resize": _resize}
