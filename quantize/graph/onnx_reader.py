"""ONNX files as graphs in canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto

from quantize.graph import Graph
from quantize.graph.canonical import canonical
from quantize.graph.folding import fold
from quantize.graph.onnx_loading import checked, load, opset_of, refuse
from quantize.graph.onnx_shapes import with_shapes
from quantize.graph.patterns import recognise

__all__ = ["read", "read_model"]


def read(path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The network of an ONNX file of operator set 7 or newer, batch 1 where the file leaves it open.

    ``shapes``: sides of inputs by name, where the file leaves sides other than the batch open. It computes what the file
    computes, to rounding: constants are folded, no-ops gone, normalisations taken into weights. float16 becomes float32.
    Raises ModelError that names the node, tensor or input and says what to do.
    """
    return _graph(load(path), path.name, shapes)


def read_model(model: ModelProto, where: str, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """As ``read``, of a model in memory, its weights in it. ``where`` is what messages call it."""
    return _graph(checked(model, where), where, shapes)


def _graph(model: ModelProto, where: str, shapes: Mapping[str, tuple[int, ...]] | None) -> Graph:
    graph = canonical(with_shapes(model, where, shapes or {}), opset_of(model, where), where)
    graph.name = where.removesuffix(".onnx")
    fold(recognise(graph), where)
    for output in graph.outputs:
        if graph.is_constant(output) or output in graph.inputs:
            refuse(f"{where}: output '{output}'", "an output that is computed from the inputs",
                   "a constant" if graph.is_constant(output) else "an input as it is",
                   "export the model without this output")
    return graph
