"""ONNX files as graphs in canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantize.graph import Graph
from quantize.graph.canonical import canonical
from quantize.graph.folding import fold
from quantize.graph.onnx_loading import load, opset_of
from quantize.graph.onnx_shapes import with_shapes
from quantize.graph.patterns import recognise

__all__ = ["read"]


def read(path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The network of an ONNX file of operator set 7 or newer, batch 1 where the file leaves it open.

    ``shapes``: sides of inputs by name, where the file leaves sides other than the batch open. It computes what the file
    computes, to rounding: constants are folded, no-ops gone, normalisations taken into weights.
    Raises ModelError that names the node, tensor or input and says what to do.
    """
    model = load(path)
    opset = opset_of(model, path.name)
    graph = with_shapes(model, path.name, shapes or {})
    graph.name = path.stem
    return fold(recognise(canonical(graph, opset, path.name)), path.name)
