"""Products of matrices: by a constant they are Gemm on two sides, otherwise MatMul."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Node
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["RULES", "product"]


def _gemm(rewrite: Rewrite, node: Node) -> None:
    """alpha A B + beta C, A and B as they are or transposed."""
    a, b, c = *node.inputs[:2], rewrite.input(node, 2)
    alpha, beta = float(node.attributes.get("alpha", 1.0)), float(node.attributes.get("beta", 1.0))
    output, shape = node.outputs[0], rewrite.shape(node.outputs[0])
    a = _transposed(rewrite, a, f"{node.name}/a") if node.attributes.get("transA", 0) else a
    weights, bias = rewrite.array(b), _row(rewrite.array(c), shape[1]) if c else np.zeros(shape[1])
    if weights is not None and rewrite.array(a) is None:
        weights = (weights if node.attributes.get("transB", 0) else weights.T) * np.float32(alpha)
        whole = bias is not None
        made = output if whole else rewrite.graph.add_value(f"{node.name}/product", shape)
        _emit(rewrite, node, a, weights, np.zeros(shape[1]) if bias is None else bias * beta, made)
        if whole:
            return
    else:
        b = _transposed(rewrite, b, f"{node.name}/b") if node.attributes.get("transB", 0) else b
        made = output if alpha == 1 and not c else rewrite.graph.add_value(f"{node.name}/product", shape)
        product(rewrite, node, a, b, made)
        if alpha != 1:
            scaled = output if not c else rewrite.graph.add_value(f"{node.name}/scaled", shape)
            made = rewrite.emit("Mul", [made, rewrite.constant(f"{node.name}/alpha", np.float32(alpha))], scaled)
    if c:
        if beta != 1:
            array = rewrite.array(c)
            by = rewrite.constant(f"{node.name}/beta", np.float32(beta))
            c = (rewrite.make("Mul", [c, by], f"{node.name}/c", rewrite.shape(c)) if array is None
                 else rewrite.constant(f"{node.name}/c", array * np.float32(beta)))
        rewrite.emit("Add", [made, c], output)


def _row(bias: Array | None, width: int) -> Array | None:
    """A constant C as one row, None where it varies or its rows differ."""
    if bias is None or bias.size not in (1, width) or (bias.size == width and width > 1 and bias.shape[-1] != width):
        return None
    return np.broadcast_to(bias.reshape(-1), (width,))


def _matmul(rewrite: Rewrite, node: Node) -> None:
    a, b = node.inputs
    product(rewrite, node, a, b, node.outputs[0])


def product(rewrite: Rewrite, node: Node, a: str, b: str, output: str) -> None:
    """numpy's matmul of two values; by Gemm where one is a constant matrix."""
    left, right = rewrite.array(a), rewrite.array(b)
    if right is not None and left is None and _is_matrix(right):
        matrix = right.reshape(right.shape[-2:]) if right.ndim > 1 else right.reshape(-1, 1)
        _emit(rewrite, node, a, matrix.T, np.zeros(matrix.shape[1]), output)
    elif left is not None and right is None and _is_matrix(left) and len(rewrite.shape(b)) > 1:
        matrix = left.reshape(left.shape[-2:]) if left.ndim > 1 else left.reshape(1, -1)
        turned = _transposed(rewrite, b, f"{node.name}/columns")
        shape = (*rewrite.shape(turned)[:-1], matrix.shape[0])
        product = rewrite.graph.add_value(f"{node.name}/rows", shape)
        _emit(rewrite, node, turned, matrix, np.zeros(matrix.shape[0]), product)
        back = _transposed(rewrite, product, f"{node.name}/turned")
        rewrite.reshape(back, output)
    else:
        rewrite.emit("MatMul", [a, b], output)


def _is_matrix(array: Array) -> bool:
    return array.dtype == np.float32 and all(side == 1 for side in array.shape[:-2])


def _emit(rewrite: Rewrite, node: Node, x: str, weights: Array, bias: Array, output: str) -> None:
    """Gemm of ``x``, whatever its rank, by ``weights`` (out, in) with ``bias`` (out,)."""
    names = [rewrite.constant(f"{node.name}/weights", weights), rewrite.constant(f"{node.name}/bias", bias)]
    shape, rows = rewrite.shape(x), (-1, weights.shape[1])
    if len(shape) != 2:
        flat = (int(np.prod(shape, dtype=np.int64)) // rows[1], rows[1])
        x = rewrite.make("Reshape", [x], f"{node.name}/rows", flat, shape=list(flat))
    product = (rewrite.shape(x)[0], weights.shape[0])
    if product == rewrite.shape(output):
        rewrite.emit("Gemm", [x, *names], output)
    else:
        rewrite.emit("Reshape", [rewrite.make("Gemm", [x, *names], f"{node.name}/gemm", product)], output,
                     shape=list(rewrite.shape(output)))


def _transposed(rewrite: Rewrite, value: str, name: str) -> str:
    """``value`` with its last two sides exchanged."""
    array, shape = rewrite.array(value), rewrite.shape(value)
    if array is not None:
        return rewrite.constant(name, array.swapaxes(-1, -2))
    perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    return rewrite.make("Transpose", [value], name, [shape[side] for side in perm], perm=perm)


RULES: dict[str, Rule] = {"Gemm": _gemm, "MatMul": _matmul}
