"""Cross-layer equalisation."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.model.tensor import Array
from quantize.accuracy.equalize import equalize
from quantize.graph import Graph
from quantize.graph.execute import Runner
from tests.quantize.accuracy.nets import mobile, photos, planned, sqnr
from tests.quantize.graphs import graph, random_feeds, weights


def _loud(*shape: int, seed: int = 0, axis: int = 0) -> Array:
    """Weights whose channels differ up to some hundred times."""
    sides = [1] * len(shape)
    sides[axis] = -1
    factors = np.exp(np.random.default_rng(seed + 7).uniform(-3, 3, shape[axis]))
    return (weights(*shape, seed=seed) * factors.reshape(sides)).astype(np.float32)


def _bias(count: int) -> Array:
    return np.linspace(-0.5, 0.5, count, dtype=np.float32)


def _conv(source: str, name: str, outputs: int, inputs: int, kernel: int = 1, seed: int = 0, **attributes: object) -> tuple[object, ...]:
    return ("Conv", [source, _loud(outputs, inputs, kernel, kernel, seed=seed), _bias(outputs)], name, attributes)


_FIRST = _conv("input", "x", 8, 3, seed=1)
_LAST = _conv("y", "out", 4, 8, seed=2)
BETWEEN: dict[str, list[tuple[object, ...]]] = {
    "nothing": [("Identity", ["x"], "y")],
    "relu": [("Relu", ["x"], "y")],
    "leaky relu": [("LeakyRelu", ["x"], "y", {"alpha": 0.3})],
    "prelu of each channel": [("PRelu", ["x", _bias(8).reshape(8, 1, 1)], "y")],
    "clip from 0": [("Clip", ["x", np.float32(0)], "y")],
    "relu6": [("Clip", ["x", np.float32(0), np.float32(6)], "y")],
    "max pool": [("MaxPool", ["x"], "y", {"kernel_shape": [2, 2], "strides": [2, 2]})],
    "pad of zeros": [("Pad", ["x", np.array([0, 0, 1, 1, 0, 0, 1, 1])], "y")],
    "pad of ones": [("Pad", ["x", np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(1)], "y")],
    "depthwise": [("Relu", ["x"], "r"), ("Conv", ["r", _loud(8, 1, 3, 3), _bias(8)], "z", {"group": 8}), ("Relu", ["z"], "y")],
    "two groups": [("Conv", ["x", _loud(8, 4, 1, 1), _bias(8)], "z", {"group": 2}), ("Relu", ["z"], "y")],
    "a transposed convolution": [("ConvTranspose", ["x", _loud(8, 8, 2, 2, axis=1), _bias(8)], "z", {"strides": [2, 2]}),
                                 ("Relu", ["z"], "y")],
    "residual": [("Relu", ["x"], "r"), _conv("r", "z", 8, 8, seed=3), ("Add", ["r", "z"], "y")],
    "a constant added": [("Relu", ["x"], "r"), ("Add", ["r", weights(1, 8, 8, 8)], "y")],
    "a constant multiplied": [("Mul", ["x", np.full((1, 8, 1, 1), 2, np.float32)], "y")],
    "a gate": [("GlobalAveragePool", ["x"], "g"), _conv("g", "h", 8, 8, seed=4), ("Sigmoid", ["h"], "s"), ("Mul", ["x", "s"], "y")],
    "the product of two": [_conv("input", "z", 8, 3, seed=5), ("Mul", ["x", "z"], "y")],
    "sigmoid": [("Sigmoid", ["x"], "y")],
    "concat": [("Split", ["x", np.array([3, 5])], ["p", "q"], {"axis": 1}), ("Relu", ["q"], "r"), ("Concat", ["r", "p"], "y", {"axis": 1})],
    "slices": [("Slice", ["x", np.array([7]), np.array([-20]), np.array([1]), np.array([-1])], "y")],
    "resize": [("Resize", ["x", np.array([], np.float32), np.array([1, 1, 2, 2], np.float32)], "y", {"mode": "linear"})],
    "one channel for all": [("ReduceMean", ["x"], "m", {"axes": [1], "keepdims": 1}), ("Add", ["x", "m"], "y")],
}


def _largest_error(one: Graph, other: Graph) -> float:
    """Of the outputs, relative to their size."""
    errors = []
    for seed in range(3):
        feeds = random_feeds(one, seed)
        wanted, made = Runner(one, threads=1, optimize=False).run(feeds), Runner(other, threads=1, optimize=False).run(feeds)
        errors += [float(np.abs(made[name] - wanted[name]).max() / np.abs(wanted[name]).max()) for name in one.outputs]
    return max(errors)


@pytest.mark.parametrize("between", BETWEEN, ids=str)
def test_equalising_keeps_the_function(between: str) -> None:
    """Whatever lies between two convolutions, the outputs stay what they were to 1e-5 of their size."""
    net = graph([_FIRST, *BETWEEN[between], _LAST], {"input": (1, 3, 8, 8)}, ["out"])
    assert _largest_error(net, equalize(net)[0]) < 1e-5


@pytest.mark.parametrize(("between", "passes"), [
    ("relu", True), ("leaky relu", True), ("prelu of each channel", True), ("clip from 0", True), ("depthwise", True), ("gate", True),
    ("residual", True), ("concat", True), ("slices", True), ("a constant multiplied", True),
    ("relu6", False), ("sigmoid", False), ("pad of ones", False), ("a constant added", False), ("one channel for all", False)])
def test_factors_go_through_what_is_homogeneous_and_nothing_else(between: str, passes: bool) -> None:
    """The first convolution's weights change only where a factor can reach the last one's."""
    name = {"gate": "a gate"}.get(between, between)
    net = graph([_FIRST, *BETWEEN[name], _LAST], {"input": (1, 3, 8, 8)}, ["out"])
    made = equalize(net)[0]
    first = net.nodes[0].inputs[1]
    assert (not np.array_equal(made.constants[first], net.constants[first])) == passes


def test_values_behind_a_flattening_are_scaled_with_their_channels() -> None:
    """A factor goes on into a linear layer that reads all positions of a channel."""
    net = graph([_FIRST, ("Relu", ["x"], "r"), ("Flatten", ["r"], "f"),
                 ("Gemm", ["f", weights(5, 8 * 16), _bias(5)], "out", {"transB": 1})], {"input": (1, 3, 4, 4)}, ["out"])
    made, done = equalize(net)
    assert done
    assert _largest_error(net, made) < 1e-5


def test_unlike_channels_are_evened_out() -> None:
    """What a random factor for each channel has broken is mended: INT8 is as good as without the factors."""
    plain, unlike, samples = mobile(), mobile(unlike=20.0), photos(16)
    evened, done = equalize(unlike)
    before = sqnr(unlike, planned(unlike, samples), samples)
    after = sqnr(evened, planned(evened, samples), samples)
    assert len(done) == 1
    assert before < 20.0
    assert after > sqnr(plain, planned(plain, samples), samples) - 3.0


def test_weights_used_twice_are_left_alone() -> None:
    """Two convolutions that share their weights keep them."""
    shared, bias = _loud(8, 8, 1, 1), _bias(8)
    net = graph([_FIRST, ("Conv", ["x", shared, bias], "a"), ("Relu", ["a"], "r"), ("Conv", ["r", shared, bias], "y"), _LAST],
                {"input": (1, 3, 4, 4)}, ["out"])
    net.nodes[3].inputs[1:] = net.nodes[1].inputs[1:]
    assert np.array_equal(equalize(net)[0].constants[net.nodes[1].inputs[1]], shared)


def test_an_even_network_stays_as_it_is() -> None:
    """Where there is nothing to even out the very graph comes back, and nothing is said."""
    net = mobile("Relu6")
    assert equalize(net) == (net, [])


def test_a_channel_of_zeros_keeps_its_bias() -> None:
    """A pruned channel has no weights to go by: its factor is 1."""
    first = _loud(8, 3, 1, 1)
    first[2] = 0
    net = graph([("Conv", ["input", first, _bias(8)], "x"), ("Relu", ["x"], "y"), _LAST], {"input": (1, 3, 4, 4)}, ["out"])
    made = equalize(net)[0]
    assert made.constants[net.nodes[0].inputs[2]][2] == _bias(8)[2]
    assert all(np.isfinite(array).all() for array in made.constants.values())
