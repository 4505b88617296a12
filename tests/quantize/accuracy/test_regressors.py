"""Layers as linear regression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.model.tensor import Array
from quantize.accuracy.regressors import Layer, Moments
from quantize.graph import Graph
from quantize.graph.execute import Runner
from tests.quantize.graphs import graph, weights


def _layer(op: str, shape: tuple[int, ...], kernel: Array, outputs: int, **attributes: object) -> tuple[Graph, Layer]:
    bias = np.linspace(-1, 1, outputs, dtype=np.float32)
    net = graph([(op, ["input", kernel, bias], "out", attributes)], {"input": shape}, ["out"])
    node = next(node for node in net.nodes if node.op == op)
    return net, Layer(net, node)


def _check(net: Graph, layer: Layer, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    wanted = Runner(net, threads=1).run({"input": x})["out"]
    matrix = layer.matrix(net.constants[layer.node.inputs[1]])
    made = matrix @ layer.columns(x, 10**9)
    channels = wanted.shape[1]
    made = made.reshape(channels, wanted.shape[0], -1).swapaxes(0, 1).reshape(wanted.shape)
    bias = net.constants[layer.node.inputs[2]].reshape(1, -1, *[1] * (wanted.ndim - 2))
    np.testing.assert_allclose(made + bias, wanted, atol=1e-4)
    np.testing.assert_array_equal(layer.weights(matrix), net.constants[layer.node.inputs[1]])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_convolution_is_its_matrix_times_its_columns(data: st.DataObject) -> None:
    """For all kernels, strides, paddings, dilations and groups, in one and two dimensions."""
    draw = data.draw
    rank, groups = draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 4]))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    shape = (draw(st.integers(1, 2)), 4, *[9] * rank)
    net, layer = _layer("Conv", shape, weights(8, 4 // groups, *kernel), 8, group=groups,
                        strides=[draw(st.integers(1, 2)) for _ in range(rank)], dilations=[draw(st.integers(1, 2)) for _ in range(rank)],
                        pads=[draw(st.integers(0, 2)) for _ in range(2 * rank)])
    _check(net, layer, shape)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_transposed_convolution_is_its_matrix_times_its_columns(data: st.DataObject) -> None:
    """Over its input with zeros between the values."""
    draw = data.draw
    groups, kernel = draw(st.sampled_from([1, 2])), [draw(st.integers(2, 4)) for _ in range(2)]
    strides = [draw(st.integers(1, 2)) for _ in range(2)]
    more = [draw(st.integers(0, stride - 1)) for stride in strides]
    net, layer = _layer("ConvTranspose", (1, 4, 5, 6), weights(4, 6 // groups, *kernel), 6, group=groups, strides=strides,
                        pads=[draw(st.integers(0, 1)) for _ in range(4)], output_padding=more)
    _check(net, layer, (1, 4, 5, 6))


def test_a_linear_layer_is_its_matrix_times_its_columns() -> None:
    """Of several rows."""
    net, layer = _layer("Gemm", (5, 7), weights(3, 7), 3, transB=1)
    _check(net, layer, (5, 7))


@pytest.mark.parametrize("most", [1, 7, 16, 100])
def test_columns_are_thinned_out_on_a_lattice(most: int) -> None:
    """About as many positions as asked for, never more, and others from turn to turn."""
    _, layer = _layer("Conv", (1, 2, 12, 12), weights(2, 2, 1, 1), 2)
    x = np.arange(288, dtype=np.float32).reshape(1, 2, 12, 12)
    first, second = layer.columns(x, most, 0), layer.columns(x, most, 1)
    assert most / 4 <= first.shape[2] <= max(most, 1) * 1.8
    assert not np.array_equal(first, second)


def test_moments_are_those_of_all_columns() -> None:
    """Means and centred second moments, summed up sample by sample, also where means are large."""
    _, layer = _layer("Conv", (1, 2, 6, 6), weights(3, 2, 1, 1), 3)
    rng = np.random.default_rng(0)
    reals = [rng.normal(100, 1, (1, 2, 6, 6)).astype(np.float32) for _ in range(5)]
    rounded = [np.rint(x) for x in reals]
    moments = Moments(layer, 10**6)
    for real, whole in zip(reals, rounded, strict=True):
        moments.add(real, whole)
    f, q = (np.concatenate([x.reshape(2, -1) for x in xs], 1).astype(np.float64) for xs in (reals, rounded))
    np.testing.assert_allclose(moments.mean[0], q.mean(1), rtol=1e-6)
    np.testing.assert_allclose(moments.mean_float[0], f.mean(1), rtol=1e-6)
    np.testing.assert_allclose(moments.own[0], np.cov(q, bias=True), atol=1e-4)
    np.testing.assert_allclose(moments.cross[0], (f - f.mean(1)[:, None]) @ (q - q.mean(1)[:, None]).T / f.shape[1], atol=1e-4)
