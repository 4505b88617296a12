"""Activations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.graph import Node
from quantize.grid import Grid
from quantize.tflite.fusing import bounds
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER", "clamp", "fixed", "implied"]

Bounds = tuple[float, float]
CLAMPS: frozenset[Bounds] = frozenset({(0.0, np.inf), (0.0, 6.0), (-1.0, 1.0)})  # RELU, RELU6, RELU_N1_TO_1
_FIXED = {"Sigmoid": (1 / 256, -128), "SOFTMAX": (1 / 256, -128), "Tanh": (1 / 128, 0), "LOG_SOFTMAX": (16 / 256, 127)}


def fixed(lowering: Lowering, op: str) -> Grid | None:
    """The grid that LiteRT's quantisation specification fixes for an operator's output; 16 bits are [-1, 1) throughout."""
    if not lowering.integer:
        return None
    scale, zero_point = _FIXED[op] if lowering.dtype == "int8" else (1 / 32768, 0)
    return Grid(lowering.dtype, np.array([scale], np.float32), np.array([zero_point], np.int64))


def implied(low: float, high: float, grid: Grid | None) -> Bounds:
    """The bounds that integers on ``grid`` do not keep by themselves."""
    if grid is None:
        return low, high
    half = float(grid.scale[0]) / 2
    return (-np.inf if grid.low >= low - half else low), (np.inf if grid.high <= high + half else high)


def clamp(lowering: Lowering, value: str, low: float, high: float, name: str = "") -> str:
    """A value kept within bounds, on its own grid where it is integers; itself where nothing is to be done."""
    shape, grid = lowering.graph.shapes[value], lowering.grids.get(value)
    left = implied(low, high, grid)
    if left == (-np.inf, np.inf):
        return value
    if _has_kernel(lowering, low, high):
        return lowering.emit("Clip", [value], shape, grid, name, min=low, max=high)
    ends = [(op, bound) for op, bound in zip(("Max", "Min"), left, strict=True) if np.isfinite(bound)]
    for place, (op, bound) in enumerate(ends):
        last = place == len(ends) - 1
        value = lowering.emit(op, [value, _limit(lowering, value, bound)], shape, grid, name if last else "")
    return value


def _has_kernel(lowering: Lowering, low: float, high: float) -> bool:
    """RELU_N1_TO_1 has none of 16 bits."""
    return (low, high) in CLAMPS and not (lowering.dtype == "int16" and low < 0)


def _limit(lowering: Lowering, value: str, bound: float) -> str:
    """A bound as an operand on the grid of the value: MINIMUM and MAXIMUM compare integers."""
    grid, array = lowering.grids.get(value), np.array([bound], np.float32)
    return lowering.new("bound", array) if grid is None else lowering.new("bound", grid.quantize(array), grid)


def _clip(lowering: Lowering, node: Node) -> None:
    """In integers, RELU and its kin round to the output's grid; what they cannot clamp is clamped before it is rounded, as far
    as the output's grid does not end there anyway."""
    low, high = bounds(node)
    x, grid = lowering.take(node.inputs[0]), lowering.grid_of(node.name)
    if _has_kernel(lowering, low, high) and implied(low, high, grid) != (-np.inf, np.inf):
        lowering.result("Clip", [x], min=low, max=high)
        return
    left = implied(low, high, grid)
    if left == (-np.inf, np.inf) and not lowering.integer:
        lowering.give(node.name, x)
        return
    lowering.give(node.name, clamp(lowering, x, *left, "" if lowering.integer else node.name))


def _plain(lowering: Lowering, node: Node) -> None:
    lowering.result(node.op, [lowering.take(node.inputs[0])], **node.attributes)


def _specified(lowering: Lowering, node: Node) -> None:
    x = lowering.take(node.inputs[0])
    lowering.give(node.name, lowering.emit(node.op, [x], lowering.shape(node.name), fixed(lowering, node.op), node.name))


def _hard_sigmoid(lowering: Lowering, node: Node) -> None:
    """alpha clamp(x + beta / alpha, 0, 1 / alpha): RELU6 does the work for the usual alpha of 1/6."""
    alpha, beta = float(node.attributes["alpha"]), float(node.attributes["beta"])
    top = float(np.float32(1 / alpha))
    top = 6.0 if abs(top - 6) < 1e-5 else top
    x, shape = lowering.take(node.inputs[0]), lowering.shape(node.name)
    grid = _enlarged(lowering.grid_of(node.name), top)
    activation = "RELU6" if top == 6 else "NONE"
    raised = lowering.emit("Add", [x, lowering.number(beta / alpha, "offset")], shape, grid, activation=activation)
    if activation == "NONE":
        raised = clamp(lowering, raised, 0.0, top)
    lowering.result("Mul", [raised, lowering.number(1 / top, "slope")])


def _enlarged(grid: Grid | None, factor: float) -> Grid | None:
    """The grid on which ``factor`` times a value has the same integers."""
    return None if grid is None else Grid(grid.dtype, (grid.scale * np.float32(factor)).astype(np.float32), grid.zero_point)


def _elu(lowering: Lowering, node: Node) -> None:
    """TFLite's ELU has an alpha of 1; others are made of both halves: max(x, 0) + alpha (exp(min(x, 0)) - 1)."""
    alpha = float(node.attributes["alpha"])
    if alpha == 1:
        _plain(lowering, node)
        return
    x, shape = lowering.take(node.inputs[0]), lowering.shape(node.name)
    zero = lowering.number(0.0, "zero")
    under = lowering.emit("Exp", [lowering.emit("Min", [x, zero], shape)], shape)
    less = lowering.emit("Sub", [under, lowering.number(1.0, "one")], shape)
    less = lowering.emit("Mul", [less, lowering.number(alpha, "alpha")], shape)
    lowering.result("Add", [lowering.emit("Clip", [x], shape, min=0.0, max=np.inf), less])


def _erf(lowering: Lowering, node: Node) -> None:
    """Abramowitz and Stegun 7.1.26, within 1.5e-7: sign(x) (1 - (a1 t + ... + a5 t^5) exp(-x^2)), t = 1 / (1 + p |x|)."""
    x, shape = lowering.take(node.inputs[0]), lowering.shape(node.name)
    one = lowering.number(1.0, "one")
    positive = lowering.emit("Abs", [x], shape)
    below = lowering.emit("Add", [lowering.emit("Mul", [positive, lowering.number(0.3275911, "p")], shape), one], shape)
    t = lowering.emit("Div", [one, below], shape)
    total = lowering.number(1.061405429, "a5")
    for place, factor in enumerate((-1.453152027, 1.421413741, -0.284496736, 0.254829592)):
        total = lowering.emit("Add", [lowering.emit("Mul", [t, total], shape), lowering.number(factor, f"a{4 - place}")], shape)
    total = lowering.emit("Mul", [t, total], shape)
    bell = lowering.emit("Exp", [lowering.emit("Neg", [lowering.emit("Mul", [x, x], shape)], shape)], shape)
    size = lowering.emit("Sub", [one, lowering.emit("Mul", [total, bell], shape)], shape)
    steep = lowering.emit("Mul", [x, lowering.number(1e30, "steep")], shape)
    sign = lowering.emit("Clip", [steep], shape, min=-1.0, max=1.0)
    lowering.result("Mul", [size, sign])


def _p_relu(lowering: Lowering, node: Node) -> None:
    """XNNPACK wants a slope for each channel, which has one side or three of which two are 1."""
    lowering.result("PRelu", [lowering.take(value) for value in node.inputs])


LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    "Relu": _clip, "Clip": _clip, "Sigmoid": _specified, "Tanh": _specified, "HardSigmoid": _hard_sigmoid, "Elu": _elu,
    "Erf": _erf, "PRelu": _p_relu, **dict.fromkeys(("HardSwish", "LeakyRelu", "Gelu"), _plain),
}
