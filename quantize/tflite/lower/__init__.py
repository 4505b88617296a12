"""One function an operator: what it becomes in TFLite. A file for each family."""

from __future__ import annotations

from collections.abc import Callable

from quantize.graph import Node
from quantize.tflite.lower import (
    activation,
    arithmetic,
    convolution,
    matrices,
    movement,
    normalization,
    pooling,
    reduction,
    resizing,
    transposed,
)
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER", "lower_node"]

LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    **activation.LOWER, **arithmetic.LOWER, **convolution.LOWER, **matrices.LOWER, **movement.LOWER, **normalization.LOWER,
    **pooling.LOWER, **reduction.LOWER, **resizing.LOWER, **transposed.LOWER,
}


def lower_node(lowering: Lowering, node: Node) -> None:
    """Rewrite one node. Raises ModelError for an operator that TFLite has not."""
    if node.op not in LOWER:
        raise lowering.refuse("an operator that the TFLite writer knows", node.op,
                              "quantize to ONNX instead (--format onnx), or cut the model before this operator")
    LOWER[node.op](lowering, node)
