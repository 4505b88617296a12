"""Sums, means and extremes over sides."""

from __future__ import annotations

from quantize.graph import Node
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["RULES"]

_PLAIN = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp")


def _reduce(rewrite: Rewrite, node: Node) -> None:
    """A mean over height and width is a GlobalAveragePool."""
    x, output = node.inputs[0], node.name
    axes, keep = _axes(rewrite, node), int(node.attributes.get("keepdims", 1))
    shape = rewrite.shape(x)
    plane = len(shape) > 2 and axes == list(range(2, len(shape)))
    if not axes:
        rewrite.forward(x, output)
    elif node.op in _PLAIN[:4] and all(shape[axis] == 1 for axis in axes):
        rewrite.reshape(x, output)
    elif node.op == "ReduceMean" and plane and rewrite.graph.dtypes[x] == "float32":
        if keep:
            rewrite.emit("GlobalAveragePool", [x], output)
        else:
            rewrite.reshape(rewrite.make("GlobalAveragePool", [x], "pool", (*shape[:2], *[1 for _ in axes])), output)
    else:
        rewrite.emit(node.op, [x], output, axes=axes, keepdims=keep)


def _of_powers(rewrite: Rewrite, node: Node) -> None:
    """ReduceL1, ReduceL2 and ReduceSumSquare by ReduceSum."""
    x, output = node.inputs[0], node.name
    axes, keep = _axes(rewrite, node), int(node.attributes.get("keepdims", 1))
    shape = rewrite.shape(x)
    powers = (rewrite.make("Abs", [x], "abs", shape) if node.op == "ReduceL1"
              else rewrite.make("Mul", [x, x], "squares", shape))
    if node.op != "ReduceL2":
        rewrite.emit("ReduceSum", [powers], output, axes=axes, keepdims=keep)
        return
    total = rewrite.make("ReduceSum", [powers], "sum", rewrite.shape(output), axes=axes, keepdims=keep)
    rewrite.emit("Sqrt", [total], output)


def _axes(rewrite: Rewrite, node: Node) -> list[int]:
    rank = len(rewrite.shape(node.inputs[0]))
    given = rewrite.numbers(node, 1, "axes")
    if not given:
        return [] if node.attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return sorted({int(axis) % rank for axis in given})


def _arg_max(rewrite: Rewrite, node: Node) -> None:
    axis = int(node.attributes.get("axis", 0)) % len(rewrite.shape(node.inputs[0]))
    more = {"select_last_index": 1} if node.attributes.get("select_last_index", 0) else {}
    rewrite.emit(node.op, node.inputs, node.outputs, axis=axis, keepdims=int(node.attributes.get("keepdims", 1)), **more)


def _lp_normalization(rewrite: Rewrite, node: Node) -> None:
    x, output, shape = node.inputs[0], node.name, rewrite.shape(node.inputs[0])
    axis, power = int(node.attributes.get("axis", -1)) % len(shape), int(node.attributes.get("p", 2))
    powers = rewrite.make("Abs" if power == 1 else "Mul", [x] if power == 1 else [x, x], "powers", shape)
    sides = [1 if side == axis else size for side, size in enumerate(shape)]
    total = rewrite.make("ReduceSum", [powers], "sum", sides, axes=[axis], keepdims=1)
    if power == 2:
        total = rewrite.make("Sqrt", [total], "norm", sides)
    some = rewrite.make("Clip", [total], "some", sides, min=1e-12, max=float("inf"))  # zeros stay zeros
    rewrite.emit("Div", [x, some], output)


RULES: dict[str, Rule] = {**dict.fromkeys(_PLAIN, _reduce),
                          **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare"), _of_powers),
                          "ArgMax": _arg_max, "ArgMin": _arg_max, "LpNormalization": _lp_normalization}
