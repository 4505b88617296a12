"""Sums, products and other operators on numbers one by one."""

from __future__ import annotations

from collections.abc import Callable

from quantize.graph import Node
from quantize.tflite.lower.activation import clamp
from quantize.tflite.lower.windows import OPEN, clamped
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER"]


def _pair(lowering: Lowering, node: Node) -> None:
    """Add, Sub, Mul, Div, with the Relu or Clip after them."""
    inputs = [lowering.take(value) for value in node.inputs]
    grid = lowering.grid_of(node.name)
    activation, left = clamped(node, grid)
    if left == OPEN:
        lowering.result(node.op, inputs, activation=activation)
        return
    made = lowering.emit(node.op, inputs, lowering.shape(node.name), grid)
    lowering.give(node.name, clamp(lowering, made, *left, node.name))


def _extreme(lowering: Lowering, node: Node) -> None:
    """Min, Max: integers are compared as they are, so all must be on one grid."""
    grid = lowering.grid_of(node.name)
    lowering.result(node.op, [lowering.on_grid(value, grid) for value in node.inputs])


def _plain(lowering: Lowering, node: Node) -> None:
    lowering.result(node.op, [lowering.take(value) for value in node.inputs])


def _pow(lowering: Lowering, node: Node) -> None:
    """Powers of 2, 1/2 and -1 are SQUARE, SQRT and DIV: faster, and exact."""
    exponent = lowering.constant(node.inputs[1])
    x = lowering.take(node.inputs[0])
    if exponent is not None and exponent.size == 1 and lowering.graph.shapes[x] == lowering.shape(node.name):
        power = float(exponent.ravel()[0])
        if power in (2.0, 0.5):
            lowering.result("Square" if power == 2 else "Sqrt", [x])
            return
        if power == -1:
            lowering.result("Div", [lowering.number(1.0), x])
            return
    lowering.result("Pow", [x, lowering.take(node.inputs[1])])


def _reciprocal(lowering: Lowering, node: Node) -> None:
    lowering.result("Div", [lowering.number(1.0, "one"), lowering.take(node.inputs[0])])


def _cast(lowering: Lowering, node: Node) -> None:
    x = lowering.take(node.inputs[0])
    dtype = lowering.source.dtypes[node.name]
    lowering.give(node.name, lowering.emit("Cast", [x], lowering.shape(node.name), None, node.name, dtype, to=dtype))


LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _pair), "Min": _extreme, "Max": _extreme, "Pow": _pow,
    **dict.fromkeys(("Exp", "Log", "Sqrt", "Abs", "Neg", "Floor"), _plain), "Reciprocal": _reciprocal, "Cast": _cast,
}
