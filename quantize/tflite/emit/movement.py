"""Operators that move, join and cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.graph import Node
from quantize.tflite.emit.versions import version
from quantize.tflite.file import File

__all__ = ["EMIT"]


def _reshape(file: File, node: Node) -> None:
    shape = [int(side) for side in file.graph.shapes[node.name]]
    file.operator("RESHAPE", [file.tensor(node.inputs[0]), file.integers(shape)], node.outputs, 1, "ReshapeOptions")


def _transpose(file: File, node: Node) -> None:
    perm = node.attributes["perm"]
    file.operator("TRANSPOSE", [file.tensor(node.inputs[0]), file.integers(perm)], node.outputs,
                  version(file, "TRANSPOSE", node, least=6 if len(perm) > 5 else 1), "TransposeOptions")


def _concat(file: File, node: Node) -> None:
    file.operator("CONCATENATION", [file.tensor(value) for value in node.inputs], node.outputs, version(file, "CONCATENATION", node),
                  "ConcatenationOptions", axis=node.attributes["axis"])


def _split(file: File, node: Node) -> None:
    x, axis = file.tensor(node.inputs[0]), file.array(np.array(node.attributes["axis"], np.int32))
    file.operator("SPLIT", [axis, x], node.outputs, version(file, "SPLIT", node), "SplitOptions", numSplits=len(node.outputs))


def _slice(file: File, node: Node) -> None:
    shape, values = file.graph.shapes[node.inputs[0]], node.attributes
    cuts = {axis: (start, end, step) for axis, start, end, step in
            zip(values["axes"], values["starts"], values["ends"], values["steps"], strict=True)}
    x, begins = file.tensor(node.inputs[0]), [cuts[axis][0] if axis in cuts else 0 for axis in range(len(shape))]
    if all(step == 1 for _, _, step in cuts.values()):
        file.operator("SLICE", [x, file.integers(begins), file.integers(file.graph.shapes[node.name])], node.outputs,
                      version(file, "SLICE", node), "SliceOptions")
        return
    steps = [cuts[axis][2] if axis in cuts else 1 for axis in range(len(shape))]
    ends = [cuts[axis][1] if axis in cuts else side for axis, side in enumerate(shape)]
    mask = sum(1 << axis for axis, end in enumerate(ends) if end < 0)  # up to the first one, going back
    ends = [max(end, 0) for end in ends]
    file.operator("STRIDED_SLICE", [x, file.integers(begins), file.integers(ends), file.integers(steps)], node.outputs,
                  version(file, "STRIDED_SLICE", node), "StridedSliceOptions", endMask=mask)


def _pad(file: File, node: Node) -> None:
    pads, x, values = list(node.attributes["pads"]), file.tensor(node.inputs[0]), node.attributes
    rank = len(pads) // 2
    paddings = file.integers(np.array([pads[:rank], pads[rank:]], np.int32).T)
    if values["mode"] == "reflect":
        file.operator("MIRROR_PAD", [x, paddings], node.outputs, version(file, "MIRROR_PAD", node), "MirrorPadOptions", mode=0)
    elif values["value"] == 0:
        file.operator("PAD", [x, paddings], node.outputs, version(file, "PAD", node), "PadOptions")
    else:
        dtype, grid = file.graph.dtypes[node.inputs[0]], file.grids.get(node.inputs[0])
        fill = np.array([values["value"]], np.float32)
        stored = grid.quantize(fill) if grid is not None else fill.astype(dtype)
        file.operator("PADV2", [x, paddings, file.array(stored, grid)], node.outputs, version(file, "PADV2", node), "PadV2Options")


def _gather(file: File, node: Node) -> None:
    x, indices = (file.tensor(value) for value in node.inputs)
    file.operator("GATHER", [x, indices], node.outputs, version(file, "GATHER", node), "GatherOptions", axis=node.attributes["axis"])


def _tile(file: File, node: Node) -> None:
    file.operator("TILE", [file.tensor(node.inputs[0]), file.integers(node.attributes["repeats"])], node.outputs,
                  version(file, "TILE", node), "TileOptions")


def _expand(file: File, node: Node) -> None:
    shape = file.integers(file.graph.shapes[node.name])
    file.operator("BROADCAST_TO", [file.tensor(node.inputs[0]), shape], node.outputs, version(file, "BROADCAST_TO", node),
                  "BroadcastToOptions")


EMIT: dict[str, Callable[[File, Node], None]] = {
    "Reshape": _reshape, "Transpose": _transpose, "Concat": _concat, "Split": _split, "Slice": _slice, "Pad": _pad,
    "Gather": _gather, "Tile": _tile, "Expand": _expand,
}
