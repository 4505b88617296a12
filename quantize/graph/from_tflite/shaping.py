"""Operators that move, cut, join and repeat elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from quantize.graph.from_tflite.translation import Operator, Translation

__all__ = ["OPERATORS"]


def _reshape(t: Translation, op: Operator) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS."""
    old = list(t.shape(op.inputs[0]))
    if op.name == "RESHAPE":
        given = t.integers(op.inputs[1]) if op.optional(1) >= 0 else [int(side) for side in op.option("newShape", ())]
        known = prod(side for side in given if side != -1)
        new = [prod(old) // max(known, 1) if side == -1 else side for side in given]
    elif op.name == "SQUEEZE":
        dims = op.option("squeezeDims", None)
        axes = {int(axis) % len(old) for axis in (() if dims is None else dims)}
        new = [side for axis, side in enumerate(old) if side != 1 or (axes and axis not in axes)]
    else:
        place = t.integers(op.inputs[1])[0]
        new = list(old)
        new.insert(place if place >= 0 else len(old) + 1 + place, 1)
    t.hold(op.outputs[0], t.reshape(t.value(op.inputs[0]), new, t.names[op.outputs[0]]))


def _transpose(t: Translation, op: Operator) -> None:
    value = t.value(op.inputs[0])
    perm = [_axis(t, axis, len(t.graph.shapes[value])) for axis in t.integers(op.inputs[1])]
    if sorted(perm) != list(range(len(t.graph.shapes[value]))):
        raise t.misfit("a permutation of the sides", perm)
    t.hold(op.outputs[0], t.transpose(value, perm, t.names[op.outputs[0]]))


def _axis(t: Translation, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise t.misfit(f"one of {rank} axes", axis)
    return axis % rank


def _concatenation(t: Translation, op: Operator) -> None:
    names = [t.value(index) for index in op.inputs]
    shapes = [list(t.graph.shapes[name]) for name in names]
    axis = _axis(t, op.option("axis"), len(shapes[0]))
    if any(shape[:axis] + shape[axis + 1:] != shapes[0][:axis] + shapes[0][axis + 1:] for shape in shapes):
        raise t.misfit(f"parts that fit but for axis {axis}", shapes)
    made = [*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1:]]
    t.hold(op.outputs[0], t.emit_fused("Concat", names, made, t.names[op.outputs[0]], op.option("fusedActivationFunction"),
                                       axis=axis))


def _split(t: Translation, op: Operator) -> None:
    """Inputs of SPLIT: axis, x; of SPLIT_V: x, sizes, axis."""
    index, where = (op.inputs[1], op.inputs[0]) if op.name == "SPLIT" else (op.inputs[0], op.inputs[2])
    value = t.value(index)
    axis = _axis(t, t.integers(where)[0], len(t.graph.shapes[value]))
    whole, count = t.graph.shapes[value][axis], len(op.outputs)
    sizes = [whole // count] * count if op.name == "SPLIT" else t.integers(op.inputs[1])
    sizes = [whole - sum(sizes) - 1 if size == -1 else size for size in sizes]
    if sum(sizes) != whole:
        raise t.misfit(f"parts of {whole} together", sizes)
    made = t.emit_split(value, [t.names[output] for output in op.outputs], sizes, axis)
    for output, name in zip(op.outputs, made, strict=True):
        t.hold(output, name)


def _unpack(t: Translation, op: Operator) -> None:
    value, shape = t.value(op.inputs[0]), t.shape(op.inputs[0])
    axis = _axis(t, op.option("axis"), len(shape))
    made = t.emit_split(value, [f"{t.names[output]}/packed" for output in op.outputs], [1] * shape[axis], axis)
    for output, name in zip(op.outputs, made, strict=True):
        t.hold(output, t.reshape(name, (*shape[:axis], *shape[axis + 1:]), t.names[output]))


def _pack(t: Translation, op: Operator) -> None:
    shape, name = t.shape(op.inputs[0]), t.names[op.outputs[0]]
    axis = _axis(t, op.option("axis"), len(shape) + 1)
    whole = (*shape[:axis], 1, *shape[axis:])
    parts = [t.reshape(t.value(index), whole, f"{name}/{place}") for place, index in enumerate(op.inputs)]
    made = (*shape[:axis], len(parts), *shape[axis:])
    t.hold(op.outputs[0], t.emit("Concat", parts, made, name, axis=axis))


def _slice(t: Translation, op: Operator) -> None:
    starts, sizes, shape = t.integers(op.inputs[1]), t.integers(op.inputs[2]), t.shape(op.inputs[0])
    ends = [side if size == -1 else start + size for start, size, side in zip(starts, sizes, shape, strict=True)]
    _cut(t, op, [slice(start, end, 1) for start, end in zip(starts, ends, strict=True)])


def _strided_slice(t: Translation, op: Operator) -> None:
    """The masks are TensorFlow's (tf.strided_slice): a bit for each entry of begin, end and strides."""
    begin, end, strides = (t.integers(index) for index in op.inputs[1:4])
    shape = t.shape(op.inputs[0])
    if op.option("newAxisMask") or op.option("offset"):
        raise t.misfit("a slice without new axes and offsets", "one with them")
    entries = list(range(len(begin)))
    if op.option("ellipsisMask"):
        place = int(op.option("ellipsisMask")).bit_length() - 1
        entries[place:place + 1] = [-1] * (len(shape) - len(begin) + 1)
    entries += [-1] * (len(shape) - len(entries))
    cuts, dropped = [], []
    for axis, (entry, side) in enumerate(zip(entries, shape, strict=True)):
        if entry == -1:
            cuts.append(slice(0, side, 1))
        elif op.option("shrinkAxisMask") >> entry & 1:
            cuts.append(slice(begin[entry] % side, begin[entry] % side + 1, 1))
            dropped.append(axis)
        else:
            first = None if op.option("beginMask") >> entry & 1 else begin[entry]
            last = None if op.option("endMask") >> entry & 1 else end[entry]
            cuts.append(slice(*slice(first, last, strides[entry]).indices(side)))
    _cut(t, op, cuts, dropped)


def _cut(t: Translation, op: Operator, cuts: Sequence[slice], dropped: Sequence[int] = ()) -> None:
    """A Slice of the sides that are not whole, then a Reshape without the sides in ``dropped``."""
    value, name = t.value(op.inputs[0]), t.names[op.outputs[0]]
    sides = t.graph.shapes[value]
    axes = [axis for axis, (cut, side) in enumerate(zip(cuts, sides, strict=True)) if cut != slice(0, side, 1)]
    if any(cuts[axis].start < 0 or cuts[axis].stop > sides[axis] for axis in axes):
        raise t.misfit(f"a slice inside {list(sides)}", [f"{cut.start}:{cut.stop}" for cut in cuts])
    if axes:
        made = [len(range(cut.start, cut.stop, cut.step)) for cut in cuts]
        ends = [cuts[axis].stop if cuts[axis].stop >= 0 else -sides[axis] - 1 for axis in axes]  # below 0: before the first
        value = t.emit("Slice", [value], made, f"{name}/cut" if dropped else name, axes=axes, ends=ends,
                       starts=[cuts[axis].start for axis in axes], steps=[cuts[axis].step for axis in axes])
    if dropped:
        left = [side for axis, side in enumerate(t.graph.shapes[value]) if axis not in dropped]
        value = t.reshape(value, left, name)
    t.hold(op.outputs[0], value)


def _pad(t: Translation, op: Operator) -> None:
    """Paddings are (rank, 2): before and after each side."""
    value, pads = t.value(op.inputs[0]), t.known(op.inputs[1]).astype(np.int64)
    fill, mode = 0.0, "constant"
    if op.name == "PADV2":
        fill = float(t.known(op.inputs[2]).ravel()[0])
    elif op.name == "MIRROR_PAD":
        mode = "edge" if op.option("mode") == 1 else "reflect"
        if mode == "edge" and pads.max() > 1:  # by one, to repeat the edge and to mirror with it are the same
            raise t.misfit("a mirror that leaves the edge out (REFLECT)", "one that repeats it (SYMMETRIC)")
    if not pads.any():
        t.hold(op.outputs[0], value)
        return
    shape = [side + int(more) for side, more in zip(t.graph.shapes[value], pads.sum(1), strict=True)]
    t.hold(op.outputs[0], t.emit("Pad", [value], shape, t.names[op.outputs[0]], pads=pads.T.ravel().tolist(), mode=mode,
                                 value=fill))


def _tile(t: Translation, op: Operator) -> None:
    value, repeats = t.value(op.inputs[0]), t.integers(op.inputs[1])
    shape = [side * times for side, times in zip(t.graph.shapes[value], repeats, strict=True)]
    t.hold(op.outputs[0], t.emit("Tile", [value], shape, t.names[op.outputs[0]], repeats=repeats))


def _broadcast_to(t: Translation, op: Operator) -> None:
    shape = t.integers(op.inputs[1])
    t.hold(op.outputs[0], t.emit("Expand", [t.value(op.inputs[0])], shape, t.names[op.outputs[0]], shape=shape))


def _gather(t: Translation, op: Operator) -> None:
    """Of constant indices."""
    value, shape = t.value(op.inputs[0]), t.shape(op.inputs[0])
    if op.option("batchDims"):
        raise t.misfit("a gather without batch dimensions", op.option("batchDims"))
    axis, name = _axis(t, op.option("axis"), len(shape)), t.names[op.outputs[0]]
    indices = t.known(op.inputs[1]).astype(np.int64)
    at = t.graph.add_constant(f"{name}/indices", indices)
    made = (*shape[:axis], *indices.shape, *shape[axis + 1:])
    t.hold(op.outputs[0], t.emit("Gather", [value, at], made, name, axis=axis))


OPERATORS: dict[str, Callable[[Translation, Operator], None]] = {
    "RESHAPE": _reshape, "SQUEEZE": _reshape, "EXPAND_DIMS": _reshape, "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation, "SPLIT": _split, "SPLIT_V": _split, "PACK": _pack, "UNPACK": _unpack, "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice, "PAD": _pad, "PADV2": _pad, "MIRROR_PAD": _pad, "TILE": _tile,
    "BROADCAST_TO": _broadcast_to, "GATHER": _gather,
}
