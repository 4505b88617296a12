"""Pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantize.graph import Graph, Node
from quantize.tflite.lower.windows import Window, pad_sides
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER", "is_exact"]

_LOWEST = float(np.finfo(np.float32).min)


def is_exact(graph: Graph, node: Node) -> bool:
    """Whether an average is one operator of TFLite, so that integers are rounded once."""
    window = Window.of(graph, node, node.attributes["kernel_shape"])
    return not window.padded or bool(node.attributes["count_include_pad"]) or window.same


def _pool(lowering: Lowering, node: Node) -> None:
    rank = len(lowering.shape(node.name))
    if rank not in (3, 4) or max(node.attributes.get("dilations", [1])) > 1:
        raise lowering.refuse("a pool in one or two dimensions, without dilations", f"{rank - 2} dimensions, "
                              f"dilations {node.attributes.get('dilations', [1])}", "quantize to ONNX instead (--format onnx)")
    window = Window.of(lowering.source, node, node.attributes["kernel_shape"])
    x, padded = lowering.nhwc(lowering.take(node.inputs[0])), window.padded
    if node.op == "MaxPool":
        same = padded and window.same
        x = x if same else _padded_low(lowering, node, x, window.pads)
        _finish(lowering, node, "MAX_POOL_2D", x, window, "SAME" if same else "VALID")
    elif not padded and window.kernel == window.sides:
        batch, _, _, channels = lowering.graph.shapes[x]
        mean = lowering.emit("ReduceMean", [x], (batch, 1, 1, channels), lowering.grid_of(node.name), node.name,
                             axes=[1, 2], keepdims=1)
        lowering.give(node.name, lowering.nchw(mean, rank))
    elif not padded or (not node.attributes["count_include_pad"] and window.same):
        _finish(lowering, node, "AVERAGE_POOL_2D", x, window, "SAME" if padded else "VALID")
    elif node.attributes["count_include_pad"]:
        _finish(lowering, node, "AVERAGE_POOL_2D", pad_sides(lowering, x, window.pads), window, "VALID")
    else:
        _average_without_pads(lowering, node, x, window)


def _finish(lowering: Lowering, node: Node, op: str, x: str, window: Window, padding: str) -> None:
    batch, _, _, channels = lowering.graph.shapes[x]
    made = lowering.moves(op, x, (batch, *window.out, channels), node.name, kernel=window.kernel, strides=window.strides,
                          padding=padding)
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
    return maker.op in ("Relu", "Sigmoid") or low >= 0 or (maker.op == "Clip" and maker.attributes["min"] >= 0)


def _average_without_pads(lowering: Lowering, node: Node, x: str, window: Window) -> None:
    """Averages over padding too, times how many were counted by how many there were."""
    batch, _, _, channels = lowering.graph.shapes[x]
    counts = [_counts(*each) for each in zip(window.sides, window.out, window.kernel, window.strides, window.pads[:2], strict=True)]
    factor = (window.kernel[0] * window.kernel[1] / np.outer(counts[0], counts[1])).astype(np.float32)[None, :, :, None]
    shape = (batch, *window.out, channels)
    padded = pad_sides(lowering, x, window.pads)
    pooled = lowering.moves("AVERAGE_POOL_2D", padded, shape, kernel=window.kernel, strides=window.strides, padding="VALID")
    made = lowering.emit("Mul", [pooled, lowering.operand(factor)], shape, lowering.grid_of(node.name), node.name)
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
    sides = list(lowering.graph.shapes[x][1:3])
    _finish(lowering, node, "MAX_POOL_2D", x, Window(sides, [1, 1], [1, 1], [0] * 4, sides, [1, 1]), "VALID")


LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    "MaxPool": _pool, "AveragePool": _pool, "GlobalAveragePool": _global, "GlobalMaxPool": _global,
}
