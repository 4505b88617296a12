"""Attention of set 23 as products of matrices and a Softmax."""

from __future__ import annotations

import numpy as np

from quantize.graph import Node
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["RULES"]

_KNOWN = ("q_num_heads", "kv_num_heads", "scale", "softmax_precision")
_HINT = "export the model with opset_version=20, which writes attention as MatMul and Softmax"


def _attention(rewrite: Rewrite, node: Node) -> None:
    """softmax(scale Q K^T + mask) V, of values (batch, heads, length, size) or (batch, length, heads x size)."""
    given = node.attributes
    rare = [name for name, value in sorted(given.items()) if name not in _KNOWN and value]
    if any(rewrite.input(node, place) for place in (4, 5, 6)) or any(name in rewrite.read for name in node.outputs[1:]):
        rare.append("past keys")
    if rare:
        rewrite.refuse(node, "attention without masks of its own and memory", ", ".join(rare), _HINT)
    heads = (int(given.get("q_num_heads", 0)), int(given.get("kv_num_heads", 0)), int(given.get("kv_num_heads", 0)))
    q, k, v = (_by_head(rewrite, node, place, heads[place]) for place in range(3))
    if rewrite.shape(q)[1] != rewrite.shape(k)[1]:
        rewrite.refuse(node, "as many key heads as query heads", f"{rewrite.shape(k)[1]} for {rewrite.shape(q)[1]}", _HINT)
    batch, count, length, size = rewrite.shape(q)
    scale = float(given.get("scale") or 1 / np.sqrt(size))
    scaled = rewrite.make("Mul", [q, rewrite.constant("scale", np.float32(scale))], "scaled", rewrite.shape(q))
    sides, wide = rewrite.shape(k), rewrite.shape(v)[3]
    turned = rewrite.make("Transpose", [k], "keys", (*sides[:2], sides[3], sides[2]), perm=[0, 1, 3, 2])
    scores = (batch, count, length, sides[2])
    value = rewrite.make("MatMul", [scaled, turned], "scores", scores)
    mask = rewrite.input(node, 3)
    if mask:
        if rewrite.graph.dtypes[mask] != "float32":
            rewrite.refuse(node, "a mask of numbers to add", f"one of {rewrite.graph.dtypes[mask]}", _HINT)
        value = rewrite.make("Add", [value, mask], "masked", scores)
    weights = rewrite.make("Softmax", [value], "weights", scores, axis=3)
    if len(rewrite.shape(node.name)) == 4:
        rewrite.emit("MatMul", [weights, v], node.name)
        return
    made = rewrite.make("MatMul", [weights, v], "heads", (batch, count, length, wide))
    back = rewrite.make("Transpose", [made], "back", (batch, length, count, wide), perm=[0, 2, 1, 3])
    rewrite.emit("Reshape", [back], node.name, shape=list(rewrite.shape(node.name)))


def _by_head(rewrite: Rewrite, node: Node, place: int, heads: int) -> str:
    """An input as (batch, heads, length, size)."""
    value = node.inputs[place]
    shape = rewrite.shape(value)
    if len(shape) == 4:
        return value
    batch, length, wide = shape
    parted = (batch, length, heads, wide // heads)
    split = rewrite.make("Reshape", [value], f"split{place}", parted, shape=list(parted))
    return rewrite.make("Transpose", [split], f"heads{place}", (batch, heads, length, wide // heads), perm=[0, 2, 1, 3])


RULES: dict[str, Rule] = {"Attention": _attention}
