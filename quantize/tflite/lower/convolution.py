"""Conv, in one and two dimensions: CONV_2D and DEPTHWISE_CONV_2D, channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Node
from quantize.grid import Grid, Stored
from quantize.tflite.lower.activation import clamp
from quantize.tflite.lower.windows import clamped, is_same, pad_sides, two
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER", "bias_of", "weights_of"]


def _conv(lowering: Lowering, node: Node) -> None:
    weights = lowering.constant(node.inputs[1])
    if weights is None:
        raise lowering.refuse("weights that are constant", "computed weights", "fold them into the model before it is exported")
    if weights.ndim not in (3, 4):
        raise lowering.refuse("a convolution in one or two dimensions", f"{weights.ndim - 2}",
                              "quantize to ONNX instead (--format onnx)")
    rank, group = weights.ndim, node.attributes["group"]
    x = lowering.nhwc(lowering.take(node.inputs[0]))
    strides, dilations = two(node.attributes["strides"], rank, 1), two(node.attributes["dilations"], rank, 1)
    kernel, half = two(weights.shape[2:], rank, 1), rank - 2
    pads = [*two(node.attributes["pads"][:half], rank, 0), *two(node.attributes["pads"][half:], rank, 0)]
    out = two(lowering.shape(node.name)[2:], rank, 1)
    padding = "VALID"
    if any(pads):
        if is_same(lowering.graph.shapes[x][1:3], out, kernel, strides, dilations, pads):
            padding = "SAME"
        else:
            x = pad_sides(lowering, x, pads)
    options = {"padding": padding, "strides": strides, "dilations": dilations}
    shape = (lowering.shape(node.name)[0], *out, weights.shape[0])
    made = _split(lowering, node, x, shape, options) if group > 1 and weights.shape[1] > 1 else _whole(lowering, node, x, shape, options)
    lowering.give(node.name, lowering.nchw(made, rank))


def _whole(lowering: Lowering, node: Node, x: str, shape: Sequence[int], options: dict[str, object]) -> str:
    depthwise = node.attributes["group"] > 1
    perm = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    w, grid = weights_of(lowering, node.inputs[1], perm)
    b = bias_of(lowering, node.inputs[2], x, grid)
    op = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    return _clamped(lowering, node, op, [x, w, b], shape, options)


def _split(lowering: Lowering, node: Node, x: str, shape: Sequence[int], options: dict[str, object]) -> str:
    """Groups of several channels each: CONV_2D takes them since version 6, with weights of fewer channels than the input has."""
    w, grid = weights_of(lowering, node.inputs[1], (0, 2, 3, 1))
    b = bias_of(lowering, node.inputs[2], x, grid)
    return _clamped(lowering, node, "CONV_2D", [x, w, b], shape, options)


def _clamped(lowering: Lowering, node: Node, op: str, inputs: list[str], shape: Sequence[int], options: dict[str, object]) -> str:
    grid = lowering.grid_of(node.name)
    low, high = node.attributes.get("clamp", (-np.inf, np.inf))
    activation, left = clamped(lowering, low, high, grid)
    open_end = left == (-np.inf, np.inf)
    made = lowering.emit(op, inputs, shape, grid, node.name if open_end else "", activation=activation, **options)
    return made if open_end else clamp(lowering, made, *left, name=node.name)


def weights_of(lowering: Lowering, value: str, perm: Sequence[int], cut: Callable[[Array], Array] = lambda array: array) -> tuple[str, Grid | None]:
    """Weights with their sides moved, 1-D kernels as a row; ``cut`` picks what is wanted of them before. The name, and the grid
    before the sides were moved."""
    found = lowering.weights(value)
    stored = found if isinstance(found, Stored) else None
    array = cut(stored.values if stored else found)  # type: ignore[arg-type]  # an array where it is not stored
    if array.ndim == 3:
        array = array[:, :, None, :]
    array = np.ascontiguousarray(array.transpose(perm))
    if stored is None:
        return lowering.new("weights", array), None
    axis = None if stored.grid.axis is None or stored.grid.scale.size == 1 else list(perm).index(stored.grid.axis)
    grid = Grid(stored.grid.dtype, stored.grid.scale, stored.grid.zero_point, axis)
    return lowering.new("weights", array, grid), stored.grid


def bias_of(lowering: Lowering, value: str, x: str, weights: Grid | None, part: slice = slice(None)) -> str:
    """A bias: int32 on the scale input x weights (int64 beside 16-bit activations), or floats. ``part``: of a group."""
    bias = lowering.constant(value)
    if bias is None:
        raise lowering.refuse("a bias that is constant", "a computed bias", "fold it into the model before it is exported")
    if weights is None:
        return lowering.new("bias", bias[part])
    scale = (lowering.grids[x].scale.astype(np.float64) * weights.scale.astype(np.float64)).astype(np.float32)
    stored = lowering.quantized.constants.get(value)
    if stored is not None and np.allclose(stored.grid.scale, scale, rtol=1e-5):
        values, scale = stored.values, stored.grid.scale
    else:
        values = Grid("int32", scale, np.zeros(scale.shape, np.int64), 0 if scale.size > 1 else None).quantize(bias)
    dtype = "int64" if lowering.dtype == "int16" else "int32"
    grid = Grid(dtype, scale, np.zeros(scale.shape, np.int64), 0 if scale.size > 1 else None)
    return lowering.new("bias", values[part].astype(dtype), grid)


LOWER: dict[str, Callable[[Lowering, Node], None]] = {"Conv": _conv}
