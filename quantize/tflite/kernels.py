"""Which operators compute in integers, and by which TFLite operators: the one table that the writer and target checks share.

``PATHS`` has every operator of the canonical graph that the writer knows. Widths were found by running each kernel in
ai-edge-litert 2.3 and in tflite-runtime 2.14, which is what a Raspberry Pi with an old image still has: a width stands here
when both give the numbers of the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quantize.graph import Graph, Node
from quantize.grid import Quantized

__all__ = ["PATHS", "KernelPath", "dtype_of", "obstacle"]

INT8, BOTH, FLOAT = frozenset({"int8"}), frozenset({"int8", "int16"}), frozenset[str]()


@dataclass(frozen=True)
class KernelPath:
    """``kernels``: the TFLite operators that do the work, where more than one in the order in which they run. ``widths``: the
    integers in which they can; without any, the node is a float island in an INT8 file. ``why``: what is in the way."""

    kernels: tuple[str, ...]
    widths: frozenset[str] = INT8
    why: str = ""


def _floats(kernel: str, why: str = "") -> KernelPath:
    return KernelPath((kernel,), FLOAT, why or f"not every TFLite runtime has an INT8 {kernel}")


_NORMALIZING = "means and variances are worked out in float"


PATHS: Mapping[str, KernelPath] = {
    "Conv": KernelPath(("CONV_2D",), BOTH), "ConvTranspose": KernelPath(("TRANSPOSE_CONV",), BOTH),
    "Gemm": KernelPath(("FULLY_CONNECTED",), BOTH), "MatMul": KernelPath(("BATCH_MATMUL",), BOTH),
    "Relu": KernelPath(("RELU",), BOTH), "Clip": KernelPath(("RELU6",), BOTH), "LeakyRelu": KernelPath(("LEAKY_RELU",), BOTH),
    "PRelu": KernelPath(("PRELU",)), "HardSwish": KernelPath(("HARD_SWISH",)), "HardSigmoid": KernelPath(("ADD", "MUL"), BOTH),
    "Sigmoid": KernelPath(("LOGISTIC",), BOTH), "Tanh": KernelPath(("TANH",), BOTH), "Gelu": KernelPath(("GELU",)),
    "Elu": KernelPath(("ELU",)), "Softmax": KernelPath(("SOFTMAX",), BOTH), "LogSoftmax": KernelPath(("LOG_SOFTMAX",)),
    "Exp": KernelPath(("EXP",)), "Abs": KernelPath(("ABS",)), "Log": _floats("LOG"), "Sqrt": _floats("SQRT"),
    "Erf": _floats("EXP", "TFLite has no ERF: it is made of ten operators, in float"),
    "Neg": _floats("NEG"), "Reciprocal": _floats("DIV"), "Floor": _floats("FLOOR"), "Div": _floats("DIV"), "Pow": _floats("POW"),
    "Cast": _floats("CAST", "it changes the dtype"),
    "Add": KernelPath(("ADD",), BOTH), "Sub": KernelPath(("SUB",), BOTH), "Mul": KernelPath(("MUL",), BOTH),
    "Min": KernelPath(("MINIMUM",), BOTH), "Max": KernelPath(("MAXIMUM",), BOTH),
    "MaxPool": KernelPath(("MAX_POOL_2D",), BOTH), "AveragePool": KernelPath(("AVERAGE_POOL_2D",), BOTH),
    "GlobalAveragePool": KernelPath(("MEAN",), BOTH), "GlobalMaxPool": KernelPath(("MAX_POOL_2D",), BOTH),
    "ReduceMean": KernelPath(("MEAN",), BOTH), "ReduceSum": KernelPath(("SUM",)), "ReduceMax": KernelPath(("REDUCE_MAX",), BOTH),
    "ReduceMin": KernelPath(("REDUCE_MIN",), BOTH), "ArgMax": KernelPath(("ARG_MAX",)),
    "Concat": KernelPath(("CONCATENATION",), BOTH), "Split": KernelPath(("SPLIT",), BOTH), "Slice": KernelPath(("SLICE",), BOTH),
    "Pad": KernelPath(("PAD",), BOTH), "Reshape": KernelPath(("RESHAPE",), BOTH), "Transpose": KernelPath(("TRANSPOSE",), BOTH),
    "Expand": KernelPath(("BROADCAST_TO",), BOTH), "Tile": KernelPath(("TILE",)), "Gather": KernelPath(("GATHER",), BOTH),
    "Resize": KernelPath(("RESIZE_BILINEAR",), BOTH), "DepthToSpace": KernelPath(("DEPTH_TO_SPACE",)),
    "SpaceToDepth": KernelPath(("SPACE_TO_DEPTH",)),
    "LayerNormalization": _floats("RSQRT", _NORMALIZING), "InstanceNormalization": _floats("RSQRT", _NORMALIZING),
    "BatchNormalization": _floats("MUL", "nothing before it takes it in"),
}

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")


def dtype_of(graph: Graph, quantized: Quantized, node: Node) -> tuple[str, str]:
    """The width ("int8", "int16") in which a node computes, or "float32" and why it does not compute in integers."""
    path = PATHS.get(node.op)
    if path is None:
        return "float32", ""
    names = {node.name, node.attributes.get("origin", node.name)}
    if names & quantized.excluded:
        return "float32", "the plan leaves it in float"
    why = obstacle(graph, node)
    if why:
        return "float32", why
    widths = set()
    for value in _floats_of(graph, node):
        grid = quantized.activations.get(value)
        if grid is None and value not in quantized.constants:
            return "float32", f"'{value}' is float"
        if grid is not None:
            widths.add(grid.dtype)
    reads = {quantized.activations[value].dtype for value in node.inputs if value in quantized.activations}
    width = "int16" if "int16" in widths and ("int16" in path.widths or "int16" in reads) else "int8"
    if width not in path.widths:
        return "float32", f"TFLite has no 16-bit {path.kernels[0]}"
    return width, ""


def _floats_of(graph: Graph, node: Node) -> list[str]:
    """Values that have to be integers: a bias need not, it is rounded here."""
    inputs = node.inputs[:2] if node.op in _WEIGHTED else node.inputs
    return [value for value in [*inputs, *node.outputs] if value and graph.dtypes[value] == "float32"]


def obstacle(graph: Graph, node: Node) -> str:
    """Why this node cannot compute in integers, whatever its operator can; "" where it can."""
    path = PATHS.get(node.op)
    if path is not None and not path.widths:
        return path.why
    check = _OBSTACLES.get(node.op)
    return check(graph, node) if check else ""


def _elu(_: Graph, node: Node) -> str:
    return "" if node.attributes["alpha"] == 1 else f"TFLite's ELU has an alpha of 1, this {node.attributes['alpha']:g}"


def _resize(graph: Graph, node: Node) -> str:
    from quantize.tflite.lower.resizing import is_exact
    return "" if is_exact(graph, node) else f"TFLite has no such Resize ({node.attributes['mode']}, " \
                                            f"{node.attributes['coordinate_transformation_mode']})"


def _gather(graph: Graph, node: Node) -> str:
    return "it reads a constant table" if graph.is_constant(node.inputs[0]) else ""


def _average_pool(graph: Graph, node: Node) -> str:
    from quantize.tflite.lower.pooling import is_exact
    return "" if is_exact(graph, node) else "TFLite has no average that leaves this padding out"


_OBSTACLES: Mapping[str, Callable[[Graph, Node], str]] = {
    "Elu": _elu, "Resize": _resize, "Gather": _gather, "AveragePool": _average_pool}

