"""ConvTranspose: TRANSPOSE_CONV, channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Node
from quantize.grid import Grid
from quantize.tflite.lower.activation import clamp
from quantize.tflite.lower.convolution import bias_of
from quantize.tflite.lower.windows import two
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER"]


def _conv_transpose(lowering: Lowering, node: Node) -> None:
    """TFLite's SAME takes (taps - stride) // 2 off in front; other amounts are cut from the whole afterwards. Groups are
    convolved apart, and a kernel with dilations has its gaps filled with zeros."""
    weights = lowering.constant(node.inputs[1])
    if weights is None or weights.ndim not in (3, 4):
        raise lowering.refuse("constant weights in one or two dimensions", "others", "quantize to ONNX instead (--format onnx)")
    rank, values = weights.ndim, node.attributes
    half, group = rank - 2, values["group"]
    x = lowering.nhwc(lowering.take(node.inputs[0]))
    strides = two(values["strides"], rank, 1)
    before = two(values["pads"][:half], rank, 0)
    gaps = two(values["dilations"], rank, 1)
    kernel = [(taps - 1) * gap + 1 for taps, gap in zip(two(weights.shape[2:], rank, 1), gaps, strict=True)]
    out = two(lowering.shape(node.name)[2:], rank, 1)
    parts = [x] if group == 1 else _parts(lowering, x, group)
    made = [_one(lowering, node, part, number, kernel, strides, before, out) for number, part in enumerate(parts)]
    grid = lowering.grid_of(node.name)
    whole = made[0]
    if group > 1:
        whole = lowering.emit("Concat", made, (*lowering.graph.shapes[whole][:3], weights.shape[1] * group), grid, axis=3)
    low, high = values.get("clamp", (-np.inf, np.inf))
    lowering.give(node.name, lowering.nchw(clamp(lowering, whole, low, high), rank))


def _parts(lowering: Lowering, x: str, group: int) -> list[str]:
    batch, height, width, channels = lowering.graph.shapes[x]
    size = channels // group
    return [lowering.moves("Slice", x, (batch, height, width, size), axes=[3], starts=[first], ends=[first + size], steps=[1])
            for first in range(0, channels, size)]


def _one(lowering: Lowering, node: Node, x: str, number: int, kernel: Sequence[int], strides: Sequence[int], before: Sequence[int],
         out: Sequence[int]) -> str:
    batch, height, width, channels = lowering.graph.shapes[x]
    w, grid = _weights(lowering, node, number, channels, kernel)
    outputs = lowering.graph.shapes[w][0]
    b = _bias(lowering, node, x, grid, number, outputs)
    strides = list(strides)
    result = lowering.grid_of(node.name)
    full = [(side - 1) * step + taps for side, step, taps in zip((height, width), strides, kernel, strict=True)]
    if all(skip == max(all_ - wanted, 0) // 2 and -(-wanted // step) == side for all_, wanted, skip, step, side in
           zip(full, out, before, strides, (height, width), strict=True)):
        return lowering.emit("TRANSPOSE_CONV", [x, w, b], (batch, *out, outputs), result, padding="SAME", strides=strides)
    reach = [max(all_, skip + wanted) for all_, skip, wanted in zip(full, before, out, strict=True)]
    made = lowering.emit("TRANSPOSE_CONV", [x, w, b], (batch, *reach, outputs), result, padding="VALID", strides=strides)
    if reach == list(out):
        return made
    ends = [skip + wanted for skip, wanted in zip(before, out, strict=True)]
    return lowering.moves("Slice", made, (batch, *out, outputs), axes=[1, 2], starts=list(before), ends=ends, steps=[1, 1])


def _weights(lowering: Lowering, node: Node, number: int, channels: int, kernel: Sequence[int]) -> tuple[str, Grid | None]:
    """(in, out, h, w) of one group as (out, h, w, in), with zeros between taps that are dilated."""
    stored = lowering.quantized.constants[node.inputs[1]] if lowering.integer else None
    array: Array = lowering.source.constants[node.inputs[1]] if stored is None else stored.values
    array = array[number * channels:(number + 1) * channels]
    array = array[:, :, None, :] if array.ndim == 3 else array
    spread = np.zeros((*array.shape[:2], *kernel), array.dtype)
    gaps = [max((side - 1) // max(taps - 1, 1), 1) for side, taps in zip(kernel, array.shape[2:], strict=True)]
    spread[:, :, ::gaps[0], ::gaps[1]] = array
    spread = np.ascontiguousarray(spread.transpose(1, 2, 3, 0))
    if stored is None:
        return lowering.new("weights", spread), None
    grid = stored.grid if stored.grid.scale.size == 1 else Grid(stored.grid.dtype, stored.grid.scale, stored.grid.zero_point, 0)
    return lowering.new("weights", spread, grid), grid


def _bias(lowering: Lowering, node: Node, x: str, grid: Grid | None, number: int, outputs: int) -> str:
    if node.attributes["group"] == 1:
        return bias_of(lowering, node.inputs[2], x, grid)
    return bias_of(lowering, node.inputs[2], x, grid, slice(number * outputs, (number + 1) * outputs))


LOWER: dict[str, Callable[[Lowering, Node], None]] = {"ConvTranspose": _conv_transpose}
