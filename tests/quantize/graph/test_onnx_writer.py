"""Graphs written as ONNX models: valid, loadable by the oldest runtime, and read back as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from quantize.graph import Graph
from quantize.graph.onnx_reader import read_model
from quantize.graph.onnx_writer import node_protos, opset_for, write
from tests.quantize.graph.test_onnx_reader import CASES
from tests.quantize.graphs import chain, graph, weights


def described(net: Graph) -> list[Any]:
    """Operators and attributes, numbers as a file of float32 holds them."""
    return [(node.op, {name: np.float32(value) if isinstance(value, float) else value for name, value in node.attributes.items()}) for node in net.nodes]


@pytest.mark.parametrize(("nodes", "inputs"), [case[1:3] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_written_is_valid_and_reads_back_as_it_was(nodes: Any, inputs: Any) -> None:
    """onnx.checker has nothing to say, and the canonical form is one that the reader leaves alone."""
    net = graph(nodes, inputs, ["y"])
    proto = write(net)
    onnx.checker.check_model(proto, full_check=True)
    again = read_model(proto, "net.onnx")
    assert described(again) == described(net)
    assert (again.inputs, again.outputs, again.dtypes["y"]) == (net.inputs, net.outputs, net.dtypes["y"])


@pytest.mark.parametrize(("step", "opset", "ir_version"), [
    (("Relu",), 17, 8),
    (("Clip", np.float32(-1), np.float32(1)), 17, 8),
    (("ReduceMax", np.array([1])), 17, 8),
    (("Gelu",), 20, 9),
    (("Resize", {"antialias": 1, "mode": "linear"}, np.zeros(0, np.float32), np.array([1, 1, 0.5, 0.5], np.float32)), 18, 8),
    (("AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 2]}), 19, 9),
])
def test_the_operator_set_is_the_oldest_that_will_do(step: Any, opset: int, ir_version: int) -> None:
    """From 17 on, so that old runtimes load what they can."""
    proto = write(chain((1, 3, 8, 8), step, opset=20))
    assert (proto.opset_import[0].version, proto.ir_version) == (opset, ir_version)


def test_reductions_follow_the_operator_set() -> None:
    """Axes are attributes up to set 17 and inputs from 18 on, where another node needs that."""
    net = chain((1, 4, 6), ("ReduceMax", {"axes": [1]}), ("Exp",))
    (protos, extra), (newer, more) = node_protos(net, net.nodes[0], 17), node_protos(net, net.nodes[0], 20)
    assert (len(protos[0].input), extra) == (1, {})
    assert [array.tolist() for array in more.values()] == [[1]]
    assert newer[0].input[1] in more


def test_any_value_can_be_an_output() -> None:
    """For those that look inside."""
    net = chain((1, 3, 8, 8), ("Conv", weights(4, 3, 3, 3)), ("Relu",), ("GlobalAveragePool",))
    proto = write(net, ["relu1", "conv0"])
    assert [value.name for value in proto.graph.output] == ["relu1", "conv0"]
    assert [side.dim_value for side in proto.graph.output[0].type.tensor_type.shape.dim] == [1, 4, 6, 6]


def test_the_same_graph_gives_the_same_bytes() -> None:
    """Nothing of time or place is in the file."""
    made = [write(chain((1, 3, 8, 8), ("Conv", weights(4, 3, 3, 3)), ("Relu",))).SerializeToString() for _ in range(2)]
    assert made[0] == made[1]


def test_constants_that_nobody_reads_are_not_written() -> None:
    """A graph may hold more than it needs."""
    net = chain((1, 4), ("Add", weights(4)))
    net.add_constant("left over", weights(1000))
    assert opset_for(net) == 17
    assert [tensor.name for tensor in write(net).graph.initializer] == ["add0.1"]
