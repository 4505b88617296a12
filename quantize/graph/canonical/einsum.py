"""Einsum of two values as a product of matrices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quantize.graph import Node
from quantize.graph.canonical.matrices import product
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["RULES"]


def _einsum(rewrite: Rewrite, node: Node) -> None:
    """Letters in both inputs and the output are batch, in both inputs only are summed over, the rest are rows and columns:
    (batch, rows, summed) x (batch, summed, columns). Other equations stay Einsum."""
    left, arrow, out = node.attributes["equation"].replace(" ", "").partition("->")
    terms = left.split(",")
    letters = "".join([*terms, out])
    if len(terms) != 2 or not arrow or not letters.isalpha() or any(len(set(term)) != len(term) for term in [*terms, out]):
        rewrite.nodes.append(node)
        return
    a, b = terms
    batch, summed = [c for c in out if c in a and c in b], [c for c in a if c in b and c not in out]
    rows, columns = [c for c in out if c in a and c not in b], [c for c in out if c in b and c not in a]
    if set(a) != {*batch, *summed, *rows} or set(b) != {*batch, *summed, *columns}:
        rewrite.nodes.append(node)
        return
    sides = dict(zip(a + b, rewrite.shape(node.inputs[0]) + rewrite.shape(node.inputs[1]), strict=True))
    groups = [[c] for c in batch]
    one = _arranged(rewrite, node, 0, a, [*groups, rows, summed], sides)
    two = _arranged(rewrite, node, 1, b, [*groups, summed, columns], sides)
    made = _join([*groups, rows, columns], sides)
    shape = tuple(sides[c] for c in batch + rows + columns)
    flat = rewrite.value("product", made)
    product(rewrite, one, two, flat)
    order = batch + rows + columns
    if order == list(out):
        rewrite.reshape(flat, node.name)
        return
    parted = rewrite.value("parted", shape)
    rewrite.emit("Reshape", [flat], parted, shape=list(shape))
    rewrite.emit("Transpose", [parted], node.name, perm=[order.index(c) for c in out])


def _join(groups: list[list[str]], sides: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(int(np.prod([sides[c] for c in group], dtype=np.int64)) for group in groups)


def _arranged(rewrite: Rewrite, node: Node, place: int, term: str, groups: list[list[str]], sides: Mapping[str, int]) -> str:
    """An input with its letters in the order of ``groups``, each group one side."""
    value, order = node.inputs[place], [c for group in groups for c in group]
    perm, joined = [term.index(c) for c in order], _join(groups, sides)
    array = rewrite.array(value)
    if array is not None:
        return rewrite.constant(f"matrix{place}", array.transpose(perm).reshape(joined))
    if perm != list(range(len(perm))):
        value = rewrite.make("Transpose", [value], f"turned{place}", [sides[c] for c in order], perm=perm)
    if joined != rewrite.shape(value):
        value = rewrite.make("Reshape", [value], f"joined{place}", joined, shape=list(joined))
    return value


RULES: dict[str, Rule] = {"Einsum": _einsum}
