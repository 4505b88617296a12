"""Operators that move or select numbers."""

from __future__ import annotations

import numpy as np

from quantize.graph import Node
from quantize.graph.canonical.rewrite import EVAL_HINT, Rewrite, Rule

__all__ = ["RULES"]


def _same(rewrite: Rewrite, node: Node) -> None:
    rewrite.forward(node.inputs[0], node.name)


def _dropout(rewrite: Rewrite, node: Node) -> None:
    if len(node.outputs) > 1 and node.outputs[1] in rewrite.read:
        rewrite.refuse(node, "a model for inference", "one that reads the mask of a Dropout", EVAL_HINT)
    _same(rewrite, node)


def _reshape(rewrite: Rewrite, node: Node) -> None:
    rewrite.reshape(node.inputs[0], node.name)


def _cast(rewrite: Rewrite, node: Node) -> None:
    """Cast and CastLike: what type was wanted is the type of the output."""
    value, output = node.inputs[0], node.name
    dtypes = rewrite.graph.dtypes
    if dtypes[value] == dtypes[output]:
        rewrite.forward(value, output)
    else:
        rewrite.emit("Cast", [value], output, to=dtypes[output])


def _transpose(rewrite: Rewrite, node: Node) -> None:
    rank = len(rewrite.shape(node.inputs[0]))
    perm = [int(side) for side in node.attributes.get("perm") or range(rank)[::-1]]
    if perm == list(range(rank)):
        _same(rewrite, node)
    else:
        rewrite.emit("Transpose", node.inputs, node.outputs, perm=perm)


def _concat(rewrite: Rewrite, node: Node) -> None:
    full = [value for value in node.inputs if 0 not in rewrite.shape(value)]
    if len(full) == 1:
        rewrite.forward(full[0], node.name)
    else:
        rewrite.emit("Concat", full, node.outputs, axis=_axis(rewrite, node, 0))


def _split(rewrite: Rewrite, node: Node) -> None:
    axis = _axis(rewrite, node, 0)
    full = [output for output in node.outputs if rewrite.shape(output)[axis]]
    if len(full) == 1:
        rewrite.forward(node.inputs[0], full[0])
    else:
        rewrite.emit("Split", node.inputs[:1], full, axis=axis, split=[rewrite.shape(output)[axis] for output in full])


def _slice(rewrite: Rewrite, node: Node) -> None:
    starts, ends = rewrite.numbers(node, 1, "starts"), rewrite.numbers(node, 2, "ends")
    if starts is None or ends is None:
        rewrite.refuse(node, "starts and ends", "none", "export the model again")
    axes = rewrite.numbers(node, 3, "axes") or list(range(len(starts)))
    steps = rewrite.numbers(node, 4, "steps") or [1] * len(starts)
    shape = rewrite.shape(node.inputs[0])
    cuts = []
    for first, last, axis, step in zip(starts, ends, axes, steps, strict=True):
        side = shape[axis]
        low, high = (0, side) if step > 0 else (-1, side - 1)  # an end of -1 with a negative step: down to index 0
        start, end = (min(max(place + side if place < 0 else place, low), high) for place in (first, last))
        if (start, end, step) != (0, side, 1):
            cuts.append((axis % len(shape), start, end, step))
    if not cuts:
        _same(rewrite, node)
        return
    axes, starts, ends, steps = (list(column) for column in zip(*sorted(cuts), strict=True))
    rewrite.emit("Slice", node.inputs[:1], node.outputs, starts=starts, ends=ends, axes=axes, steps=steps)


def _pad(rewrite: Rewrite, node: Node) -> None:
    x, shape = node.inputs[0], rewrite.shape(node.inputs[0])
    rank, given = len(shape), rewrite.numbers(node, 1, "pads") or []
    axes = rewrite.numbers(node, 3, "axes") or list(range(len(given) // 2))
    pads = [0] * (2 * rank)
    for place, axis in enumerate(axes):
        pads[axis % rank], pads[rank + axis % rank] = int(given[place]), int(given[len(axes) + place])
    if node.attributes.get("value") is not None:
        value = float(node.attributes["value"])
    else:
        value = float((rewrite.numbers(node, 2, "constant_value") or [0.0])[0])
    if any(pad < 0 for pad in pads):
        x = _cropped(rewrite, node, x, pads)
        pads = [max(pad, 0) for pad in pads]
    if not any(pads):
        rewrite.reshape(x, node.name)
    else:
        rewrite.emit("Pad", [x], node.outputs, pads=pads, mode=node.attributes.get("mode", "constant"), value=value)


def _cropped(rewrite: Rewrite, node: Node, x: str, pads: list[int]) -> str:
    """Negative pads cut off."""
    shape, rank = list(rewrite.shape(x)), len(pads) // 2
    axes = [side for side in range(rank) if pads[side] < 0 or pads[rank + side] < 0]
    starts = [max(-pads[side], 0) for side in axes]
    ends = [shape[side] + min(pads[rank + side], 0) for side in axes]
    for side, start, end in zip(axes, starts, ends, strict=True):
        shape[side] = end - start
    return rewrite.make("Slice", [x], "crop", shape, starts=starts, ends=ends, axes=axes, steps=[1] * len(axes))


def _expand(rewrite: Rewrite, node: Node) -> None:
    value, output = node.inputs[0], node.name
    if rewrite.shape(value) == rewrite.shape(output):
        rewrite.forward(value, output)
    elif np.prod(rewrite.shape(value)) == np.prod(rewrite.shape(output)):  # only sides of 1 in front
        rewrite.reshape(value, output)
    else:
        rewrite.emit("Expand", [value], output, shape=list(rewrite.shape(output)))


def _tile(rewrite: Rewrite, node: Node) -> None:
    repeats = rewrite.numbers(node, 1, "repeats") or []
    if all(number == 1 for number in repeats):
        _same(rewrite, node)
    else:
        rewrite.emit("Tile", node.inputs[:1], node.outputs, repeats=repeats)


def _gather(rewrite: Rewrite, node: Node) -> None:
    """By one constant index, or by indices that follow each other, it is a Slice."""
    x, indices = node.inputs
    axis, array, shape = _axis(rewrite, node, 0), rewrite.array(indices), rewrite.shape(x)
    if array is None or rewrite.array(x) is not None:
        rewrite.emit("Gather", [x, indices], node.outputs, axis=axis)
        return
    places = np.where(array < 0, array + shape[axis], array).reshape(-1)
    if array.ndim > 1 or not np.array_equal(places, np.arange(len(places)) + places[0]):
        indices = rewrite.constant("indices", places.reshape(array.shape), "int64")
        rewrite.emit("Gather", [x, indices], node.outputs, axis=axis)
        return
    start, end = int(places[0]), int(places[-1]) + 1
    if (start, end) != (0, shape[axis]):
        cut = (*shape[:axis], end - start, *shape[axis + 1:])
        name = node.name if array.ndim else rewrite.value("slice", cut, rewrite.graph.dtypes[x])
        x = rewrite.emit("Slice", [x], name, starts=[start], ends=[end], axes=[axis], steps=[1])
    if x != node.name:
        rewrite.reshape(x, node.name)


def _depth_to_space(rewrite: Rewrite, node: Node) -> None:
    rewrite.emit("DepthToSpace", node.inputs, node.outputs, blocksize=int(node.attributes["blocksize"]),
                 mode=node.attributes.get("mode", "DCR"))


def _scatter(rewrite: Rewrite, node: Node) -> None:
    rewrite.emit("ScatterElements", node.inputs, node.outputs, **node.attributes)


def _top_k(rewrite: Rewrite, node: Node) -> None:
    """Before set 10 k was an attribute."""
    attributes = dict(node.attributes)
    k = attributes.pop("k", None)
    inputs = node.inputs if k is None else [node.inputs[0], rewrite.constant("k", np.array([k]), "int64")]
    rewrite.emit("TopK", inputs, node.outputs, **attributes)


def _grid_sample(rewrite: Rewrite, node: Node) -> None:
    """Set 20 calls bilinear and bicubic linear and cubic."""
    mode = node.attributes.get("mode", "linear")
    rewrite.emit("GridSample", node.inputs, node.outputs, **{**node.attributes, "mode": mode.removeprefix("bi")})


def _axis(rewrite: Rewrite, node: Node, default: int) -> int:
    return int(node.attributes.get("axis", default)) % max(1, len(rewrite.shape(node.inputs[0])))


RULES: dict[str, Rule] = {
    "Identity": _same, "Dropout": _dropout, **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Cast": _cast, "CastLike": _cast, "Transpose": _transpose, "Concat": _concat, "Split": _split, "Slice": _slice,
    "Pad": _pad, "Expand": _expand, "Tile": _tile, "Gather": _gather, "DepthToSpace": _depth_to_space,
    "Scatter": _scatter, "TopK": _top_k, "GridSample": _grid_sample,
}
