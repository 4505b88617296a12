"""Graphs as float ONNX models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node

__all__ = ["LEAST_OPSET", "node_protos", "opset_for", "value_info", "write"]

LEAST_OPSET = 17
_AS_CANONICAL = {"Clip", "Reshape", "Expand", "Tile", "Split", "Slice", "Pad", "ReduceSum", "ReduceMean", "ReduceMax",
                 "ReduceMin", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp", "Gemm", "Cast"}  # set 17 has all of them
_IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9}  # those that onnx 1.12 to 1.15 wrote with these sets; 10 for newer


def write(graph: Graph, outputs: Sequence[str] | None = None) -> ModelProto:
    """The model with ``outputs`` (those of the graph where None), of operator set 17 or the first that has its operators."""
    opset = opset_for(graph)
    nodes: list[NodeProto] = []
    constants: dict[str, Array] = {}
    for node in graph.nodes:
        protos, more = node_protos(graph, node, opset)
        nodes += protos
        constants |= more
    wanted = list(graph.outputs if outputs is None else outputs)
    used = {name for proto in nodes for name in proto.input}.union(wanted)
    initializers = [numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
                    for name, array in [*graph.constants.items(), *constants.items()] if name in used]
    proto = helper.make_graph(nodes, graph.name, [value_info(graph, name) for name in graph.inputs],
                              [value_info(graph, name) for name in wanted], initializers)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)], ir_version=_IR_VERSIONS.get(opset, 10),
                             producer_name="quantize")


def value_info(graph: Graph, name: str) -> onnx.ValueInfoProto:
    """Name, dtype and shape of a value, as inputs and outputs state them."""
    elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(graph.dtypes[name]))
    return helper.make_tensor_value_info(name, elem_type, list(graph.shapes[name]))


def opset_for(graph: Graph) -> int:
    """The operator set to write: 17 or the first newer one that has every operator with its attributes and inputs."""
    wide = any(node.op == "QuantizeLinear" and graph.dtypes[node.name] == "int16" for node in graph.nodes)
    return max([21 if wide else LEAST_OPSET, *(_least(node) for node in graph.nodes)])


def _least(node: Node) -> int:
    if node.op == "Resize":
        return 18 if "antialias" in node.attributes else LEAST_OPSET
    if node.op in _AS_CANONICAL:
        return LEAST_OPSET
    for opset in range(LEAST_OPSET, onnx.defs.onnx_opset_version() + 1):
        if onnx.defs.has(node.op, opset):
            schema = onnx.defs.get_schema(node.op, opset)
            if len(node.inputs) <= schema.max_input and schema.attributes.keys() >= node.attributes.keys():
                return opset
    return LEAST_OPSET


def node_protos(graph: Graph, node: Node, opset: int = LEAST_OPSET) -> tuple[list[NodeProto], dict[str, Array]]:
    """A canonical node as the operator set has it, and the constants that it needs besides those of the graph: what the
    graph holds as attributes and the set takes as inputs. They are called after the node."""
    attributes, extra = dict(node.attributes), dict[str, Array]()
    inputs = list(node.inputs)
    for name, array in _taken_out(graph, node, attributes, opset):
        if array is None:
            inputs.append("")
            continue
        inputs.append(graph.free_name(f"{node.name}/{name}"))
        extra[inputs[-1]] = array
    if node.op == "Gemm":
        attributes["transB"] = 1
    elif node.op == "Cast":
        attributes["to"] = helper.np_dtype_to_tensor_dtype(np.dtype(attributes["to"]))
    elif node.op == "GridSample" and opset < 20:
        attributes["mode"] = {"linear": "bilinear", "cubic": "bicubic"}.get(attributes["mode"], attributes["mode"])
    elif node.op == "Resize" and attributes["mode"] != "nearest":
        attributes.pop("nearest_mode", None)
    typed = {name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
             for name, value in attributes.items()}
    return [helper.make_node(node.op, inputs, node.outputs, name=node.name, **typed)], extra


_SIZES = {"Reshape": ("shape",), "Expand": ("shape",), "Tile": ("repeats",), "Split": ("split",), "Pad": ("pads",),
          "Slice": ("starts", "ends", "axes", "steps"), "ReduceSum": ("axes",)}


def _taken_out(graph: Graph, node: Node, attributes: dict[str, Any], opset: int) -> list[tuple[str, Array | None]]:
    """What the operator set has as inputs, taken out of ``attributes``: names and values, None for an input without one."""
    names = ("axes",) if node.op.startswith("Reduce") and opset >= 18 else _SIZES.get(node.op, ())
    taken: list[tuple[str, Array | None]] = [(name, np.array(attributes.pop(name), np.int64)) for name in names]
    dtype = graph.dtypes[node.inputs[0]] if node.inputs else "float32"
    if node.op == "Slice":
        ends = taken[1][1]
        taken[1] = ("ends", np.where(ends < 0, np.iinfo(np.int64).min, ends) if ends is not None else None)
    elif node.op == "Pad":
        value = attributes.pop("value")
        taken += [("value", np.array(value, dtype))] if attributes["mode"] == "constant" else []
    elif node.op == "Clip":
        low, high = attributes.pop("min"), attributes.pop("max")
        taken = [("min", np.array(low, dtype) if low != -np.inf else None)]
        taken += [("max", np.array(high, dtype))] if high != np.inf else []
    elif node.op == "Resize":
        taken = _resized(graph.shapes[node.inputs[0]], attributes.pop("scales"), attributes.pop("sizes"))
    return taken


def _resized(shape: tuple[int, ...], scales: Sequence[float], sizes: Sequence[int]) -> list[tuple[str, Array | None]]:
    """Scales where they give the sizes; sizes where rounding would not. The region before them is absent."""
    given = np.asarray(scales, np.float32)
    if [int(np.floor(np.float32(side) * scale)) for side, scale in zip(shape, given, strict=True)] == list(sizes):
        return [("roi", None), ("scales", given)]
    return [("roi", None), ("scales", None), ("sizes", np.array(sizes, np.int64))]
