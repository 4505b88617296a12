"""Conv, in one and two dimensions: CONV_2D and DEPTHWISE_CONV_2D, channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quantize.graph import Node
from quantize.grid import Grid
from quantize.tflite.lower.activation import clamp
from quantize.tflite.lower.windows import OPEN, Window, clamped, pad_sides
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
    window = Window.of(lowering.source, node, weights.shape[2:])
    x = lowering.nhwc(lowering.take(node.inputs[0]))
    if not window.same:
        x = pad_sides(lowering, x, window.pads)
    depthwise = group > 1 and weights.shape[1] == 1  # of several channels each, groups are CONV_2D's since version 6
    w, grid = weights_of(lowering, node.inputs[1], (1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    inputs = [x, w, bias_of(lowering, node.inputs[2], x, grid)]
    made = _clamped(lowering, node, "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs,
                    (lowering.shape(node.name)[0], *window.out, weights.shape[0]), strides=window.strides,
                    dilations=window.dilations, padding="SAME" if window.padded and window.same else "VALID")
    lowering.give(node.name, lowering.nchw(made, rank))


def _clamped(lowering: Lowering, node: Node, op: str, inputs: list[str], shape: Sequence[int], **options: Any) -> str:
    """The operator, and after it what its own activation cannot clamp."""
    grid = lowering.grid_of(node.name)
    activation, left = clamped(node, grid)
    open_end = left == OPEN
    made = lowering.emit(op, inputs, shape, grid, node.name if open_end else "", activation=activation, **options)
    return made if open_end else clamp(lowering, made, *left, name=node.name)


def weights_of(lowering: Lowering, value: str, perm: Sequence[int]) -> tuple[str, Grid | None]:
    """Weights with their sides moved, 1-D kernels as a row. The name, and the grid before the sides were moved."""
    stored = lowering.quantized.constants[value] if lowering.integer else None
    array = lowering.source.constants[value] if stored is None else stored.values
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
