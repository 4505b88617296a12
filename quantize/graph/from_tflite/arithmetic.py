"""Operators that work element by element, along an axis, or on matrices."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from quantize.graph.from_tflite.translation import Operator, Translation

__all__ = ["OPERATORS"]

_UNARY: dict[str, tuple[str, dict[str, Any]]] = {
    "RELU": ("Relu", {}), "RELU6": ("Clip", {"min": 0.0, "max": 6.0}), "RELU_N1_TO_1": ("Clip", {"min": -1.0, "max": 1.0}),
    "RELU_0_TO_1": ("Clip", {"min": 0.0, "max": 1.0}), "LOGISTIC": ("Sigmoid", {}), "TANH": ("Tanh", {}),
    "HARD_SWISH": ("HardSwish", {}), "ELU": ("Elu", {"alpha": 1.0}), "EXP": ("Exp", {}), "LOG": ("Log", {}),
    "SQRT": ("Sqrt", {}), "ABS": ("Abs", {}), "NEG": ("Neg", {}), "FLOOR": ("Floor", {}),
}
_BINARY = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "POW": "Pow", "MAXIMUM": "Max", "MINIMUM": "Min"}
_REDUCTIONS = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}
_DTYPES = {0: "float32", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8"}  # TensorType of the schema


def _map(t: Translation, op: Operator, made: str, **attributes: Any) -> None:
    value = t.value(op.inputs[0])
    t.hold(op.outputs[0], t.emit(made, [value], t.graph.shapes[value], t.names[op.outputs[0]], **attributes))


def _unary(t: Translation, op: Operator) -> None:
    made, attributes = _UNARY[op.name]
    _map(t, op, made, **attributes)


def _leaky_relu(t: Translation, op: Operator) -> None:
    _map(t, op, "LeakyRelu", alpha=float(op.option("alpha")))


def _gelu(t: Translation, op: Operator) -> None:
    _map(t, op, "Gelu", approximate="tanh" if op.option("approximate") else "none")


def _cast(t: Translation, op: Operator) -> None:
    wanted = _DTYPES.get(op.option("outDataType", -1))
    if wanted is None:
        raise t.misfit(f"a cast to one of {', '.join(_DTYPES.values())}", f"type {op.option('outDataType', -1)}")
    _map(t, op, "Cast", dtype=wanted, to=wanted)


def _rsqrt(t: Translation, op: Operator) -> None:
    value, name = t.value(op.inputs[0]), t.names[op.outputs[0]]
    root = t.emit("Sqrt", [value], t.graph.shapes[value], f"{name}/sqrt")
    t.hold(op.outputs[0], t.emit("Reciprocal", [root], t.graph.shapes[root], name))


def _square(t: Translation, op: Operator) -> None:
    value = t.value(op.inputs[0])
    t.hold(op.outputs[0], t.emit("Mul", [value, value], t.graph.shapes[value], t.names[op.outputs[0]]))


def _operands(t: Translation, op: Operator) -> tuple[list[str], tuple[int, ...]]:
    """Names, and the shape that they have together."""
    return [t.value(index) for index in op.inputs], np.broadcast_shapes(*(t.shape(index) for index in op.inputs))


def _binary(t: Translation, op: Operator) -> None:
    t.hold(op.outputs[0], t.emit_fused(_BINARY[op.name], *_operands(t, op), t.names[op.outputs[0]],
                                       op.option("fusedActivationFunction")))


def _squared_difference(t: Translation, op: Operator) -> None:
    names, shape = _operands(t, op)
    name = t.names[op.outputs[0]]
    difference = t.emit("Sub", names, shape, f"{name}/difference")
    t.hold(op.outputs[0], t.emit("Mul", [difference, difference], shape, name))


def _add_n(t: Translation, op: Operator) -> None:
    names, shape = _operands(t, op)
    total, name = names[0], t.names[op.outputs[0]]
    for number, value in enumerate(names[1:], 2):
        total = t.emit("Add", [total, value], shape, name if number == len(names) else f"{name}/{number}")
    t.hold(op.outputs[0], total)


def _prelu(t: Translation, op: Operator) -> None:
    t.known(op.inputs[1])
    t.hold(op.outputs[0], t.emit("PRelu", *_operands(t, op), t.names[op.outputs[0]]))


def _softmax(t: Translation, op: Operator) -> None:
    value, beta, name = t.value(op.inputs[0]), op.option("beta", 1.0), t.names[op.outputs[0]]
    shape = t.graph.shapes[value]
    if op.name == "SOFTMAX" and beta != 1.0:
        factor = t.graph.add_constant(f"{name}/beta", np.array(beta, np.float32))
        value = t.emit("Mul", [value, factor], shape, f"{name}/scaled")
    made = "Softmax" if op.name == "SOFTMAX" else "LogSoftmax"
    t.hold(op.outputs[0], t.emit(made, [value], shape, name, axis=len(shape) - 1))


def _reduce(t: Translation, op: Operator) -> None:
    value = t.value(op.inputs[0])
    axes = sorted({axis % len(t.graph.shapes[value]) for axis in t.integers(op.inputs[1])})
    keep = bool(op.option("keepDims"))
    t.hold(op.outputs[0], _reduced(t, _REDUCTIONS[op.name], value, axes, keep, t.names[op.outputs[0]]))


def _reduced(t: Translation, made: str, value: str, axes: list[int], keep: bool, name: str) -> str:
    sides = enumerate(t.graph.shapes[value])
    shape = [1 if axis in axes else side for axis, side in sides if keep or axis not in axes]
    return t.emit(made, [value], shape, name, axes=axes, keepdims=int(keep))


def _l2_normalization(t: Translation, op: Operator) -> None:
    """x / sqrt(max(sum of squares, 1e-6)) over the last side (tensorflow/lite/kernels/l2norm.cc)."""
    value, name = t.value(op.inputs[0]), t.names[op.outputs[0]]
    shape = t.graph.shapes[value]
    squares = t.emit("Mul", [value, value], shape, f"{name}/squares")
    total = _reduced(t, "ReduceSum", squares, [len(shape) - 1], True, f"{name}/sum")
    least = t.emit("Clip", [total], t.graph.shapes[total], f"{name}/least", min=1e-6, max=float("inf"))
    length = t.emit("Sqrt", [least], t.graph.shapes[total], f"{name}/length")
    t.hold(op.outputs[0], t.emit("Div", [value, length], shape, name))


def _arg_max(t: Translation, op: Operator) -> None:
    value = t.value(op.inputs[0])
    axis = t.integers(op.inputs[1])[0] % len(t.graph.shapes[value])
    shape = [side for place, side in enumerate(t.graph.shapes[value]) if place != axis]
    name, narrow = t.names[op.outputs[0]], op.option("outputType") != 4  # TensorType int64
    made = t.emit("ArgMax", [value], shape, f"{name}/int64" if narrow else name, dtype="int64", axis=axis, keepdims=0)
    t.hold(op.outputs[0], t.emit("Cast", [made], shape, name, dtype="int32", to="int32") if narrow else made)


def _fully_connected(t: Translation, op: Operator) -> None:
    """x of any rank as rows of as many elements as the weights (out, in) have columns."""
    if op.option("weightsFormat"):
        raise t.misfit("weights in rows", "shuffled ones")
    weights, bias, name = t.known(op.inputs[1]), op.optional(2), t.names[op.outputs[0]]
    shape, keeps = t.shape(op.inputs[0]), bool(op.option("keepNumDims"))
    numbers = t.known(bias) if bias >= 0 else np.zeros(len(weights), np.float32)
    made = _gemm(t, t.value(op.inputs[0]), weights, numbers, name, t.names[op.inputs[1]],
                 op.option("fusedActivationFunction"))
    t.hold(op.outputs[0], t.reshape(made, (*shape[:-1], len(weights)), f"{name}/folded") if keeps else made)


def _gemm(t: Translation, x: str, weights: Any, bias: Any, name: str, weights_name: str, activation: int = 0) -> str:
    out, width = weights.shape
    rows = prod(t.graph.shapes[x]) // width
    constants = [t.graph.add_constant(weights_name, np.ascontiguousarray(weights, np.float32)),
                 t.graph.add_constant(f"{name}/bias", np.ascontiguousarray(bias, np.float32).reshape(out))]
    return t.emit_fused("Gemm", [t.reshape(x, (rows, width), f"{name}/rows"), *constants], (rows, out), name, activation)


def _batch_matmul(t: Translation, op: Operator) -> None:
    name, (left, right) = t.names[op.outputs[0]], op.inputs
    shapes = [t.shape(left), t.shape(right)]
    if right in t.constants and len(shapes[1]) == 2 and not op.option("adjX"):
        weights = t.known(right) if op.option("adjY") else t.known(right).T
        made = _gemm(t, t.value(left), weights, np.zeros(len(weights)), name, t.names[right])
        t.hold(op.outputs[0], t.reshape(made, (*shapes[0][:-1], len(weights)), f"{name}/folded"))
        return
    values = [t.value(left), t.value(right)]
    for side, flag in enumerate(("adjX", "adjY")):
        if op.option(flag):
            rank = len(shapes[side])
            values[side] = t.transpose(values[side], [*range(rank - 2), rank - 1, rank - 2], f"{name}/{flag}")
            shapes[side] = t.graph.shapes[values[side]]
    if shapes[0][-1] != shapes[1][-2]:
        raise t.misfit("matrices that fit each other", f"{list(shapes[0])} and {list(shapes[1])}")
    shape = (*np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2]), shapes[0][-2], shapes[1][-1])
    t.hold(op.outputs[0], t.emit("MatMul", values, shape, name))


OPERATORS: dict[str, Callable[[Translation, Operator], None]] = {
    **dict.fromkeys(_UNARY, _unary), **dict.fromkeys(_BINARY, _binary), **dict.fromkeys(_REDUCTIONS, _reduce),
    "LEAKY_RELU": _leaky_relu, "GELU": _gelu, "RSQRT": _rsqrt, "SQUARE": _square, "CAST": _cast, "PRELU": _prelu,
    "SQUARED_DIFFERENCE": _squared_difference, "ADD_N": _add_n, "SOFTMAX": _softmax, "LOG_SOFTMAX": _softmax,
    "L2_NORMALIZATION": _l2_normalization, "ARG_MAX": _arg_max, "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
}
