"""Operators on single numbers, with numpy's broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantize.graph import Node
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["RULES"]

_DEFAULTS: dict[str, dict[str, Any]] = {
    "LeakyRelu": {"alpha": 0.01}, "Elu": {"alpha": 1.0}, "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Gelu": {"approximate": "none"}}
_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1, "Pow": 1}


def _with_defaults(rewrite: Rewrite, node: Node) -> None:
    rewrite.emit(node.op, node.inputs, node.outputs, **{**_DEFAULTS[node.op], **node.attributes})


def _clip(rewrite: Rewrite, node: Node) -> None:
    """Limits as attributes (up to set 10) or inputs; by limits that vary it is Max and Min."""
    x, output = node.inputs[0], node.name
    limits = [rewrite.input(node, 1), rewrite.input(node, 2)]
    if all(name is None or rewrite.array(name) is not None for name in limits):
        low, high = (_limit(rewrite, node, place, limits[place]) for place in (0, 1))
        if (low, high) == (0, np.inf) and rewrite.graph.dtypes[x] == "float32":
            rewrite.emit("Relu", [x], output)
        elif (low, high) == (-np.inf, np.inf):
            rewrite.forward(x, output)
        else:
            rewrite.emit("Clip", [x], output, min=low, max=high)
        return
    low_name, high_name = limits
    if low_name and high_name:
        rewrite.emit("Min", [rewrite.make("Max", [x, low_name], "max", rewrite.shape(x)), high_name], output)
    else:
        rewrite.emit("Max" if low_name else "Min", [x, low_name or high_name or ""], output)


def _limit(rewrite: Rewrite, node: Node, place: int, name: str | None) -> float:
    open_end = (-np.inf, np.inf)[place]
    array = rewrite.array(name) if name else None
    limit = float(array.reshape(-1)[0]) if array is not None else float(node.attributes.get(("min", "max")[place], open_end))
    return limit if abs(limit) < 3.4028234e38 else open_end  # exporters write the largest float for "none"


def _two(rewrite: Rewrite, node: Node) -> None:
    """Add, Sub, Mul, Div and Pow: what leaves its input as it is goes away; Sub and Div by a constant are Add and Mul."""
    (a, b), output = node.inputs, node.name
    if node.op in ("Add", "Mul") and rewrite.array(a) is not None:
        a, b = b, a  # the constant second
    array = rewrite.array(b)
    if array is not None and rewrite.shape(a) == rewrite.shape(output) and np.all(array == _NEUTRAL[node.op]):
        rewrite.forward(a, output)
    elif node.op == "Sub" and array is not None and rewrite.graph.dtypes[a] == "float32":
        rewrite.emit("Add", [a, rewrite.constant("negative", -array)], output)
    elif node.op == "Div" and array is not None and rewrite.graph.dtypes[a] == "float32" and np.all(array != 0):
        rewrite.emit("Mul", [a, rewrite.constant("reciprocal", np.float32(1) / array)], output)
    else:
        rewrite.emit(node.op, [a, b], output)


def _several(rewrite: Rewrite, node: Node) -> None:
    """Min, Max, Sum and Mean of any number of inputs: one after the other."""
    op = {"Sum": "Add", "Mean": "Add"}.get(node.op, node.op)
    value, output = node.inputs[0], node.name
    rest = node.inputs[1:]
    if not rest:
        rewrite.forward(value, output)
        return
    for place, other in enumerate(rest):
        if place == len(rest) - 1 and node.op != "Mean":
            rewrite.emit(op, [value, other], output)
            return
        shape = np.broadcast_shapes(rewrite.shape(value), rewrite.shape(other))
        value = rewrite.make(op, [value, other], str(place + 1), shape)
    rewrite.emit("Mul", [value, rewrite.constant("share", np.float32(1 / len(node.inputs)))], output)


def _swish(rewrite: Rewrite, node: Node) -> None:
    x, alpha, shape = node.inputs[0], float(node.attributes.get("alpha", 1.0)), rewrite.shape(node.inputs[0])
    inner = x
    if alpha != 1:
        inner = rewrite.make("Mul", [x, rewrite.constant("alpha", np.float32(alpha))], "scaled", shape)
    gate = rewrite.make("Sigmoid", [inner], "sigmoid", shape)
    rewrite.emit("Mul", [x, gate], node.name)


def _softsign(rewrite: Rewrite, node: Node) -> None:
    x, shape, one = node.inputs[0], rewrite.shape(node.inputs[0]), rewrite.constant("one", np.float32(1))
    size = rewrite.make("Abs", [x], "abs", shape)
    rewrite.emit("Div", [x, rewrite.make("Add", [size, one], "sum", shape)], node.name)


def _scaled_elu(rewrite: Rewrite, node: Node) -> None:
    """Selu is gamma Elu(x); Celu is alpha Elu(x / alpha) with Elu's own alpha 1."""
    x, shape, selu = node.inputs[0], rewrite.shape(node.inputs[0]), node.op == "Selu"
    alpha = float(node.attributes.get("alpha", 1.67326319217681884765625 if selu else 1.0))
    scale = float(node.attributes.get("gamma", 1.05070102214813232421875)) if selu else alpha
    if not selu and alpha != 1:
        x = rewrite.make("Mul", [x, rewrite.constant("inverse", np.float32(1 / alpha))], "scaled", shape)
    if scale == 1:
        rewrite.emit("Elu", [x], node.name, alpha=1.0)
        return
    inner = rewrite.make("Elu", [x], "elu", shape, alpha=alpha if selu else 1.0)
    rewrite.emit("Mul", [inner, rewrite.constant("scale", np.float32(scale))], node.name)


def _mish(rewrite: Rewrite, node: Node) -> None:
    x, shape = node.inputs[0], rewrite.shape(node.inputs[0])
    inner = rewrite.make("Softplus", [x], "softplus", shape)
    gate = rewrite.make("Tanh", [inner], "tanh", shape)
    rewrite.emit("Mul", [x, gate], node.name)


def _softmax(rewrite: Rewrite, node: Node) -> None:
    """Before set 13 all sides from ``axis`` on were one; since then it is one side."""
    x, output, shape = node.inputs[0], node.name, rewrite.shape(node.inputs[0])
    axis = int(node.attributes.get("axis", 1 if rewrite.opset < 13 else -1))
    axis = axis % max(1, len(shape)) if axis < len(shape) else axis
    if rewrite.opset >= 13 or all(side == 1 for side in shape[axis + 1:]):
        rewrite.emit(node.op, [x], output, axis=axis)
        return
    flat = (int(np.prod(shape[:axis], dtype=np.int64)), int(np.prod(shape[axis:], dtype=np.int64)))
    rows = x if flat == shape else rewrite.make("Reshape", [x], "rows", flat, shape=list(flat))
    made = rewrite.make(node.op, [rows], "flat", flat, axis=1)
    rewrite.emit("Reshape", [made], output, shape=list(shape))


RULES: dict[str, Rule] = {
    **dict.fromkeys(_DEFAULTS, _with_defaults), **dict.fromkeys(_NEUTRAL, _two),
    **dict.fromkeys(("Min", "Max", "Sum", "Mean"), _several),
    "Clip": _clip, "Swish": _swish, "Mish": _mish, "Softsign": _softsign,
    "Selu": _scaled_elu, "Celu": _scaled_elu, "Softmax": _softmax, "LogSoftmax": _softmax, "Hardmax": _softmax,
}
