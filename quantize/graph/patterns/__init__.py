"""Operators that exporters write as several: recognised and put back together.

Each recogniser replaces the last node of what it finds; what nobody reads any more is dropped in the end. So an inner value
that somebody else reads stays, and nothing is computed differently.
"""

from __future__ import annotations

from quantize.graph import Graph
from quantize.graph.patterns.activations import recognise_activations
from quantize.graph.patterns.expansions import expand
from quantize.graph.patterns.movements import merge_movements
from quantize.graph.patterns.normalizations import recognise_normalizations

__all__ = ["recognise"]


def recognise(graph: Graph) -> Graph:
    """Recognise what can be recognised, in place."""
    recognise_normalizations(graph)
    recognise_activations(graph)
    expand(graph)
    merge_movements(graph)
    graph.remove_unused()
    return graph
