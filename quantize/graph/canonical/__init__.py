"""Operators of any operator set in the one form that ``quantize.graph`` describes: one rule for each operator.

An operator without a rule stays as it is; writers say that they do not know it.
"""

from __future__ import annotations

from edgeinfer.errors import ModelError
from quantize.graph import Graph, Node
from quantize.graph.canonical import (
    arithmetic,
    attention,
    einsum,
    matrices,
    moves,
    normalization,
    reductions,
    resizing,
    windows,
)
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["canonical"]

_MODULES = (arithmetic, attention, einsum, matrices, moves, normalization, reductions, resizing, windows)
_RULES: dict[str, Rule] = {op: rule for module in _MODULES for op, rule in module.RULES.items()}


def canonical(graph: Graph, opset: int, where: str) -> Graph:
    """``graph``, whose nodes mean what operator set ``opset`` says, in canonical form. Raises ModelError with ``where``."""
    rewrite = Rewrite(graph, opset, where)
    for node in graph.nodes:
        rewrite.name = node.name
        rewrite.resolve(node)
        rule = _RULES.get(node.op)
        if rule:
            _apply(rule, rewrite, node)
        else:
            rewrite.nodes.append(node)
    return rewrite.finish()


def _apply(rule: Rule, rewrite: Rewrite, node: Node) -> None:
    """Axes out of range and lists of other lengths, which inference lets pass, come to light in the rules."""
    try:
        rule(rewrite, node)
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{rewrite.where}: {node}", "inputs and attributes that fit the operator", str(error),
                         "check the model with onnx.checker, and export it again") from error
