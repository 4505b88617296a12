"""The version of an operator: the least that has what is asked of it.

Source: tflite/tools/versioning/op_version.cc (github.com/google-ai-edge/LiteRT). An old runtime refuses a version that it does
not know, so no file asks for more than it needs; all of these are known to tflite-runtime 2.14.
"""

from __future__ import annotations

from quantize.graph import Graph, Node

__all__ = ["version"]

# float32, int8, int16; where an operator is not here, all are version 1
_VERSIONS: dict[str, tuple[int, int, int]] = {
    "ABS": (1, 2, 3), "ADD": (1, 2, 3), "ARG_MAX": (1, 2, 2), "AVERAGE_POOL_2D": (1, 2, 3), "BATCH_MATMUL": (1, 2, 3),
    "BROADCAST_TO": (2, 3, 3), "CONCATENATION": (1, 2, 3), "CONV_2D": (1, 3, 4), "DEPTHWISE_CONV_2D": (1, 3, 5),
    "DEPTH_TO_SPACE": (1, 2, 2), "DEQUANTIZE": (1, 2, 3), "EXP": (1, 2, 2), "FULLY_CONNECTED": (1, 4, 7), "GATHER": (1, 2, 4),
    "GELU": (1, 2, 2), "LEAKY_RELU": (1, 1, 2), "LOG": (1, 2, 2), "LOGISTIC": (1, 2, 3), "LOG_SOFTMAX": (1, 2, 2),
    "MAXIMUM": (1, 2, 4), "MAX_POOL_2D": (1, 2, 3), "MEAN": (1, 2, 3), "MINIMUM": (1, 2, 4), "MIRROR_PAD": (1, 2, 3),
    "MUL": (1, 2, 4), "PAD": (1, 2, 3), "PADV2": (1, 2, 3), "REDUCE_MAX": (1, 2, 3), "REDUCE_MIN": (1, 2, 3),
    "RELU": (1, 2, 3), "RELU6": (1, 2, 3), "RESIZE_BILINEAR": (1, 2, 4), "RESIZE_NEAREST_NEIGHBOR": (1, 2, 4),
    "RSQRT": (1, 2, 3), "SLICE": (1, 2, 4), "SOFTMAX": (1, 2, 3), "SPACE_TO_DEPTH": (1, 2, 2), "SPLIT": (1, 2, 4),
    "SQUARED_DIFFERENCE": (1, 2, 2), "STRIDED_SLICE": (1, 2, 2), "SUB": (1, 2, 5), "SUM": (1, 2, 2),
    "TANH": (1, 2, 3), "TILE": (1, 3, 3), "TRANSPOSE": (1, 2, 5), "TRANSPOSE_CONV": (3, 3, 3),
}
_OVER_4D = {"MAXIMUM": 3, "MINIMUM": 3, "SUB": 3, "DIV": 2, "TRANSPOSE": 4, "SLICE": 5, "STRIDED_SLICE": 4, "PAD": 4, "PADV2": 4}


def version(graph: Graph, name: str, node: Node, least: int = 1) -> int:
    """The version of TFLite's operator ``name`` for a node; ``least``: what its options ask for. The input of most sides
    decides."""
    values = [value for value in node.inputs if value]
    dtype, rank = graph.dtypes[values[0]], max(len(graph.shapes[value]) for value in values)
    floats, int8, int16 = _VERSIONS.get(name, (1, 1, 1))
    found = {"int8": int8, "int16": int16}.get(dtype, floats)
    return max(found, least, _OVER_4D.get(name, 1) if rank > 4 else 1, 6 if name == "TRANSPOSE" and rank > 5 else 1)
