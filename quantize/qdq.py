"""A quantised graph as INT8 ONNX: QuantizeLinear and DequantizeLinear pairs (QDQ) around float operators, of ai.onnx only.

ONNX Runtime and TensorRT fuse the pairs into integer kernels. Every value keeps its name, for what the grid makes of it, so
that the file can be compared with the float graph value by value:

    Conv ▶ "v/float" ▶ QuantizeLinear ▶ "v/q" ▶ DequantizeLinear ▶ "v"

A Relu or Clip stays between its Conv and the QuantizeLinear, where both runtimes fuse it. Inputs and outputs are float.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from quantize.graph import Graph, Node
from quantize.graph.onnx_writer import write
from quantize.grid import Grid, Quantized, Stored
from quantize.plan import WEIGHTED, fused_values

__all__ = ["explicit", "write_qdq"]


def write_qdq(quantized: Quantized, variant: str = "cpu", unsigned: bool = False) -> onnx.ModelProto:
    """The INT8 ONNX model. ``variant`` "cpu": a Relu or Clip that the grid does not imply is made to act on integers, or
    ONNX Runtime computes its Conv in float; "tensorrt" takes it as it is. ``unsigned``: activations are stored as uint8 on
    the same grids, which ONNX Runtime needs on x86-64 to compute all of them in integers. Raises ModelError as the float
    writer does."""
    return write(explicit(quantized, split=variant == "cpu", unsigned=unsigned))


def explicit(quantized: Quantized, split: bool = True, unsigned: bool = False) -> Graph:
    """The graph with its rounding written out as QuantizeLinear and DequantizeLinear nodes, to be written or run."""
    graph = quantized.graph.copy()
    grids, constants = dict(quantized.activations), quantized.constants
    if split:
        grids.update(_before_clips(quantized))
    if unsigned:
        grids = {value: _unsigned(grid) for value, grid in grids.items()}
        weights = {node.inputs[1] for node in graph.nodes if node.op in WEIGHTED}
        constants = {name: stored if name in weights or stored.grid.dtype != "int8" else _unsigned_constant(stored)
                     for name, stored in constants.items()}
    nodes: list[Node] = []
    renamed = {}
    for value in graph.inputs:
        if value in grids:
            pair = _pair(graph, value, grids[value], f"{value}/dq")
            nodes += pair
            renamed[value] = pair[-1].name
    for name, stored in sorted(constants.items()):
        nodes.append(_dequantized(graph, name, stored))
    for node in graph.nodes:
        node.inputs = [renamed.get(value, value) for value in node.inputs]
        outputs = node.outputs
        node.outputs = [_float_name(graph, value) if value in grids else value for value in outputs]
        nodes.append(node)
        for value, computed in zip(outputs, node.outputs, strict=True):
            if value in grids:
                nodes += _pair(graph, computed, grids[value], value, stem=value)
    graph.nodes = nodes
    graph.remove_unused()
    return graph


def _before_clips(quantized: Quantized) -> dict[str, Grid]:
    """Grids for values inside fused operators whose Relu or Clip the grid after it does not imply: the same grid, so that
    the rounding is that of a kernel which clamps by itself."""
    graph, found = quantized.graph, {}
    makers = graph.producers()
    for inside, after in fused_values(graph, graph.nodes).items():
        grid = quantized.activations.get(after)
        if inside in quantized.activations or grid is None or grid.dtype != "int8":
            continue
        node, half = makers[after], float(grid.scale[0]) / 2
        low = float(node.attributes.get("min", 0.0))
        high = float(node.attributes.get("max", np.inf))
        if grid.low < low - half or grid.high > high + half:
            found[inside] = grid
    return found


def _unsigned(grid: Grid) -> Grid:
    """The same real values as uint8."""
    return replace(grid, dtype="uint8", zero_point=grid.zero_point + 128) if grid.dtype == "int8" else grid


def _unsigned_constant(stored: Stored) -> Stored:
    return Stored((stored.values.astype(np.int16) + 128).astype(np.uint8), _unsigned(stored.grid))


def _float_name(graph: Graph, value: str) -> str:
    return graph.add_value(f"{value}/float", graph.shapes[value])


def _pair(graph: Graph, source: str, grid: Grid, result: str, stem: str = "") -> list[Node]:
    stem = stem or source
    scale, zero_point = _facts(graph, stem, grid)
    stored = graph.add_value(f"{stem}/q", graph.shapes[source], grid.dtype)
    if result not in graph.shapes:
        graph.add_value(result, graph.shapes[source])
    return [Node("QuantizeLinear", [source, scale, zero_point], [stored]),
            Node("DequantizeLinear", [stored, scale, zero_point], [result])]


def _dequantized(graph: Graph, name: str, stored: Stored) -> Node:
    """The constant ``name`` as integers and a DequantizeLinear that makes it."""
    del graph.constants[name]
    scale, zero_point = _facts(graph, name, stored.grid)
    values = graph.add_constant(f"{name}/q", stored.values)
    attributes = {"axis": stored.grid.axis} if stored.grid.scale.size > 1 else {}
    return Node("DequantizeLinear", [values, scale, zero_point], [name], attributes)


def _facts(graph: Graph, stem: str, grid: Grid) -> tuple[str, str]:
    """Scale and zero point as constants: scalars for the whole tensor, vectors for an axis."""
    whole = grid.scale.size == 1
    scale = np.float32(grid.scale[0]).reshape(()) if whole else grid.scale
    zero_point = grid.zero_point.astype(grid.dtype)
    return (graph.add_constant(f"{stem}/scale", scale),
            graph.add_constant(f"{stem}/zero_point", zero_point[0].reshape(()) if whole else zero_point))
