"""Gemm and MatMul."""

from __future__ import annotations

from collections.abc import Callable

from quantize.graph import Node
from quantize.tflite.lower.activation import clamp
from quantize.tflite.lower.convolution import bias_of, weights_of
from quantize.tflite.lower.windows import OPEN, clamped
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER"]


def _gemm(lowering: Lowering, node: Node) -> None:
    """FULLY_CONNECTED. Integer weights may have a scale for each output: tflite-runtime 2.14 knows that, too."""
    weights = lowering.constant(node.inputs[1])
    if weights is None:
        raise lowering.refuse("weights that are constant", "computed weights", "fold them into the model before it is exported")
    x = lowering.take(node.inputs[0])
    w, grid = weights_of(lowering, node.inputs[1], (0, 1))
    b = bias_of(lowering, node.inputs[2], x, grid)
    out = lowering.grid_of(node.name)
    activation, left = clamped(node, out)
    open_end = left == OPEN
    made = lowering.emit("Gemm", [x, w, b], lowering.shape(node.name), out, node.name if open_end else "", activation=activation)
    lowering.give(node.name, made if open_end else clamp(lowering, made, *left, name=node.name))


def _mat_mul(lowering: Lowering, node: Node) -> None:
    inputs = [lowering.take(value) for value in node.inputs]
    ranks = [len(lowering.graph.shapes[value]) for value in inputs]
    if min(ranks) < 2 or max(ranks) > 5:
        raise lowering.refuse("matrices of 2 to 5 sides", str(ranks), "reshape them before they are multiplied")
    lowering.result("MatMul", inputs)


LOWER: dict[str, Callable[[Lowering, Node], None]] = {"Gemm": _gemm, "MatMul": _mat_mul}

