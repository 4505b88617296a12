"""Bias correction, measured and worked out."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.model.tensor import Array
from quantize.accuracy.bias import correct_bias, expect_bias
from quantize.accuracy.statistics import Normal, expected
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.grid import Quantized
from quantize.qdq import explicit
from quantize.rules import Rules
from tests.quantize.accuracy.nets import mobile, photos, planned, sqnr
from tests.quantize.graphs import graph, weights

COARSE = {"int32 biases": Rules(weight_most=7), "float biases": Rules(weight_most=7, symmetric=True, float_bias=True)}


def _shift(net: Graph, quantized: Quantized, samples: list[dict[str, Array]]) -> float:
    """How far the outputs' means are off, in all."""
    reference, twin = Runner(net, threads=1), Runner(explicit(quantized), threads=1, optimize=False)
    off = [twin.run(feeds)["logits"] - reference.run(feeds)["logits"] for feeds in samples]
    return float(np.abs(np.mean(off, axis=0)).sum())


@pytest.mark.parametrize("rules", COARSE, ids=str)
def test_measured_correction_brings_the_means_back(rules: str) -> None:
    """Outputs of coarse weights are off on average; afterwards much less, and weights are the same."""
    net, samples = mobile("Relu6", seed=2), photos(32)
    nearest = planned(net, samples, COARSE[rules])
    corrected = correct_bias(nearest, net, samples, threads=1)
    assert _shift(net, corrected, samples) < 0.3 * _shift(net, nearest, samples)
    assert sqnr(net, corrected, samples) > sqnr(net, nearest, samples)
    weights_of = [node.inputs[1] for node in net.nodes if node.op in ("Conv", "Gemm")]
    assert all(corrected.constants[name] is nearest.constants[name] for name in weights_of)


@pytest.mark.parametrize("rules", COARSE, ids=str)
def test_worked_out_correction_helps_without_samples(rules: str) -> None:
    """From the mean and variance of the input's channels alone."""
    net, samples = mobile("Relu", seed=2), photos(32)
    for feeds in samples:
        feeds["input"] += 2  # pictures that are not dark: rounding then shifts the means
    stacked = np.concatenate([feeds["input"] for feeds in samples])
    nearest = planned(net, samples, COARSE[rules])
    normal = Normal(stacked.mean((0, 2, 3), dtype=np.float64), stacked.var((0, 2, 3), dtype=np.float64))
    corrected = expect_bias(nearest, net, {"input": normal})
    assert _shift(net, corrected, samples) < 0.7 * _shift(net, nearest, samples)


def test_layers_of_unknown_inputs_keep_their_biases() -> None:
    """Nothing is guessed."""
    net, samples = mobile(), photos(4)
    nearest = planned(net, samples)
    assert expect_bias(nearest, net, {}).constants == nearest.constants


@pytest.mark.parametrize(("op", "attributes", "more"), [
    ("Relu", {}, []), ("Clip", {}, [np.float32(0), np.float32(6)]), ("LeakyRelu", {"alpha": 0.1}, []), ("Sigmoid", {}, []),
    ("Tanh", {}, []), ("HardSwish", {}, []), ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}, []), ("Elu", {"alpha": 1.0}, [])])
def test_moments_behind_an_activation_are_those_of_many_normal_numbers(op: str, attributes: dict[str, float], more: list[Array]) -> None:
    """Mean and variance, for channels of several means and deviations."""
    means, deviations = np.array([-3.0, 0.0, 0.5, 5.0]), np.array([1.0, 2.0, 0.5, 3.0])
    drawn = np.random.default_rng(0).normal(means[:, None], deviations[:, None], (4, 200_000)).astype(np.float32)
    net = graph([(op, ["input", *more], "out", attributes)], {"input": (1, 4, 200_000)}, ["out"])
    made = Runner(net, threads=1).run({"input": drawn[None]})["out"][0]
    found = expected(net, {"input": Normal(means, deviations**2)})["out"]
    np.testing.assert_allclose(found.mean, made.mean(1), atol=0.03)
    np.testing.assert_allclose(found.variance, made.var(1), atol=0.05, rtol=0.05)


def test_moments_go_through_linear_operators_and_those_that_move_numbers() -> None:
    """Convolutions, sums, concatenations, pooling, flattening, as far as channels are independent."""
    net = graph([("Conv", ["input", weights(6, 3, 1, 1), np.ones(6, np.float32)], "a"),
                 ("Conv", ["input", weights(6, 3, 1, 1, seed=1), np.zeros(6, np.float32)], "b"),
                 ("Sub", ["a", "b"], "difference"), ("Concat", ["a", "b"], "both", {"axis": 1}),
                 ("ConvTranspose", ["both", weights(12, 4, 2, 2), np.zeros(4, np.float32)], "up", {"strides": [2, 2]}),
                 ("GlobalAveragePool", ["up"], "mean"), ("Flatten", ["mean"], "flat"), ("Softmax", ["flat"], "out", {"axis": 1})],
                {"input": (1, 3, 60, 60)}, ["out", "difference"])
    x = np.random.default_rng(0).normal([[[[1]], [[0]], [[-2]]]], 1.5, (1, 3, 60, 60)).astype(np.float32)
    known = expected(net, {"input": Normal(np.array([1.0, 0, -2]), np.full(3, 2.25))})
    values = ["a", "both", "up", "flat"]
    made = Runner(net, values, 1).run({"input": x})
    for value in values:
        over = (0, *range(2, made[value].ndim))
        np.testing.assert_allclose(known[value].mean, made[value].mean(over), atol=0.12)
    np.testing.assert_allclose(known["a"].variance, made["a"].var((0, 2, 3)), rtol=0.1)
    np.testing.assert_allclose(known["difference"].mean, known["a"].mean - known["b"].mean)
    assert "out" not in known
