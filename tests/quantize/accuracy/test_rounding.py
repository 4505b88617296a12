"""Integers of all weights, layer by layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantize.accuracy.rounding import reconstruct, rounded_layers
from quantize.graph import Graph
from quantize.plan import plan
from quantize.rules import Rules
from tests.quantize.accuracy.nets import mobile, photos, planned, ranges, sqnr
from tests.quantize.graphs import graph, weights

RULES = {"cpu": Rules(), "tensorrt": Rules(variant="tensorrt", symmetric=True, float_bias=True), "reduced": Rules(weight_most=63),
         "per tensor": Rules(per_axis=False)}


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("activation", ["Relu", "Relu6"])
def test_outputs_are_nearer_to_the_float_network_than_with_the_nearest_integers(rules: str, activation: str) -> None:
    """On samples that were not looked at too, with every kind of weights and biases."""
    net, seen, unseen = mobile(activation, seed=5), photos(32), photos(32, seed=1)
    nearest = planned(net, seen, RULES[rules])
    found = reconstruct(nearest, net, seen, threads=1)
    assert sqnr(net, found, seen) > sqnr(net, nearest, seen) + 1
    assert sqnr(net, found, unseen) > sqnr(net, nearest, unseen)


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_only_weights_and_biases_change(rules: str) -> None:
    """Grids of activations stay, weights stay symmetric within their limits, what was float stays float; the input of the
    step is as it was."""
    net, samples = mobile(), photos(8)
    before = planned(net, samples, RULES[rules])
    kept = {name: stored.values.copy() for name, stored in before.constants.items()}
    after = reconstruct(before, net, samples, threads=1)
    assert after.activations == before.activations
    assert after.constants.keys() == before.constants.keys()
    for node in rounded_layers(after):
        old, new = before.constants[node.inputs[1]], after.constants[node.inputs[1]]
        assert np.abs(new.values).max() <= RULES[rules].weight_most
        assert (new.values.dtype, new.values.shape, new.grid.axis) == (old.values.dtype, old.values.shape, old.grid.axis)
        assert new.grid.scale.shape == old.grid.scale.shape
        assert new.grid.scale.dtype == np.float32
    assert all(np.array_equal(before.constants[name].values, values) for name, values in kept.items())


def test_the_same_inputs_give_the_same_integers() -> None:
    """To the last bit."""
    net, samples = mobile(), photos(6)
    quantized = planned(net, samples)
    one, other = (reconstruct(quantized, net, samples, threads=1) for _ in range(2))
    for name, stored in one.constants.items():
        assert np.array_equal(stored.values, other.constants[name].values)
        assert np.array_equal(stored.grid.scale, other.constants[name].grid.scale)


def test_layers_left_float_stay_float() -> None:
    """And those behind them still gain."""
    net, samples = mobile(), photos(8)
    first = next(node.name for node in net.nodes if node.op == "Conv")
    quantized = planned(net, samples, excluded=(first,))
    found = reconstruct(quantized, net, samples, threads=1)
    assert found.constants.keys() == quantized.constants.keys()
    assert sqnr(net, found, samples) > sqnr(net, quantized, samples)


def test_layers_with_16_bit_activations_gain_too() -> None:
    """Their weights still have 8 bits, and their grids 16."""
    net, samples = mobile(), photos(8)
    wide = [node.name for node in net.nodes if node.op in ("Conv", "Gemm")][2:5]
    quantized = plan(net, ranges(net, samples), Rules(), wide=wide)
    found = reconstruct(quantized, net, samples, threads=1)
    assert sqnr(net, found, samples) > sqnr(net, quantized, samples)
    assert {grid.dtype for grid in found.activations.values()} == {"int8", "int16"}


def test_shared_weights_keep_the_nearest_integers() -> None:
    """Two layers with one set of weights would each want integers of its own."""
    shared, bias = weights(3, 3, 1, 1), np.zeros(3, np.float32)
    net = graph([("Conv", ["input", shared, bias], "a"), ("Relu", ["a"], "r"), ("Conv", ["r", shared, bias], "out")],
                {"input": (1, 3, 12, 12)}, ["out"])
    net.nodes[2].inputs[1] = net.nodes[0].inputs[1]
    samples = photos(4)
    quantized = planned(net, samples)
    found = reconstruct(quantized, net, samples, threads=1)
    name = net.nodes[0].inputs[1]
    assert np.array_equal(found.constants[name].values, quantized.constants[name].values)


LAYERS: dict[str, tuple[tuple[int, ...], list[tuple[object, ...]]]] = {
    "transposed": ((1, 3, 8, 8), [("ConvTranspose", ["input", weights(3, 5, 3, 3), np.ones(5, np.float32)], "out", {"strides": [2, 2]})]),
    "transposed in groups": ((1, 4, 8, 8), [("ConvTranspose", ["input", weights(4, 3, 3, 3), np.ones(6, np.float32)], "out",
                                             {"strides": [2, 2], "group": 2})]),
    "in groups": ((1, 4, 8, 8), [("Conv", ["input", weights(6, 2, 3, 3), np.ones(6, np.float32)], "out", {"group": 2})]),
    "in one dimension": ((1, 4, 30), [("Conv", ["input", weights(6, 4, 5), np.ones(6, np.float32)], "out", {"dilations": [2]})]),
    "linear over rows": ((6, 20), [("Gemm", ["input", weights(5, 20), np.ones(5, np.float32)], "out", {"transB": 1})])}


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_kind_of_layer_gains(layer: str) -> None:
    """Alone in a network, with coarse weights to see it."""
    shape, nodes = LAYERS[layer]
    net: Graph = graph(nodes, {"input": shape}, ["out"])
    samples = photos(16, shape)
    quantized = plan(net, ranges(net, samples), Rules(weight_most=7))
    found = reconstruct(quantized, net, samples, threads=1)
    assert sqnr(net, found, samples) > sqnr(net, quantized, samples)


def test_a_constant_input_leaves_weights_near_what_they_were() -> None:
    """Samples that never change tell nothing about most weights: the pull towards the float ones decides."""
    net = mobile()
    samples = [{"input": np.ones((1, 3, 12, 12), np.float32)}] * 3
    quantized = planned(net, samples)
    found = reconstruct(quantized, net, samples, threads=1)
    for node in rounded_layers(found):
        stored = found.constants[node.inputs[1]]
        off = stored.grid.dequantize(stored.values) - net.constants[node.inputs[1]]
        assert np.abs(off).max() < 0.1 * np.abs(net.constants[node.inputs[1]]).max()


def test_a_bias_that_would_overflow_coarsens_the_scale() -> None:
    """Weights of nearly nothing with a bias of some size: 32 bits are enough for it."""
    tiny = weights(4, 3, 1, 1) * np.float32(1e-12)
    net = graph([("Conv", ["input", tiny, np.full(4, 3, np.float32)], "out")], {"input": (1, 3, 12, 12)}, ["out"])
    samples = photos(4)
    found = reconstruct(planned(net, samples), net, samples, threads=1)
    node = found.graph.nodes[0]
    stored = found.constants[node.inputs[2]]
    np.testing.assert_allclose(stored.grid.dequantize(stored.values), 3, rtol=1e-3)


def test_nothing_to_round_is_no_error() -> None:
    """A network without weights comes back as it is."""
    net = graph([("Relu", ["input"], "out")], {"input": (1, 3, 4, 4)}, ["out"])
    quantized = planned(net, photos(2, (1, 3, 4, 4)))
    assert replace(reconstruct(quantized, net, photos(2, (1, 3, 4, 4)), threads=1), graph=quantized.graph) == quantized
