"""Small networks for tests of the toolkit: ONNX models from a few lines, and graphs read from them.

    model([("Relu", ["x"], "y")], {"x": (1, 3, 8, 8)}, ["y"])                   an ONNX model
    graph([("Relu", ["x"], "y")], {"x": (1, 3, 8, 8)}, ["y"])                   the same as the reader makes it
    chain((1, 3, 8, 8), ("Conv", {"pads": [1] * 4}, weights, bias), ("Relu",))  the same of operators one after the other

Inputs of a node that are arrays are constants. The values of a chain are "input", then the operator and its place in small
letters (conv0, relu1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edgeinfer.model.tensor import Array
from quantize.graph import Graph
from quantize.graph.onnx_reader import read_model

__all__ = ["chain", "chain_model", "graph", "model", "random_feeds", "run", "weights"]

NodeSpec = tuple[Any, ...]  # operator, inputs (names or arrays), output or outputs, attributes where there are any


def model(nodes: Sequence[NodeSpec], inputs: Mapping[str, Any], outputs: Sequence[str], opset: int = 17) -> onnx.ModelProto:
    """An ONNX model. ``inputs``: shape by name (float32; a side that is text is open), or (shape, dtype)."""
    protos, constants = [], []
    for place, (op, wanted, made, *attributes) in enumerate(nodes):
        names = [value if isinstance(value, str) else f"{op.lower()}{place}.{number}" for number, value in enumerate(wanted)]
        constants += [numpy_helper.from_array(np.asarray(value), name)
                      for name, value in zip(names, wanted, strict=True) if not isinstance(value, str)]
        protos.append(helper.make_node(op, names, [made] if isinstance(made, str) else made, **(attributes[0] if attributes else {})))
    facts = [_value_info(name, what) for name, what in inputs.items()]
    proto = helper.make_graph(protos, "net", facts, [onnx.ValueInfoProto(name=name) for name in outputs], constants)
    made = helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 19 else 10)
    try:
        types = onnx.shape_inference.infer_shapes(made)
    except onnx.shape_inference.InferenceError:
        return made
    known = {value.name: value for value in [*types.graph.value_info, *types.graph.output]}
    for output in made.graph.output:
        output.CopyFrom(known[output.name])
    return made


def graph(nodes: Sequence[NodeSpec], inputs: Mapping[str, Any], outputs: Sequence[str], opset: int = 17) -> Graph:
    """The graph of such a model."""
    return read_model(model(nodes, inputs, outputs, opset), "net.onnx")


def chain_model(shape: tuple[int, ...], *steps: tuple[Any, ...], opset: int = 17) -> onnx.ModelProto:
    """Operators one after the other. A step: the operator, attributes where there are any, then its further inputs."""
    nodes, value = [], "input"
    for place, (op, *rest) in enumerate(steps):
        attributes = rest.pop(0) if rest and isinstance(rest[0], dict) else {}
        made = f"{op.lower()}{place}"
        nodes.append((op, [value, *rest], made, attributes))
        value = made
    return model(nodes, {"input": shape}, [value], opset)


def chain(shape: tuple[int, ...], *steps: tuple[Any, ...], opset: int = 17) -> Graph:
    """The graph of operators one after the other."""
    return read_model(chain_model(shape, *steps, opset=opset), "net.onnx")


def weights(*shape: int, seed: int = 0) -> Array:
    """Random weights (float32), of a size that keeps values near 1."""
    fan = max(1, int(np.prod(shape[1:])))
    return (np.random.default_rng(seed).normal(size=shape) / np.sqrt(fan)).astype(np.float32)


def random_feeds(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """Random numbers for every input of a graph; small whole numbers where they are integers."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=graph.shapes[name]).astype(np.float32) if graph.dtypes[name] == "float32"
            else rng.integers(0, 3, graph.shapes[name]).astype(graph.dtypes[name]) for name in graph.inputs}


def run(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs of a model as ONNX Runtime computes them, without optimisations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, dict(feeds))
    return outputs


def _value_info(name: str, what: Any) -> onnx.ValueInfoProto:
    shape, dtype = what if len(what) == 2 and isinstance(what[1], str) and isinstance(what[0], tuple) else (what, "float32")
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
