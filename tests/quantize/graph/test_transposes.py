"""Transpositions are pushed on until they cancel; what they leave computes the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.graph.orders import complete, groups, moved, same, sides_of
from quantize.graph.transposes import settle
from tests.quantize.any_net import nets
from tests.quantize.graphs import graph, random_feeds, weights

TO_LAST, TO_SECOND = [0, 2, 3, 1], [0, 3, 1, 2]


def last(*nodes: tuple[Any, ...], shape: tuple[int, ...] = (1, 5, 6, 4), outputs: list[str] = ["y"]) -> Graph:  # noqa: B006  read only
    """A channels-last network around a convolution, as a .tflite reads: x, conv c, then ``nodes``."""
    return graph([("Transpose", ["x"], "x1", {"perm": TO_SECOND}), ("Conv", ["x1", weights(4, 4, 3, 3), weights(4)], "c1", {"pads": [1] * 4}),
                  ("Transpose", ["c1"], "c", {"perm": TO_LAST}), *nodes, ("Transpose", ["d"], "d1", {"perm": TO_SECOND}),
                  ("Conv", ["d1", weights(3, 4, 1, 1), weights(3)], "e", {}), ("Transpose", ["e"], "y", {"perm": TO_LAST})], {"x": shape}, outputs)


def agrees(net: Graph, **perms: tuple[int, ...]) -> Counter[str]:
    """Assert that the settled graph computes the same; how many of each operator it has."""
    settled = settle(net, perms)
    feeds = random_feeds(net)
    given = {name: value.transpose(perm) if (perm := settled.input_perms[name]) else value for name, value in feeds.items()}
    found, wanted = Runner(settled.graph).run(given), Runner(net).run(feeds)
    for output, tensor in zip(net.outputs, settled.graph.outputs, strict=True):
        perm = settled.output_perms[output]
        assert np.allclose(found[tensor], wanted[output].transpose(perm) if perm else wanted[output], atol=1e-5)
    return Counter(node.op for node in settled.graph.nodes)


BETWEEN: dict[str, list[tuple[Any, ...]]] = {
    "unary": [("Relu", ["c"], "d")],
    "constant": [("Add", ["c", weights(4)], "a"), ("Mul", ["a", weights(1, 6, 1)], "d")],
    "both": [("Sigmoid", ["c"], "s"), ("Mul", ["c", "s"], "d")],
    "concat": [("Slice", ["c", np.array([0]), np.array([2]), np.array([3])], "l"), ("Slice", ["c", np.array([2]), np.array([4]), np.array([3])], "r"),
               ("Concat", ["r", "l"], "d", {"axis": 3})],
    "split": [("Split", ["c", np.array([1, 3])], ["l", "r"], {"axis": 3}), ("Concat", ["r", "l"], "d", {"axis": 3})],
    "pad": [("Pad", ["c", np.array([0, 1, 2, 0, 0, 0, 1, 0])], "d")],
    "reduce": [("ReduceMean", ["c"], "m", {"axes": [1, 2], "keepdims": 1}), ("Sub", ["c", "m"], "d")],
    "reduce-less": [("ReduceMax", ["c"], "m", {"axes": [1, 2], "keepdims": 0}), ("Reshape", ["m", np.array([1, 1, 1, 4])], "n"), ("Sub", ["c", "n"], "d")],
    "softmax": [("Softmax", ["c"], "d", {"axis": 3})],
    "gather": [("Gather", ["c", np.array([2, 0, 1, 3])], "d", {"axis": 3})],
    "tile": [("Tile", ["c", np.array([1, 2, 1, 1])], "d")],
    "expand": [("ReduceMean", ["c"], "m", {"axes": [1], "keepdims": 1}), ("Expand", ["m", np.array([1, 3, 6, 4])], "d")],
    "squeeze": [("Reshape", ["c", np.array([5, 6, 4])], "s"), ("Relu", ["s"], "t"), ("Reshape", ["t", np.array([1, 5, 6, 4])], "d")],
    "merge": [("Reshape", ["c", np.array([1, 30, 4])], "s"), ("Relu", ["s"], "t"), ("Reshape", ["t", np.array([1, 5, 6, 4])], "d")],
    "split-channels": [("Reshape", ["c", np.array([1, 5, 6, 2, 2])], "s"), ("Softmax", ["s"], "t", {"axis": 4}), ("Reshape", ["t", np.array([1, 5, 6, 4])], "d")],
    "prelu": [("PRelu", ["c", weights(4)], "d")],
    "resize": [("Transpose", ["c"], "p", {"perm": TO_SECOND}), ("Resize", ["p", np.array([], np.float32), np.array([1, 1, 2, 2], np.float32)], "q"),
               ("Transpose", ["q"], "d", {"perm": TO_LAST})],
}


@pytest.mark.parametrize("name", BETWEEN)
def test_nothing_is_transposed_between_two_convolutions(name: str) -> None:
    """Whatever stands there takes values as they are held."""
    assert agrees(last(*BETWEEN[name]), x=(0, 3, 1, 2))["Transpose"] <= 1  # the output's


@pytest.mark.parametrize("name", BETWEEN)
def test_an_input_that_stays_costs_one_transpose(name: str) -> None:
    """The rest is as before."""
    assert agrees(last(*BETWEEN[name]), x=(0, 1, 2, 3))["Transpose"] <= 2


def test_an_input_is_turned_where_that_saves() -> None:
    """The order of an input that nobody chose is the one in which fewer numbers are moved."""
    net = graph([("Transpose", ["x"], "a", {"perm": TO_LAST}), ("MaxPool", ["a"], "b", {"kernel_shape": [2, 2]}), ("Transpose", ["b"], "y", {"perm": TO_SECOND})],
                {"x": (1, 3, 8, 8)}, ["y"])
    settled = settle(net)
    assert settled.input_perms == {"x": (0, 2, 3, 1)}
    assert [node.op for node in settled.graph.nodes] == ["MaxPool"]


def test_a_flattened_picture_that_goes_to_gemm_is_not_turned() -> None:
    """The columns of its weights are, instead."""
    net = graph([("Transpose", ["x"], "a", {"perm": TO_LAST}), ("MaxPool", ["a"], "p", {"kernel_shape": [2, 2]}), ("Transpose", ["p"], "b", {"perm": TO_SECOND}),
                 ("Reshape", ["b", np.array([1, -1])], "f"), ("Tanh", ["f"], "t"), ("Gemm", ["t", weights(5, 112), weights(5)], "y", {"transB": 1})], {"x": (1, 3, 8, 8)}, ["y"])
    assert agrees(net) == {"MaxPool": 1, "Reshape": 1, "Tanh": 1, "Gemm": 1}


def test_a_flattened_picture_that_is_an_output_is() -> None:
    """Its numbers have an order that somebody relies on."""
    net = last(("Relu", ["c"], "d"), ("Transpose", ["c"], "c2", {"perm": TO_SECOND}), ("Reshape", ["c2", np.array([1, -1])], "f"), outputs=["y", "f"])
    agrees(net, x=(0, 3, 1, 2))


def test_two_that_want_the_same_share_a_transpose() -> None:
    """A value is turned once for all its readers."""
    net = graph([("Transpose", ["x"], f"a{number}", {"perm": [0, 2, 1]}) for number in range(3)]
                + [("MatMul", ["x", f"a{number}"], f"y{number}") for number in range(3)], {"x": (2, 4, 5)}, ["y0", "y1", "y2"])
    assert agrees(net, x=(0, 1, 2))["Transpose"] == 1


def test_origins_name_what_a_tensor_holds() -> None:
    """So that a grid goes with the value wherever it is moved."""
    net = graph([("Transpose", ["x"], "a", {"perm": [0, 2, 1]}), ("MatMul", ["x", "a"], "m"), ("Add", ["m", weights(4, 1)], "y")], {"x": (2, 4, 5)}, ["y"])
    settled = settle(net, {"x": (0, 1, 2)})
    turned = next(node for node in settled.graph.nodes if node.op == "Transpose")
    assert settled.origins[turned.name] == "x"


def test_the_graph_that_is_given_stays() -> None:
    """Settling works on a copy."""
    net = last(("Relu", ["c"], "d"))
    before = net.copy()
    settle(net)
    assert (net.nodes, net.shapes, list(net.constants)) == (before.nodes, before.shapes, list(before.constants))


@settings(max_examples=40, deadline=None)
@given(nets())
def test_any_graph_computes_the_same(net: Graph) -> None:
    """Random networks of operators with and without a rule, of two to five sides."""
    agrees(net)


def test_orders() -> None:
    """Sides of 1 may stand anywhere: what counts is where the others are."""
    assert sides_of((0, None, 2, 1), (1, 3, 7)) == (1, 1, 7, 3)
    assert same((0, 2, 3, 1), (0, None, None, 1), (2, 5, 1, 1))
    assert not same((0, 2, 1), (0, 1, 2), (1, 3, 7))
    assert complete((0, None, 1), (1, 3, 1)) == (0, 2, 1)
    assert complete((0, 3, 1), (1, 4, 1, 9)) == (0, 2, 3, 1)
    assert groups((1, 6, 4), (2, 3, 1, 4)) == [([1], [0, 1]), ([2], [3])]
    assert moved(np.arange(6).reshape(1, 2, 3), (0, None, 2, 1)).tolist() == [[[[0, 3], [1, 4], [2, 5]]]]
