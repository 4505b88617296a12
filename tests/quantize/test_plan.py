"""The plan: which values get a grid, which of them share one, and what the specification fixes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from quantize.graph import Graph
from quantize.grid import Grid
from quantize.plan import integer_values, plan
from quantize.rules import Rules
from tests.quantize.graphs import chain, graph, weights

CONV = {"pads": [1] * 4}


def ranges(net: Graph, limits: tuple[float, float] = (-2.0, 3.0), **others: tuple[float, float]) -> Mapping[str, tuple[float, float]]:
    """The same range for every value but the ``others``."""
    return {value: others.get(value, limits) for value in integer_values(net)}


def same(one: Grid, other: Grid) -> bool:
    return one.dtype == other.dtype and np.array_equal(one.scale, other.scale) and np.array_equal(one.zero_point, other.zero_point)


def small(*after: tuple[Any, ...]) -> Graph:
    return chain((1, 3, 8, 8), ("Conv", CONV, weights(4, 3, 3, 3), weights(4)), *after)


@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_a_value_between_a_conv_and_its_activation_has_no_grid(activation: str) -> None:
    """Conv and Relu are one operator in integers: what is between them is never rounded."""
    net = small((activation,) if activation == "Relu" else (activation, np.float32(0), np.float32(6)))
    assert list(plan(net, ranges(net), Rules()).activations) == [net.inputs[0], net.outputs[0]]


def test_a_value_that_somebody_else_reads_is_rounded() -> None:
    """A Conv whose result goes to a Relu and to an Add has a grid of its own."""
    net = graph([("Conv", ["x", weights(3, 3, 3, 3), weights(3)], "c", CONV), ("Relu", ["c"], "r"), ("Add", ["c", "r"], "y")],
                {"x": (1, 3, 8, 8)}, ["y"])
    assert {"c", "r"} <= plan(net, ranges(net), Rules()).activations.keys()


@pytest.mark.parametrize(("op", "scale", "zero_point"), [("Sigmoid", 1 / 256, -128), ("Tanh", 1 / 128, 0)])
def test_the_specification_fixes_some_grids(op: str, scale: float, zero_point: int) -> None:
    """Whatever range was seen."""
    net = small((op,))
    grid = plan(net, ranges(net), Rules()).activations[net.outputs[0]]
    assert (grid.scale[0], grid.zero_point[0]) == (np.float32(scale), zero_point)


def test_moving_operators_keep_the_grid_of_what_they_move() -> None:
    """Pooling, padding and reshaping neither rescale nor need a range of their own."""
    net = small(("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Reshape", np.array([1, -1], np.int64)))
    grids = plan(net, ranges(net, maxpool1=(-9.0, 9.0)), Rules()).activations
    assert same(grids["conv0"], grids["maxpool1"])
    assert same(grids["conv0"], grids["reshape2"])
    assert grids["conv0"].high == pytest.approx(3.0, abs=0.02)


def joined(reader: bool) -> Graph:
    """Two convolutions into a Concat; with ``reader`` the second is also read by an Add."""
    nodes: list[Any] = [("Conv", ["x", weights(3, 3, 1, 1), weights(3)], "a"), ("Conv", ["x", weights(3, 3, 1, 1), weights(3)], "b"),
                        ("Concat", ["a", "b"], "j", {"axis": 1})]
    if reader:
        nodes.append(("Add", ["b", "x"], "s"))
    return graph(nodes, {"x": (1, 3, 4, 4)}, ["j", "s"] if reader else ["j"])


def test_a_concat_draws_in_what_only_it_reads() -> None:
    """Both inputs are computed on the grid of the whole, so that nothing is rounded twice."""
    net = joined(reader=False)
    grids = plan(net, ranges(net, a=(-1.0, 1.0), b=(-8.0, 8.0), j=(-8.0, 8.0)), Rules()).activations
    assert same(grids["a"], grids["j"])
    assert same(grids["b"], grids["j"])
    assert grids["j"].high == pytest.approx(8.0, abs=0.1)


def test_a_concat_leaves_a_fine_grid_to_another_reader() -> None:
    """A value with a reader of its own is not made sixteen times coarser for the Concat's sake."""
    net = joined(reader=True)
    grids = plan(net, ranges(net, a=(-8.0, 8.0), b=(-0.5, 0.5), j=(-8.0, 8.0)), Rules()).activations
    assert not same(grids["b"], grids["j"])
    assert grids["b"].high == pytest.approx(0.5, abs=0.01)


def test_excluded_nodes_keep_their_weights_float() -> None:
    """And what they make is float where no other node reads it in integers."""
    net = small(("Relu",))
    quantized = plan(net, ranges(net), Rules(), excluded=["conv0", "relu1"])
    assert not quantized.constants
    assert not quantized.activations


def test_wide_nodes_have_sixteen_bits_around_them() -> None:
    """Inputs and outputs of a wide node are int16 with zero point 0; the rest stays int8."""
    net = small(("Relu",), ("Conv", CONV, weights(4, 4, 3, 3), weights(4)), ("Relu",), ("Conv", CONV, weights(4, 4, 3, 3), weights(4)))
    grids = plan(net, ranges(net), Rules(), wide=["conv2"]).activations
    assert {value: grid.dtype for value, grid in grids.items()} == {
        "input": "int8", "relu1": "int16", "relu3": "int16", "conv4": "int8"}
    assert grids["relu1"].zero_point[0] == 0


def test_symmetric_rules_give_zero_points_of_nought() -> None:
    """Also where the specification would fix another."""
    net = small(("Sigmoid",))
    assert all(grid.zero_point[0] == 0 for grid in plan(net, ranges(net), Rules(symmetric=True, float_bias=True)).activations.values())


def test_a_bias_has_the_scale_that_kernels_ask_for() -> None:
    """Input scale times weight scale, for each channel, in 32 bits."""
    net = small()
    quantized = plan(net, ranges(net), Rules())
    conv = net.nodes[0]
    weight, bias = (quantized.constants[name].grid for name in conv.inputs[1:])
    assert bias.dtype == "int32"
    assert np.allclose(bias.scale, quantized.activations["input"].scale * weight.scale)
    assert np.allclose(quantized.constants[conv.inputs[2]].values * bias.scale, net.constants[conv.inputs[2]], atol=1e-4)


def test_a_channel_of_nothing_does_not_overflow_its_bias() -> None:
    """A weight channel of 1e-9 with a bias of 5: the bias survives in 32 bits."""
    weight, bias = weights(4, 3, 3, 3), np.full(4, 5.0, np.float32)
    weight[1] = 1e-9
    net = chain((1, 3, 8, 8), ("Conv", CONV, weight, bias))
    stored = plan(net, ranges(net), Rules()).constants[net.nodes[0].inputs[2]]
    assert np.allclose(stored.grid.dequantize(stored.values), 5.0, rtol=1e-3)


def test_nodes_that_share_a_bias_get_one_each() -> None:
    """Their inputs differ in scale, so one stored bias cannot serve both."""
    shared = np.ones(3, np.float32)
    net = graph([("Conv", ["x", weights(3, 3, 1, 1), shared], "a"), ("Relu", ["a"], "r"), ("Conv", ["r", weights(3, 3, 1, 1), shared], "y")],
                {"x": (1, 3, 4, 4)}, ["y"])
    net.nodes[2].inputs[2] = net.nodes[0].inputs[2]
    quantized = plan(net, ranges(net, r=(0.0, 40.0)), Rules())
    names = [node.inputs[2] for node in quantized.graph.nodes if node.op == "Conv"]
    assert len(set(names)) == 2
    for name in names:
        stored = quantized.constants[name]
        assert np.allclose(stored.grid.dequantize(stored.values), 1.0, atol=0.01)


def test_the_plan_leaves_the_float_graph_as_it_was() -> None:
    """It works on a copy."""
    net = small(("Relu",))
    before = [str(node) for node in net.nodes], sorted(net.constants)
    plan(net, ranges(net), Rules())
    assert ([str(node) for node in net.nodes], sorted(net.constants)) == before
