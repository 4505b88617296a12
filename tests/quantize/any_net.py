"""Random networks, as a strategy of hypothesis: operators that move, join, cut and compute, each on a value made before."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from quantize.graph import Graph
from tests.quantize.graphs import graph, weights

__all__ = ["nets"]

Shape = tuple[int, ...]
Made = tuple[tuple[Any, ...], Shape]  # a node and the shape of what it makes

SHAPES = [(1, 2, 3, 4), (2, 1, 3, 4), (2, 3, 4), (2, 3, 2, 2, 3), (1, 4, 1, 3), (4, 6), (1, 4, 9)]
OPERATORS = ["Relu", "Transpose", "Add", "Mul", "Reduce", "Softmax", "Slice", "Concat", "Pad", "Split", "Merge", "MatMul", "Gather", "Conv"]


@st.composite
def nets(draw: st.DrawFn) -> Graph:
    """Of two to eight operators, with one or two outputs."""
    shapes, nodes = {"x": draw(st.sampled_from(SHAPES))}, []
    for number, op in enumerate(["Relu", *draw(st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=7))]):
        value = draw(st.sampled_from(sorted(shapes)))
        made = _node(draw, op, value, shapes, f"v{number}")
        if made is not None:
            nodes.append(made[0])
            shapes[f"v{number}"] = made[1]
    outputs = sorted({nodes[-1][2], draw(st.sampled_from([node[2] for node in nodes]))})
    return graph(nodes, {"x": shapes["x"]}, outputs)


def _node(draw: st.DrawFn, op: str, value: str, shapes: dict[str, Shape], name: str) -> Made | None:
    """A node on ``value``; None where the operator does not fit."""
    shape = shapes[value]
    axis = draw(st.integers(0, len(shape) - 1))
    if op == "Transpose":
        perm = draw(st.permutations(range(len(shape))))
        return ("Transpose", [value], name, {"perm": list(perm)}), tuple(shape[side] for side in perm)
    if op in ("Add", "Mul"):
        return _pair(draw, op, value, shapes, name, axis)
    if op == "Reduce":
        keep = draw(st.integers(0, 1))
        left = (*shape[:axis], *([1] if keep else []), *shape[axis + 1:])
        return (("ReduceMean", [value], name, {"axes": [axis], "keepdims": keep}), left) if len(left) > 1 else None
    if op == "Conv":
        if len(shape) not in (3, 4):
            return None
        return ("Conv", [value, weights(3, shape[1], *[1] * (len(shape) - 2)), weights(3)], name), (shape[0], 3, *shape[2:])
    if op in ("Split", "Merge"):
        return _reshape(op, value, shape, name, axis)
    if op == "MatMul":
        return ("MatMul", [value, weights(shape[-1], 3)], name), (*shape[:-1], 3)
    return _along(op, value, shape, name, axis)


def _along(op: str, value: str, shape: Shape, name: str, axis: int) -> Made:
    """Operators that change the length of one side, or none."""
    def with_side(side: int) -> Shape:
        return (*shape[:axis], side, *shape[axis + 1:])
    if op == "Slice":
        side = max(shape[axis] - 1, 1)
        return ("Slice", [value, np.array([0]), np.array([side]), np.array([axis])], name), with_side(side)
    if op == "Concat":
        return ("Concat", [value, value], name, {"axis": axis}), with_side(2 * shape[axis])
    if op == "Pad":
        pads = np.zeros(2 * len(shape), np.int64)
        pads[axis] = 1
        return ("Pad", [value, pads], name), with_side(shape[axis] + 1)
    if op == "Gather":
        return ("Gather", [value, np.array([0, shape[axis] - 1])], name, {"axis": axis}), with_side(2)
    return (op, [value], name, {"axis": axis} if op == "Softmax" else {}), shape


def _pair(draw: st.DrawFn, op: str, value: str, shapes: dict[str, Shape], name: str, axis: int) -> Made:
    """With another value that fits, or a constant."""
    shape = shapes[value]
    other = draw(st.sampled_from([*(other for other in shapes if _fit(shapes[other], shape)), "constant"]))
    if other == "constant":
        return (op, [value, weights(*[side if draw(st.booleans()) else 1 for side in shape[axis:]])], name), shape
    return (op, [value, other], name), tuple(int(side) for side in np.broadcast_shapes(shape, shapes[other]))


def _fit(one: Shape, other: Shape) -> bool:
    """Whether two shapes are one by broadcasting, of few numbers."""
    try:
        return bool(np.prod(np.broadcast_shapes(one, other)) < 2000)
    except ValueError:
        return False


def _reshape(op: str, value: str, shape: Shape, name: str, axis: int) -> Made | None:
    """A side of 1 more, or two sides merged."""
    if op == "Split" and len(shape) < 5:
        wanted: Shape = (*shape[:axis], 1, *shape[axis:])
    elif axis + 1 < len(shape) and len(shape) > 2:
        wanted = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2:])
    else:
        return None
    return ("Reshape", [value, np.array(wanted)], name), wanted
