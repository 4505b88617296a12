"""Reductions."""

from __future__ import annotations

from collections.abc import Callable

from quantize.graph import Node
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER"]


def _reduce(lowering: Lowering, node: Node) -> None:
    lowering.result(node.op, [lowering.take(node.inputs[0])], **node.attributes)


def _extreme(lowering: Lowering, node: Node) -> None:
    """Largest and least are numbers that were there: the grid stays."""
    x = lowering.take(node.inputs[0])
    lowering.give(node.name, lowering.moves(node.op, x, lowering.shape(node.name), node.name, **node.attributes))


def _arg_max(lowering: Lowering, node: Node) -> None:
    x, name = lowering.take(node.inputs[0]), node.name
    lowering.give(name, lowering.emit("ArgMax", [x], lowering.shape(name), None, name, lowering.source.dtypes[name],
                                      axis=node.attributes["axis"], keepdims=node.attributes["keepdims"]))


LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    "ReduceMean": _reduce, "ReduceSum": _reduce, "ReduceMax": _extreme, "ReduceMin": _extreme, "ArgMax": _arg_max,
}
