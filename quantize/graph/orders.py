"""Values held in another order of sides than the graph states: what a transposition or a reshape need not move.

A tensor *holds* a value: for each of its sides the order says which side of the value it is, or None for a side of 1 that the
value has not. (0, 2, 3, 1) holds a picture (N, C, H, W) as (N, H, W, C), and (0, None, 2, 1) a window (N, C, L) as (N, 1, L, C).
Sides of 1 are free to stand anywhere, or to be absent: no number moves when they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["NHWC", "Form", "Order", "Shape", "as_stated", "bare", "complete", "groups", "moved", "same", "sides_of"]

Order = tuple["int | None", ...]
Shape = tuple[int, ...]

NHWC = (0, 2, 3, 1)


@dataclass(frozen=True)
class Form:
    """A tensor and the order in which it holds a value."""

    name: str
    order: Order


def as_stated(shape: Sequence[int]) -> Order:
    """The order in which the graph states the value."""
    return tuple(range(len(shape)))


def sides_of(order: Order, shape: Sequence[int]) -> Shape:
    """The sides of a tensor that holds a value of ``shape``."""
    return tuple(1 if axis is None else shape[axis] for axis in order)


def bare(order: Order, shape: Sequence[int]) -> tuple[int, ...]:
    """The sides longer than 1, in the order in which they are held: what decides where the numbers are."""
    return tuple(axis for axis in order if axis is not None and shape[axis] != 1)


def same(one: Order, other: Order, shape: Sequence[int]) -> bool:
    """Whether two orders are the same tensor."""
    return bare(one, shape) == bare(other, shape) and sides_of(one, shape) == sides_of(other, shape)


def complete(order: Order, shape: Sequence[int]) -> Order:
    """The order with every side of the value in it: sides of 1 that are missing take the places of None, or stand in front, but
    behind the batch. Of the Nones that are left over, those beyond four sides go."""
    missing = [axis for axis in range(len(shape)) if axis not in order]
    sides: list[int | None] = []
    for axis in order:
        sides.append(missing.pop(0) if axis is None and missing else axis)
    for axis in missing:
        sides.insert(1 if axis and sides[:1] == [0] else 0, axis)
    while None in sides and len(sides) > max(len(shape), 4):
        sides.remove(None)
    return tuple(sides)


def moved(array: Array, order: Order) -> Array:
    """A constant in another order."""
    axes = [axis for axis in order if axis is not None]
    absent = [axis for axis in range(array.ndim) if axis not in axes]
    return np.ascontiguousarray(array.transpose(axes + absent).reshape(sides_of(order, array.shape)))


def groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Which sides a reshape makes of which: the shortest runs of sides, none of them 1, with the same product."""
    left = [axis for axis, side in enumerate(before) if side != 1]
    right = [axis for axis, side in enumerate(after) if side != 1]
    found = []
    while left and right:
        ours, theirs = [left.pop(0)], [right.pop(0)]
        mine, yours = before[ours[0]], after[theirs[0]]
        while mine != yours:
            if mine < yours:
                ours.append(left.pop(0))
                mine *= before[ours[-1]]
            else:
                theirs.append(right.pop(0))
                yours *= after[theirs[-1]]
        found.append((ours, theirs))
    return found
