"""Normalisations, from what TFLite has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantize.graph import Node
from quantize.tflite.lower.activation import fixed
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER"]


def _softmax(lowering: Lowering, node: Node) -> None:
    """SOFTMAX and LOG_SOFTMAX work along the last side."""
    op = "SOFTMAX" if node.op == "Softmax" else "LOG_SOFTMAX"
    x, axis, rank = lowering.take(node.inputs[0]), node.attributes["axis"], len(lowering.shape(node.name))
    perm = [*(side for side in range(rank) if side != axis), axis]
    grid, shape = fixed(lowering, op), [lowering.shape(node.name)[side] for side in perm]
    if perm == list(range(rank)):
        lowering.give(node.name, lowering.emit(op, [x], shape, grid, node.name))
        return
    made = lowering.emit(op, [lowering.transposed(x, perm)], shape, grid, node.name)
    lowering.give(node.name, lowering.transposed(made, [perm.index(side) for side in range(rank)]))


def _centred(lowering: Lowering, node: Node, axes: Sequence[int], factor: np.ndarray, offset: np.ndarray) -> None:
    """(x - mean) / sqrt(variance + epsilon) * factor + offset, over ``axes``."""
    x, shape = lowering.take(node.inputs[0]), lowering.shape(node.name)
    small = [1 if axis in axes else side for axis, side in enumerate(shape)]
    mean = lowering.emit("ReduceMean", [x], small, axes=list(axes), keepdims=1)
    difference = lowering.emit("Sub", [x, mean], shape)
    variance = lowering.emit("ReduceMean", [lowering.emit("Square", [difference], shape)], small, axes=list(axes), keepdims=1)
    raised = lowering.emit("Add", [variance, lowering.number(node.attributes["epsilon"], "epsilon")], small)
    scaled = lowering.emit("Mul", [difference, lowering.emit("Rsqrt", [raised], small)], shape)
    lowering.result("Add", [lowering.emit("Mul", [scaled, lowering.new("scale", factor)], shape), lowering.new("offset", offset)])


def _constants(lowering: Lowering, node: Node) -> list[np.ndarray]:
    found = []
    for value in node.inputs[1:]:
        constant = lowering.constant(value) if value else np.zeros((), np.float32)
        if constant is None:
            raise lowering.refuse("parameters that are constant", f"'{value}', which is computed",
                                  "fold them into the model before it is exported")
        found.append(constant.astype(np.float32))
    return found


def _layer(lowering: Lowering, node: Node) -> None:
    scale, *rest = _constants(lowering, node)
    offset = rest[0] if rest else np.zeros((), np.float32)
    _centred(lowering, node, range(node.attributes["axis"], len(lowering.shape(node.name))), scale, offset)


def _instance(lowering: Lowering, node: Node) -> None:
    rank = len(lowering.shape(node.name))
    scale, offset = (array.reshape(-1, *[1] * (rank - 2)) for array in _constants(lowering, node))
    _centred(lowering, node, range(2, rank), scale, offset)


def _batch(lowering: Lowering, node: Node) -> None:
    """Parameters are constant, so it is one product and one sum."""
    scale, offset, mean, variance = (array.astype(np.float64) for array in _constants(lowering, node))
    factor = scale / np.sqrt(variance + node.attributes["epsilon"])
    sides = (-1, *[1] * (len(lowering.shape(node.name)) - 2))
    shift = (offset - mean * factor).astype(np.float32).reshape(sides)
    scaled = lowering.emit("Mul", [lowering.take(node.inputs[0]), lowering.new("scale", factor.astype(np.float32).reshape(sides))],
                           lowering.shape(node.name))
    lowering.result("Add", [scaled, lowering.new("offset", shift)])


LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    "Softmax": _softmax, "LogSoftmax": _softmax, "LayerNormalization": _layer, "InstanceNormalization": _instance,
    "BatchNormalization": _batch,
}
