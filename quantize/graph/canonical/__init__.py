"""Operators of any operator set in the one form that ``quantize.graph`` describes: one rule for each operator.

An operator without a rule stays as it is; writers say that they do not know it.
"""

from __future__ import annotations

from quantize.graph import Graph
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
            rule(rewrite, node)
        else:
            rewrite.nodes.append(node)
    return rewrite.finish()
