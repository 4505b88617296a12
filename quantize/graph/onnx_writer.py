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
_AS_CANONICAL = {"Clip", "Reshape", "Expand", "Tile", "Split", "Slice", "Pad", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin",
                 "ReduceProd", "ReduceLogSum", "ReduceLogSumExp", "Gemm", "Cast"}  # attributes differ, set 17 has them all
_IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9}  # those that onnx 1.12 to 1.15 wrote with these sets; 10 for newer


def write(graph: Graph, outputs: Sequence[str] | None = None) -> ModelProto:
    """The model with ``outputs`` (those of the graph where None), of operator set 17, or the first that has all its operators."""
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
    return max([LEAST_OPSET, *(_least(node) for node in graph.nodes)])


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
    """A canonical node as the operator set has it, and the constants that it needs besides those of the graph: what the graph
    holds as attributes and the set takes as inputs. Names are of the graph; constants are called after the node."""
    attributes, extra = dict(node.attributes), dict[str, Array]()

    def constant(name: str, values: Any, dtype: Any = np.int64) -> str:
        free = graph.free_name(f"{node.name}/{name}")
        extra[free] = np.asarray(values, dtype)
        return free

    inputs = list(node.inputs)
    inputs += _as_inputs(node, attributes, constant, opset, graph)
    if node.op == "Gemm":
        attributes["transB"] = 1
    if node.op == "Cast":
        attributes["to"] = helper.np_dtype_to_tensor_dtype(np.dtype(attributes["to"]))
    if node.op == "GridSample" and opset < 20:
        attributes["mode"] = {"linear": "bilinear", "cubic": "bicubic"}.get(attributes["mode"], attributes["mode"])
    protos = [helper.make_node(node.op, inputs, node.outputs, name=node.name, **_typed(attributes))]
    return protos, extra


def _as_inputs(node: Node, attributes: dict[str, Any], constant: Any, opset: int, graph: Graph) -> list[str]:
    """Takes out of ``attributes`` what the operator set has as inputs; their names."""
    take, op = attributes.pop, node.op
    if op == "Clip":
        dtype = graph.dtypes[node.inputs[0]]
        low, high = take("min"), take("max")
        return [constant("min", low, dtype) if low != -np.inf else "", *([constant("max", high, dtype)] if high != np.inf else [])]
    if op in ("Reshape", "Expand"):
        return [constant("shape", take("shape"))]
    if op == "Tile":
        return [constant("repeats", take("repeats"))]
    if op == "Split":
        return [constant("split", take("split"))]
    if op == "Slice":
        ends = [np.iinfo(np.int64).min if end < 0 else end for end in take("ends")]
        return [constant("starts", take("starts")), constant("ends", ends), constant("axes", take("axes")), constant("steps", take("steps"))]
    if op == "Pad":
        pads, value = constant("pads", take("pads")), take("value")
        return [pads, constant("value", value, graph.dtypes[node.inputs[0]])] if attributes["mode"] == "constant" else [pads]
    if op == "ReduceSum" or (op.startswith("Reduce") and opset >= 18):
        return [constant("axes", take("axes"))]
    if op == "Resize":
        return _resize_inputs(node, attributes, constant, graph)
    return []


def _resize_inputs(node: Node, attributes: dict[str, Any], constant: Any, graph: Graph) -> list[str]:
    """Scales where they give the sizes; sizes where rounding would not."""
    shape, scales, sizes = graph.shapes[node.inputs[0]], attributes.pop("scales"), attributes.pop("sizes")
    if attributes["mode"] != "nearest":
        attributes.pop("nearest_mode", None)
    given = np.asarray(scales, np.float32)
    if [int(np.floor(np.float32(side) * scale)) for side, scale in zip(shape, given, strict=True)] == list(sizes):
        return ["", constant("scales", given, np.float32)]
    return ["", "", constant("sizes", sizes)]


def _typed(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value for name, value in attributes.items()}
