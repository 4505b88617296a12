"""Pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantize.graph import Node
from quantize.tflite.lower.windows import is_same, pad_sides, two
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER"]

_LOWEST = float(np.finfo(np.float32).min)


def _pool(lowering: Lowering, node: Node) -> None:
    rank = len(lowering.shape(node.name))
    if rank not in (3, 4):
        raise lowering.refuse("a pool in one or two dimensions", str(rank - 2), "quantize to ONNX instead (--format onnx)")
    if max(node.attributes.get("dilations", [1])) > 1:
        raise lowering.refuse("a pool without dilations", str(node.attributes["dilations"]), "quantize to ONNX instead (--format onnx)")
    half, values = rank - 2, node.attributes
    kernel, strides = two(values["kernel_shape"], rank, 1), two(values["strides"], rank, 1)
    pads = [*two(values["pads"][:half], rank, 0), *two(values["pads"][half:], rank, 0)]
    out = two(lowering.shape(node.name)[2:], rank, 1)
    x = lowering.nhwc(lowering.take(node.inputs[0]))
    same = is_same(lowering.graph.shapes[x][1:3], out, kernel, strides, [1, 1], pads)
    if node.op == "AveragePool" and not any(pads) and list(lowering.graph.shapes[x][1:3]) == kernel:
        mean = lowering.emit("ReduceMean", [x], (lowering.graph.shapes[x][0], 1, 1, lowering.graph.shapes[x][3]), lowering.grid_of(node.name), node.name, axes=[1, 2], keepdims=1)
        lowering.give(node.name, lowering.nchw(mean, rank))
    elif node.op == "MaxPool":
        padding, x = ("SAME", x) if same and any(pads) else ("VALID", _padded_low(lowering, node, x, pads))
        _finish(lowering, node, "MAX_POOL_2D", x, out, kernel, strides, padding)
    elif not any(pads) or not values["count_include_pad"] and same:
        _finish(lowering, node, "AVERAGE_POOL_2D", x, out, kernel, strides, "SAME" if any(pads) else "VALID")
    elif values["count_include_pad"]:
        _finish(lowering, node, "AVERAGE_POOL_2D", pad_sides(lowering, x, pads), out, kernel, strides, "VALID")
    else:
        _average_without_pads(lowering, node, x, out, kernel, strides, pads)


def _finish(lowering: Lowering, node: Node, op: str, x: str, out: Sequence[int], kernel: Sequence[int], strides: Sequence[int],
            padding: str) -> None:
    batch, _, _, channels = lowering.graph.shapes[x]
    made = lowering.moves(op, x, (batch, *out, channels), node.name, kernel=kernel, strides=strides, padding=padding)
    lowering.give(node.name, lowering.nchw(made, len(lowering.shape(node.name))))


def _padded_low(lowering: Lowering, node: Node, x: str, pads: Sequence[int]) -> str:
    """Padding that is never the maximum. Where nothing is below 0 that is 0, which XNNPACK pads with, too."""
    grid = lowering.grids.get(x)
    lowest = _LOWEST if grid is None else grid.low
    return pad_sides(lowering, x, pads, 0.0 if _is_positive(lowering, node, x) else lowest)


def _is_positive(lowering: Lowering, node: Node, x: str) -> bool:
    grid, maker = lowering.grids.get(x), lowering.source.producer(node.inputs[0])
    if grid is not None:
        return grid.low >= 0
    if maker is None:
        return False
    low = maker.attributes.get("clamp", (-1.0,))[0]
    return maker.op in ("Relu", "Sigmoid") or low >= 0 or maker.op == "Clip" and maker.attributes["min"] >= 0


def _average_without_pads(lowering: Lowering, node: Node, x: str, out: Sequence[int], kernel: Sequence[int],
                          strides: Sequence[int], pads: Sequence[int]) -> None:
    """Averages over padding too, times how many were counted by how many there were."""
    _, height, width, channels = lowering.graph.shapes[x]
    counts = [_counts(side, many, taps, step, before) for side, many, taps, step, before in
              zip((height, width), out, kernel, strides, pads[:2], strict=True)]
    factor = (kernel[0] * kernel[1] / np.outer(*counts)).astype(np.float32)[None, :, :, None]
    shape = (lowering.graph.shapes[x][0], *out, channels)
    padded = pad_sides(lowering, x, pads)
    pooled = lowering.moves("AVERAGE_POOL_2D", padded, shape, kernel=kernel, strides=strides, padding="VALID")
    made = lowering.emit("Mul", [pooled, lowering.operand(factor)], shape, lowering.grid_of(node.name), node.name, activation="NONE")
    lowering.give(node.name, lowering.nchw(made, len(lowering.shape(node.name))))


def _counts(side: int, many: int, taps: int, step: int, before: int) -> list[int]:
    """For each output of a side, how many of the inputs under it are real."""
    firsts = [place * step - before for place in range(many)]
    return [max(min(first + taps, side) - max(first, 0), 1) for first in firsts]


def _global(lowering: Lowering, node: Node) -> None:
    """The mean of each channel: MEAN over height and width of a picture with sides kept, which XNNPACK takes. The maximum: a
    pool as large as the picture."""
    shape = lowering.shape(node.inputs[0])
    if node.op == "GlobalAveragePool" or len(shape) not in (3, 4):
        op = "ReduceMean" if node.op == "GlobalAveragePool" else "ReduceMax"
        lowering.result(op, [lowering.take(node.inputs[0])], axes=list(range(2, len(shape))), keepdims=1)
        return
    x = lowering.nhwc(lowering.take(node.inputs[0]))
    _finish(lowering, node, "MAX_POOL_2D", x, [1, 1], lowering.graph.shapes[x][1:3], [1, 1], "VALID")


LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    "MaxPool": _pool, "AveragePool": _pool, "GlobalAveragePool": _global, "GlobalMaxPool": _global,
}
