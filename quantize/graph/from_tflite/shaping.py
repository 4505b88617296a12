"""Operators that move, cut, join and repeat elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantize.graph.from_tflite.translation import TO_NCHW, TO_NHWC, Operator, Order, Translation, permuted

__all__ = ["OPERATORS"]


def _reshape(t: Translation, op: Operator) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS."""
    old = list(t.shape(op.inputs[0]))
    if op.name == "RESHAPE":
        wanted = t.integers(op.inputs[1]) if op.optional(1) >= 0 else [int(side) for side in op.option("newShape", ())]
        unknown = int(np.prod([side for side in wanted if side != -1]))
        new = [int(np.prod(old)) // max(unknown, 1) if side == -1 else side for side in wanted]
    elif op.name == "SQUEEZE":
        given = op.option("squeezeDims", ())
        axes = {int(axis) % len(old) for axis in (() if given is None else given)}
        new = [side for axis, side in enumerate(old) if side != 1 or (axes and axis not in axes)]
    else:
        place = t.integers(op.inputs[1])[0]
        new = list(old)
        new.insert(place if place >= 0 else len(old) + 1 + place, 1)
    t.hold(op.outputs[0], t.reshape(t.flat(op.inputs[0]), new, t.names[op.outputs[0]]))


def _transpose(t: Translation, op: Operator) -> None:
    """One that only undoes the order in which the graph holds a tensor is no node."""
    index, perm = op.inputs[0], [axis % len(t.shape(op.inputs[0])) for axis in t.integers(op.inputs[1])]
    order = t.born(index)
    if sorted(perm) != list(range(len(t.shape(index)))):
        raise t.misfit("a permutation of the sides", perm)
    perm = [TO_NCHW.index(axis) for axis in perm] if order == "nchw" else perm
    value = t.value(index, order)
    if perm == sorted(perm):
        t.hold(op.outputs[0], value)
    elif tuple(perm) == TO_NHWC:
        t.hold(op.outputs[0], value, "nchw")
    else:
        t.hold(op.outputs[0], t.transpose(value, perm, t.names[op.outputs[0]]))


def _axis(t: Translation, axis: int, rank: int, order: Order) -> int:
    """An axis of the file as one of the order in which the value is held."""
    if not -rank <= axis < rank:
        raise t.misfit(f"one of {rank} axes", axis)
    return TO_NCHW.index(axis % rank) if order == "nchw" else axis % rank


def _held(t: Translation, sides: Sequence[int], order: Order) -> list[int]:
    """Numbers, one a side of the file's tensor, in the order in which the value is held."""
    return list(permuted(sides, TO_NCHW)) if order == "nchw" else list(sides)


def _concatenation(t: Translation, op: Operator) -> None:
    order = t.born(*op.inputs)
    names = [t.value(index, order) for index in op.inputs]
    shape = list(t.graph.shapes[names[0]])
    axis = _axis(t, op.option("axis"), len(shape), order)
    shape[axis] = sum(t.graph.shapes[name][axis] for name in names)
    t.emit_fused("Concat", names, shape, op.outputs[0], op.option("fusedActivationFunction"), order, axis=axis)


def _split(t: Translation, op: Operator) -> None:
    """Inputs of SPLIT: axis, x; of SPLIT_V: x, sizes, axis."""
    index, where = (op.inputs[1], op.inputs[0]) if op.name == "SPLIT" else (op.inputs[0], op.inputs[2])
    order = t.born(index)
    value = t.value(index, order)
    axis = _axis(t, t.integers(where)[0], len(t.graph.shapes[value]), order)
    whole, count = t.graph.shapes[value][axis], len(op.outputs)
    sizes = [whole // count] * count if op.name == "SPLIT" else t.integers(op.inputs[1])
    sizes = [whole - sum(sizes) - 1 if size == -1 else size for size in sizes]
    if sum(sizes) != whole:
        raise t.misfit(f"parts of {whole} together", sizes)
    t.emit_split(value, op.outputs, sizes, axis, order)


def _unpack(t: Translation, op: Operator) -> None:
    value, shape = t.value(op.inputs[0]), t.shape(op.inputs[0])
    axis = _axis(t, op.option("axis"), len(shape), "file")
    t.emit_split(value, op.outputs, [1] * shape[axis], axis, "file", "/packed")
    for index in op.outputs:
        left = (*shape[:axis], *shape[axis + 1:])
        t.hold(index, t.reshape(t.value(index), left, t.names[index]))


def _pack(t: Translation, op: Operator) -> None:
    shape = t.shape(op.inputs[0])
    axis = op.option("axis") % (len(shape) + 1)
    whole, name = (*shape[:axis], 1, *shape[axis:]), t.names[op.outputs[0]]
    parts = [t.reshape(t.value(index), whole, f"{name}/{place}") for place, index in enumerate(op.inputs)]
    made = (*whole[:axis], len(parts), *whole[axis + 1:])
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
    order, name = t.born(op.inputs[0]), t.names[op.outputs[0]]
    value = t.value(op.inputs[0], order)
    cuts = [cuts[axis] for axis in TO_NCHW] if order == "nchw" else list(cuts)
    sides = t.graph.shapes[value]
    axes = [axis for axis, (cut, side) in enumerate(zip(cuts, sides, strict=True)) if cut != slice(0, side, 1)]
    if axes:
        made = [len(range(side)[cut]) if cut.stop >= 0 else len(range(cut.start, cut.stop, cut.step))
                for cut, side in zip(cuts, sides, strict=True)]
        ends = [cuts[axis].stop if cuts[axis].stop >= 0 else -sides[axis] - 1 for axis in axes]
        value = t.emit("Slice", [value], made, f"{name}/cut" if dropped else name, axes=axes, ends=ends,
                       starts=[cuts[axis].start for axis in axes], steps=[cuts[axis].step for axis in axes])
    t.hold(op.outputs[0], value, order)
    if dropped:
        left = [side for axis, side in enumerate(t.shape(op.outputs[0])) if axis not in dropped]
        t.hold(op.outputs[0], t.reshape(t.flat(op.outputs[0]), left, name))


def _pad(t: Translation, op: Operator) -> None:
    """Paddings are (rank, 2): before and after each side."""
    order, pads = t.born(op.inputs[0]), np.array(t.known(op.inputs[1]), np.int64)
    value = t.value(op.inputs[0], order)
    before, after = (_held(t, pads[:, side].tolist(), order) for side in (0, 1))
    fill, mode = 0.0, "constant"
    if op.name == "PADV2":
        fill = float(t.known(op.inputs[2]).ravel()[0])
    elif op.name == "MIRROR_PAD":
        mode = "edge" if op.option("mode") == 1 else "reflect"
        if mode == "edge" and pads.max() > 1:
            raise t.misfit("a mirror that leaves the edge out (REFLECT)", "one that repeats it (SYMMETRIC)")
    shape = [side + first + last for side, first, last in zip(t.graph.shapes[value], before, after, strict=True)]
    name = t.emit("Pad", [value], shape, t.names[op.outputs[0]], pads=[*before, *after], mode=mode, value=fill)
    t.hold(op.outputs[0], name, order)


def _tile(t: Translation, op: Operator) -> None:
    order = t.born(op.inputs[0])
    value, repeats = t.value(op.inputs[0], order), _held(t, t.integers(op.inputs[1]), order)
    shape = [side * times for side, times in zip(t.graph.shapes[value], repeats, strict=True)]
    t.hold(op.outputs[0], t.emit("Tile", [value], shape, t.names[op.outputs[0]], repeats=repeats), order)


def _broadcast_to(t: Translation, op: Operator) -> None:
    shape = t.integers(op.inputs[1])
    order = t.born(op.inputs[0])
    value = t.value(op.inputs[0], order, rank=len(shape))
    held = _held(t, shape, order)
    t.hold(op.outputs[0], t.emit("Expand", [value], held, t.names[op.outputs[0]], shape=held), order)


def _gather(t: Translation, op: Operator) -> None:
    """Of constant indices."""
    value, shape = t.value(op.inputs[0]), t.shape(op.inputs[0])
    if op.option("batchDims"):
        raise t.misfit("a gather without batch dimensions", op.option("batchDims"))
    axis = _axis(t, op.option("axis"), len(shape), "file")
    indices = t.known(op.inputs[1]).astype(np.int64)
    name = t.names[op.outputs[0]]
    at = t.graph.add_constant(f"{name}/indices", indices)
    made = (*shape[:axis], *indices.shape, *shape[axis + 1:])
    t.hold(op.outputs[0], t.emit("Gather", [value, at], made, name, axis=axis))


OPERATORS: dict[str, Callable[[Translation, Operator], None]] = {
    "RESHAPE": _reshape, "SQUEEZE": _reshape, "EXPAND_DIMS": _reshape, "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation, "SPLIT": _split, "SPLIT_V": _split, "PACK": _pack, "UNPACK": _unpack, "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice, "PAD": _pad, "PADV2": _pad, "MIRROR_PAD": _pad, "TILE": _tile,
    "BROADCAST_TO": _broadcast_to, "GATHER": _gather,
}
