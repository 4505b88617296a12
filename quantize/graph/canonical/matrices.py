"""Products of matrices: by a constant they are Gemm on two sides, otherwise MatMul."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Node
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["RULES", "product"]


def _gemm(rewrite: Rewrite, node: Node) -> None:
    """alpha A B + beta C, A and B as they are or transposed. Folding takes the constants into the weights."""
    a, b, c = *node.inputs[:2], rewrite.input(node, 2)
    alpha, beta = float(node.attributes.get("alpha", 1.0)), float(node.attributes.get("beta", 1.0))
    a = _transposed(rewrite, a, "a") if node.attributes.get("transA", 0) else a
    b = _transposed(rewrite, b, "b") if node.attributes.get("transB", 0) else b
    after = [("Mul", rewrite.constant("alpha", np.float32(alpha)))] if alpha != 1 else []
    after += [("Add", _scaled(rewrite, c, beta))] if c else []
    shape, value = rewrite.shape(node.name), node.name if not after else rewrite.value("product", rewrite.shape(node.name))
    product(rewrite, a, b, value)
    for op, operand in after[:-1]:
        value = rewrite.make(op, [value, operand], "scaled", shape)
    for op, operand in after[-1:]:
        rewrite.emit(op, [value, operand], node.name)


def _scaled(rewrite: Rewrite, value: str, by: float) -> str:
    array = rewrite.array(value)
    if by == 1:
        return value
    if array is not None:
        return rewrite.constant("beta_c", array * np.float32(by))
    return rewrite.make("Mul", [value, rewrite.constant("beta", np.float32(by))], "beta_c", rewrite.shape(value))


def _matmul(rewrite: Rewrite, node: Node) -> None:
    product(rewrite, node.inputs[0], node.inputs[1], node.name)


def product(rewrite: Rewrite, a: str, b: str, output: str) -> None:
    """numpy's matmul of two values; by Gemm where one is a constant matrix."""
    left, right = rewrite.array(a), rewrite.array(b)
    if right is not None and left is None and _is_matrix(right):
        columns = right.reshape(-1, right.shape[-1]) if right.ndim > 1 else right.reshape(-1, 1)
        _by_constant(rewrite, a, columns.T, output)
    elif left is not None and right is None and _is_matrix(left) and len(rewrite.shape(b)) > 1:
        rows, turned = left.reshape(-1, left.shape[-1]), _transposed(rewrite, b, "columns")
        made = rewrite.value("turned", (*rewrite.shape(turned)[:-1], len(rows)))
        _by_constant(rewrite, turned, rows, made)
        rewrite.reshape(_transposed(rewrite, made, "back"), output)
    else:
        rewrite.emit("MatMul", [a, b], output)


def _is_matrix(array: Array) -> bool:
    return array.dtype == np.float32 and all(side == 1 for side in array.shape[:-2])


def _by_constant(rewrite: Rewrite, x: str, weights: Array, output: str) -> None:
    """Gemm of ``x``, whatever its rank, by ``weights`` (out, in)."""
    names = [rewrite.constant("weights", weights), rewrite.constant("bias", np.zeros(len(weights)))]
    shape, wide = rewrite.shape(x), weights.shape[1]
    if len(shape) != 2:
        flat = (int(np.prod(shape, dtype=np.int64)) // wide, wide)
        x = rewrite.make("Reshape", [x], "rows", flat, shape=list(flat))
    made = (rewrite.shape(x)[0], len(weights))
    if made == rewrite.shape(output):
        rewrite.emit("Gemm", [x, *names], output)
    else:
        rewrite.reshape(rewrite.make("Gemm", [x, *names], "gemm", made), output)


def _transposed(rewrite: Rewrite, value: str, name: str) -> str:
    """``value`` with its last two sides exchanged."""
    array, shape = rewrite.array(value), rewrite.shape(value)
    if array is not None:
        return rewrite.constant(name, array.swapaxes(-1, -2))
    perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    return rewrite.make("Transpose", [value], name, [shape[side] for side in perm], perm=perm)


RULES: dict[str, Rule] = {"Gemm": _gemm, "MatMul": _matmul}
