"""What TensorRT 10 on a Jetson does with the operators of a QDQ model: INT8, float, or nothing at all.

TensorRT fuses a DequantizeLinear, an operator and a QuantizeLinear where it has an INT8 layer for them, and is free to run
it in float where that is faster; so INT8 here means that it can.

Sources: docs/operators.md of onnx/onnx-tensorrt for TensorRT 10 (what its parser takes); NVIDIA's TensorRT support matrix
8.6, "Layers and Precision", and "Explicit Quantization" in its documentation (which layers have INT8).
"""

from __future__ import annotations

from quantize.graph import Graph, Node
from quantize.plan import is_planned
from quantize.targets.placement import Placement, fused_into, multiplications

__all__ = ["PARSED", "SOURCE", "place", "why_refused"]

SOURCE = "onnx-tensorrt: docs/operators.md; TensorRT support matrix, Layers and Precision"
PARSED = frozenset({
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool",
    "BatchNormalization", "Cast", "Ceil", "Celu", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv",
    "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "Einsum", "Elu",
    "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gelu",
    "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GridSample",
    "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "If", "InstanceNormalization", "IsInf",
    "IsNaN", "LRN", "LSTM", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "Loop",
    "LpNormalization", "LpPool", "MatMul", "Max", "MaxPool", "Mean", "MeanVarianceNormalization", "Min", "Mod", "Mul",
    "Neg", "NonMaxSuppression", "NonZero", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "QuantizeLinear", "RNN", "Range",
    "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Resize", "ReverseSequence", "RoiAlign", "Round",
    "Scan", "ScatterElements", "ScatterND", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice", "Softmax",
    "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu",
    "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Upsample", "Where", "Xor"})
_INTEGER = frozenset({
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Min", "Max", "Relu", "Clip", "LeakyRelu", "PRelu",
    "Elu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Gelu", "MaxPool", "AveragePool", "GlobalAveragePool",
    "GlobalMaxPool", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "Concat", "Split", "Slice", "Pad", "Reshape",
    "Transpose", "Expand", "Tile", "Gather", "Resize", "DepthToSpace", "SpaceToDepth"})


def place(graph: Graph) -> list[Placement]:
    """Where each operator runs, in order."""
    fused = fused_into(graph)
    return [_placement(graph, node, fused.get(node.name)) for node in graph.nodes]


def _placement(graph: Graph, node: Node, before: Node | None) -> Placement:
    work = multiplications(graph, node)
    refused = why_refused(node)
    if refused:
        return Placement(node.name, node.op, "unsupported", False, refused, SOURCE, work)
    if before is not None:
        return Placement(node.name, node.op, "tensorrt", True, f"part of {before}")
    if not is_planned(graph, node) or node.op not in _INTEGER:
        dtype = graph.dtypes[node.name]
        why = f"TensorRT has no INT8 {node.op}" if dtype == "float32" else f"it makes {dtype}"
        return Placement(node.name, node.op, "tensorrt", False, why, SOURCE, work)
    return Placement(node.name, node.op, "tensorrt", True, multiplications=work)


def why_refused(node: Node) -> str:
    """Why TensorRT's parser does not take a node; empty where it does."""
    if node.op not in PARSED:
        return f"TensorRT's parser does not know {node.op}"
    if node.op == "Resize" and node.attributes["mode"] == "cubic":
        return "TensorRT resizes by nearest or linear, not by cubic interpolation"
    if node.op in ("MaxPool", "AveragePool") and any(step != 1 for step in node.attributes.get("dilations", [])):
        return "TensorRT has no pooling with dilations"
    return ""
