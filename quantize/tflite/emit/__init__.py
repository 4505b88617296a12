"""One function an operator: how it stands in a .tflite. A file for each family.

What comes here has been lowered and settled: values are held as the file has them, axes and constants fit.
"""

from __future__ import annotations

from collections.abc import Callable

from quantize.graph import Graph, Node
from quantize.tflite.emit import elementwise, movement, reduction, windows
from quantize.tflite.file import File

__all__ = ["EMIT", "emit_all"]

EMIT: dict[str, Callable[[File, Node], None]] = {**windows.EMIT, **elementwise.EMIT, **movement.EMIT, **reduction.EMIT}


def emit_all(file: File, graph: Graph) -> None:
    """Write every operator of a graph."""
    for node in graph.nodes:
        EMIT[node.op](file, node)
