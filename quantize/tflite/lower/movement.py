"""Operators that move numbers, join values or cut them. In integers, input and output have one grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.graph import Node
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER"]

_MOST_PARTS = 4


def _moving(lowering: Lowering, node: Node) -> None:
    """As the graph has it."""
    x = lowering.take(node.inputs[0])
    lowering.give(node.name, lowering.moves(node.op, x, lowering.shape(node.name), node.name, **node.attributes))


def _pad(lowering: Lowering, node: Node) -> None:
    """Edges are repeated by joining slices of one row; what is negative is cut off."""
    pads, rank = list(node.attributes["pads"]), len(lowering.shape(node.inputs[0]))
    x = lowering.take(node.inputs[0])
    if min(pads) < 0:
        shape = lowering.graph.shapes[x]
        starts = [max(-pads[axis], 0) for axis in range(rank)]
        ends = [shape[axis] - max(-pads[rank + axis], 0) for axis in range(rank)]
        x = lowering.moves("Slice", x, [end - start for start, end in zip(starts, ends, strict=True)], axes=list(range(rank)),
                           starts=starts, ends=ends, steps=[1] * rank)
        pads = [max(side, 0) for side in pads]
    if node.attributes["mode"] == "edge":
        for axis in range(rank):
            x = _edges(lowering, x, axis, pads[axis], pads[rank + axis])
        lowering.give(node.name, x)
        return
    lowering.give(node.name, lowering.moves("Pad", x, lowering.shape(node.name), node.name, pads=pads, mode=node.attributes["mode"],
                                            value=float(node.attributes["value"])))


def _edges(lowering: Lowering, x: str, axis: int, before: int, after: int) -> str:
    """One side with its first and last entry repeated: a Gather of places."""
    if not before and not after:
        return x
    shape = list(lowering.graph.shapes[x])
    places = np.clip(np.arange(-before, shape[axis] + after), 0, shape[axis] - 1).astype(np.int32)
    shape[axis] += before + after
    return lowering.moves_with("Gather", [x, lowering.new("places", places)], shape, axis=axis)


def _concat(lowering: Lowering, node: Node) -> None:
    grid = lowering.grid_of(node.name)
    lowering.result("Concat", [lowering.on_grid(value, grid) for value in node.inputs], axis=node.attributes["axis"])


def _split(lowering: Lowering, node: Node) -> None:
    """SPLIT makes equal parts, and XNNPACK at most four; others are cut one by one."""
    x, axis, sizes = lowering.take(node.inputs[0]), node.attributes["axis"], node.attributes["split"]
    if len(set(sizes)) == 1 and len(sizes) <= _MOST_PARTS:
        made = lowering.emit_parts("Split", x, node.outputs, axis=axis, split=list(sizes))
    else:
        ends = np.cumsum(sizes).tolist()
        made = []
        for output, size, end in zip(node.outputs, sizes, ends, strict=True):
            cut = {"axes": [axis], "starts": [end - size], "ends": [end], "steps": [1]}
            made.append(lowering.moves("Slice", x, lowering.shape(output), output, **cut))
    for output, name in zip(node.outputs, made, strict=True):
        lowering.give(output, name)


def _gather(lowering: Lowering, node: Node) -> None:
    """Indices are int32 in the file; those from the end are counted from the start."""
    x, axis = lowering.take(node.inputs[0]), node.attributes["axis"]
    indices, before, after = lowering.constant(node.inputs[1]), lowering.shape(node.inputs[0]), lowering.shape(node.name)
    if indices is None:
        lowering.give(node.name, lowering.moves_with("Gather", [x, lowering.take(node.inputs[1])], after, node.name, axis=axis))
        return
    places = np.where(indices < 0, indices + before[axis], indices).astype(np.int32).ravel()
    if not np.array_equal(places, np.arange(before[axis])):
        flat = (*before[:axis], len(places), *before[axis + 1:])
        name = node.name if flat == after else ""
        x = lowering.moves_with("Gather", [x, lowering.new("indices", places)], flat, name, axis=axis)
    lowering.give(node.name, x if lowering.graph.shapes[x] == after else lowering.reshaped(x, after))


def _depth_to_space(lowering: Lowering, node: Node) -> None:
    """TFLite counts channels as mode DCR does; CRD has them in another order."""
    x, block = lowering.take(node.inputs[0]), int(node.attributes["blocksize"])
    batch, channels, height, width = lowering.graph.shapes[x]
    if node.attributes.get("mode", "DCR") == "CRD":
        left = channels // block**2
        places = np.arange(channels).reshape(left, block * block).T.ravel().astype(np.int32)
        x = lowering.moves_with("Gather", [x, lowering.new("channels", places)], (batch, channels, height, width), axis=1)
    shape = (batch, height * block, width * block, channels // block**2)
    made = lowering.moves("DEPTH_TO_SPACE", lowering.nhwc(x), shape, node.name, block=block)
    lowering.give(node.name, lowering.nchw(made))


def _space_to_depth(lowering: Lowering, node: Node) -> None:
    x, block = lowering.nhwc(lowering.take(node.inputs[0])), int(node.attributes["blocksize"])
    batch, height, width, channels = lowering.graph.shapes[x]
    shape = (batch, height // block, width // block, channels * block**2)
    lowering.give(node.name, lowering.nchw(lowering.moves("SPACE_TO_DEPTH", x, shape, node.name, block=block)))


LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    **dict.fromkeys(("Reshape", "Transpose", "Slice", "Expand", "Tile"), _moving), "Pad": _pad, "Concat": _concat, "Split": _split,
    "Gather": _gather, "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth,
}
