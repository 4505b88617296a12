"""Operators that move, join and cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.graph import Node
from quantize.tflite.file import File

__all__ = ["EMIT"]


def _reshape(file: File, node: Node) -> None:
    shape = file.integers(file.graph.shapes[node.name])
    file.operator("RESHAPE", node, [file.tensor(node.inputs[0]), shape], "ReshapeOptions")


def _transpose(file: File, node: Node) -> None:
    file.operator("TRANSPOSE", node, [file.tensor(node.inputs[0]), file.integers(node.attributes["perm"])], "TransposeOptions")


def _concat(file: File, node: Node) -> None:
    file.operator("CONCATENATION", node, file.tensors(node), "ConcatenationOptions", axis=node.attributes["axis"])


def _split(file: File, node: Node) -> None:
    axis = file.array(np.array(node.attributes["axis"], np.int32))
    file.operator("SPLIT", node, [axis, *file.tensors(node)], "SplitOptions", numSplits=len(node.outputs))


def _slice(file: File, node: Node) -> None:
    """SLICE has no steps; STRIDED_SLICE stops before an end, so that one which goes back to the first has a flag instead."""
    shape, values = file.graph.shapes[node.inputs[0]], node.attributes
    begins, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
    for axis, begin, end, step in zip(values["axes"], values["starts"], values["ends"], values["steps"], strict=True):
        begins[axis], ends[axis], steps[axis] = begin, end, step
    x = file.tensor(node.inputs[0])
    if all(step == 1 for step in steps):
        file.operator("SLICE", node, [x, file.integers(begins), file.integers(file.graph.shapes[node.name])], "SliceOptions")
        return
    whole = sum(1 << axis for axis, end in enumerate(ends) if end < 0)
    cuts = [file.integers(begins), file.integers([max(end, 0) for end in ends]), file.integers(steps)]
    file.operator("STRIDED_SLICE", node, [x, *cuts], "StridedSliceOptions", endMask=whole)


def _pad(file: File, node: Node) -> None:
    pads, x, values = list(node.attributes["pads"]), file.tensor(node.inputs[0]), node.attributes
    rank = len(pads) // 2
    paddings = file.integers(np.array([pads[:rank], pads[rank:]], np.int32).T)
    if values["mode"] == "reflect":
        file.operator("MIRROR_PAD", node, [x, paddings], "MirrorPadOptions", mode=file.schema.MirrorPadMode.REFLECT)
    elif values["value"] == 0:
        file.operator("PAD", node, [x, paddings], "PadOptions")
    else:
        dtype, grid = file.graph.dtypes[node.inputs[0]], file.grids.get(node.inputs[0])
        fill = np.array([values["value"]], np.float32)
        stored = grid.quantize(fill) if grid is not None else fill.astype(dtype)
        file.operator("PADV2", node, [x, paddings, file.array(stored, grid)], "PadV2Options")


def _gather(file: File, node: Node) -> None:
    file.operator("GATHER", node, file.tensors(node), "GatherOptions", axis=node.attributes["axis"])


def _tile(file: File, node: Node) -> None:
    file.operator("TILE", node, [file.tensor(node.inputs[0]), file.integers(node.attributes["repeats"])], "TileOptions")


def _expand(file: File, node: Node) -> None:
    shape = file.integers(file.graph.shapes[node.name])
    file.operator("BROADCAST_TO", node, [file.tensor(node.inputs[0]), shape], "BroadcastToOptions")


EMIT: dict[str, Callable[[File, Node], None]] = {
    "Reshape": _reshape, "Transpose": _transpose, "Concat": _concat, "Split": _split, "Slice": _slice, "Pad": _pad,
    "Gather": _gather, "Tile": _tile, "Expand": _expand,
}
