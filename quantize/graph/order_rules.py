"""What each operator makes of values that are held in another order: one function a kind.

A rule takes the walk (``transposes.Settling``) and a node, and writes the node with the sides of its attributes moved as those
of its value are. Operators without a rule are given every value as stated.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

from quantize.graph import Node
from quantize.graph.orders import Order, bare, complete, groups, moved, sides_of

if TYPE_CHECKING:
    from quantize.graph.transposes import Settling

__all__ = ["RULES", "bound"]

ONE_INPUT = ("Relu", "Sigmoid", "Tanh", "HardSwish", "Erf", "Exp", "Log", "Sqrt", "Abs", "Neg", "Reciprocal", "Floor", "LeakyRelu",
             "Elu", "HardSigmoid", "Gelu", "Clip", "Cast", "Identity", "Rsqrt", "Square", "Quantize", "Dequantize")
SEVERAL_INPUTS = ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu", "SquaredDifference")


def bound(walk: Settling, node: Node) -> None:
    """Everything as stated."""
    walk.emit(node, [walk.take(value) for value in node.inputs])


def elementwise(walk: Settling, node: Node) -> None:
    form = walk.form(node.inputs[0])
    walk.emit(node, [form.name], form.order)
    if node.inputs[0] in walk.scrambled:
        walk.scrambled[node.name] = walk.scrambled[node.inputs[0]]


def broadcasting(walk: Settling, node: Node) -> None:
    """All inputs as the largest is held. Of several as large, the order that most of them have; then that of the first."""
    rank, shape = len(walk.sides[node.name]), walk.sides[node.name]
    varying = [value for value in node.inputs if not walk.constant(value)] or node.inputs
    largest = max(prod(walk.sides[value]) for value in varying)
    orders = [_lifted(walk.order(value), rank - len(walk.sides[value])) for value in varying if prod(walk.sides[value]) == largest]
    order = max(orders, key=orders.count)
    order = _with_long_sides(order, shape)
    inputs = []
    for value in node.inputs:
        ahead = rank - len(walk.sides[value])
        own = tuple(axis - ahead if axis is not None and axis >= ahead else None for axis in order)
        inputs.append(value if walk.constant(value) and prod(walk.sides[value]) == 1 else walk.take(value, own))
    walk.emit(node, inputs, order)


def _lifted(order: Order, ahead: int) -> Order:
    """The order of a value as one of more sides, the new ones in front."""
    return (*range(ahead), *(None if axis is None else axis + ahead for axis in order))


def _with_long_sides(order: Order, shape: tuple[int, ...]) -> Order:
    missing = any(side != 1 and axis not in order for axis, side in enumerate(shape))
    return complete(order, shape) if missing else order


def transpose(walk: Settling, node: Node) -> None:
    """Nothing moves: the same tensor, read in another order."""
    perm, form = list(node.attributes["perm"]), walk.form(node.inputs[0])
    if walk.constant(node.inputs[0]):
        bound(walk, node)
        return
    walk.hold(node.name, form.name, tuple(None if axis is None else perm.index(axis) for axis in form.order))


def reshape(walk: Settling, node: Node) -> None:
    """Sides that are split or merged where they stand together; a flattened picture that goes to Gemm leaves the order to its
    weights."""
    value = node.inputs[0]
    before, after = walk.sides[value], walk.sides[node.name]
    if walk.constant(value) or 0 in before:
        bound(walk, node)
        return
    form, runs = walk.form(value), groups(before, after)
    if all(len(ours) == len(theirs) == 1 for ours, theirs in runs):
        names: dict[int | None, int] = {ours[0]: theirs[0] for ours, theirs in runs}
        walk.hold(node.name, form.name, tuple(names.get(axis) for axis in form.order))
        return
    held = bare(form.order, before)
    stated = runs
    runs = sorted(runs, key=lambda run: min(held.index(axis) for axis in run[0]))
    together = tuple(axis for ours, _ in runs for axis in ours)
    if together != held and _wanted_as_stated(walk, node.name):
        runs, together = stated, tuple(axis for ours, _ in stated for axis in ours)
    flat = len(after) == 2 and after[0] == before[0] and (before[0] == 1 or held[0] == 0)
    if together != held and flat and _goes_to_gemm(walk, node.name):
        _scramble(walk, node)
        return
    order = complete(tuple(axis for _, theirs in runs for axis in theirs), after)
    tensor = form.name if together == held else walk.take(value, complete(together, before))
    walk.emit(Node("Reshape", node.inputs, node.outputs), [tensor], order, shape=list(sides_of(order, after)))


def _wanted_as_stated(walk: Settling, value: str) -> bool:
    """Whether the first to care how the value is held wants it as the graph states it."""
    for node in walk.consumers.get(value, []):
        if node.op in ONE_INPUT or node.op in SEVERAL_INPUTS:
            return _wanted_as_stated(walk, node.name)
        return node.op == "Gemm" or node.op not in RULES
    return value in walk.source.outputs


def _goes_to_gemm(walk: Settling, value: str) -> bool:
    """Whether only Gemm with weights of its own reads the value, or what is made of it number by number."""
    nodes = walk.consumers.get(value, [])
    if value in walk.source.outputs or not nodes:
        return False
    return all((node.op == "Gemm" and walk.constant(node.inputs[1]) and node.inputs[0] == value)
               or (node.op in ONE_INPUT and _goes_to_gemm(walk, node.name)) for node in nodes)


def _scramble(walk: Settling, node: Node) -> None:
    """Flatten in the order in which the value is held, and note which number stands where."""
    import numpy as np
    value, after = node.inputs[0], walk.sides[node.name]
    before, form = walk.sides[value], walk.form(value)
    numbers = np.arange(prod(before[1:])).reshape(1, *before[1:])
    walk.scrambled[node.name] = tuple(moved(numbers, form.order).ravel().tolist())
    walk.emit(Node("Reshape", node.inputs, node.outputs), [form.name], shape=list(after))


def gemm(walk: Settling, node: Node) -> None:
    value, weights, *rest = node.inputs
    if value in walk.scrambled:
        columns = list(walk.scrambled[value])
        weights = walk.new_constant(weights, walk.source.constants[weights][:, columns])
        walk.emit(node, [walk.form(value).name, weights, *rest])
    else:
        bound(walk, node)


def concat(walk: Settling, node: Node) -> None:
    varying = [value for value in node.inputs if not walk.constant(value)] or node.inputs
    orders = {value: walk.order(value) for value in varying}
    sizes = {order: sum(prod(walk.sides[value]) for value in varying if orders[value] == order) for order in orders.values()}
    order = max(sizes, key=lambda order: sizes[order])
    walk.emit(node, [walk.take(value, order) for value in node.inputs], order, axis=order.index(node.attributes["axis"]))


def along_axis(walk: Settling, node: Node) -> None:
    """Softmax, LogSoftmax, Split: one side has a part to play."""
    order = walk.order(node.inputs[0])
    walk.emit(node, [walk.take(node.inputs[0], order), *node.inputs[1:]], order, axis=order.index(node.attributes["axis"]))


def last_axis(walk: Settling, node: Node) -> None:
    """Operators that work on the last side only, whatever the order of the others."""
    order, axis = walk.order(node.inputs[0]), len(walk.sides[node.inputs[0]]) - 1
    order = (*(side for side in order if side != axis), axis)
    walk.emit(node, [walk.take(node.inputs[0], order)], order)


def slice_(walk: Settling, node: Node) -> None:
    order = walk.order(node.inputs[0])
    axes = [order.index(axis) for axis in node.attributes["axes"]]
    walk.emit(node, [walk.take(node.inputs[0], order)], order, axes=axes)


def pad(walk: Settling, node: Node) -> None:
    order, pads = walk.order(node.inputs[0]), list(node.attributes["pads"])
    rank = len(pads) // 2
    before, after = _along(order, pads[:rank], 0), _along(order, pads[rank:], 0)
    walk.emit(node, [walk.take(node.inputs[0], order)], order, pads=[*before, *after])


def _along(order: Order, sides: list[int], other: int) -> list[int]:
    return [other if axis is None else sides[axis] for axis in order]


def tile(walk: Settling, node: Node) -> None:
    order = walk.order(node.inputs[0])
    walk.emit(node, [walk.take(node.inputs[0], order)], order, repeats=_along(order, list(node.attributes["repeats"]), 1))


def expand(walk: Settling, node: Node) -> None:
    shape = walk.sides[node.name]
    ahead = len(shape) - len(walk.sides[node.inputs[0]])
    own = walk.order(node.inputs[0])
    order = _lifted(own, ahead)
    tensor = walk.take(node.inputs[0], (*[None] * ahead, *own))
    walk.emit(node, [tensor], order, shape=list(sides_of(order, shape)))


def resize(walk: Settling, node: Node) -> None:
    order, values = walk.order(node.inputs[0]), node.attributes
    scales = [1.0 if axis is None else values["scales"][axis] for axis in order]
    walk.emit(node, [walk.take(node.inputs[0], order)], order, scales=scales, sizes=_along(order, list(values["sizes"]), 1))


def reduce(walk: Settling, node: Node) -> None:
    """Written with the reduced sides kept, at a length of 1; whether the value has them makes no difference to the numbers."""
    value, axes = node.inputs[0], list(node.attributes["axes"])
    order = walk.order(value)
    if node.attributes["keepdims"]:
        result: Order = order
    else:
        left = [axis for axis in range(len(walk.sides[value])) if axis not in axes]
        result = tuple(left.index(axis) if axis in left else None for axis in order)
    walk.emit(node, [walk.take(value, order)], result, axes=sorted(order.index(axis) for axis in axes), keepdims=1)


def arg_max(walk: Settling, node: Node) -> None:
    """Written without the reduced side."""
    value, axis = node.inputs[0], node.attributes["axis"]
    order = walk.order(value)
    left = [side for side in range(len(walk.sides[value])) if side != axis]
    held = [side for side in order if side != axis]
    result: Order = tuple(held)
    if not node.attributes["keepdims"]:
        result = tuple(None if side is None else left.index(side) for side in held)
    walk.emit(node, [walk.take(value, order)], result, axis=order.index(axis), keepdims=0)


def gather(walk: Settling, node: Node) -> None:
    """The side is replaced by those of the indices."""
    value, indices = node.inputs
    axis, many = node.attributes["axis"], len(walk.sides[indices])
    if walk.constant(value) or not walk.constant(indices):
        bound(walk, node)
        return
    result: list[int | None] = []
    order = walk.order(value)
    for side in order:
        if side == axis:
            result += range(axis, axis + many)
        else:
            result.append(side if side is None or side < axis else side + many - 1)
    walk.emit(node, [walk.take(value, order), indices], tuple(result), axis=order.index(axis))


Rule = Callable[["Settling", Node], None]
RULES: dict[str, Rule] = {
    **dict.fromkeys(ONE_INPUT, elementwise), **dict.fromkeys(SEVERAL_INPUTS, broadcasting),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Split"), along_axis),
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX"), last_axis),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), reduce),
    "Transpose": transpose, "Reshape": reshape, "Gemm": gemm, "Concat": concat, "Slice": slice_, "Pad": pad, "Tile": tile,
    "Expand": expand, "Resize": resize, "ArgMax": arg_max, "Gather": gather,
}
