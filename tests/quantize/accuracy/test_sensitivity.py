"""Which layers' rounding hurts the outputs most."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.accuracy.sensitivity import rank, sensitivities
from quantize.grid import Grid, Stored
from tests.quantize.accuracy.nets import mobile, photos, planned


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("spoilt", [0, 3, 4, 6])
def test_a_layer_with_spoilt_weights_comes_first(spoilt: int, quick: bool) -> None:
    """Wherever in the network it is: weights of one layer are rounded to a few steps."""
    net, samples = mobile(), photos(6)
    quantized = planned(net, samples)
    node = [node for node in net.nodes if node.op in ("Conv", "Gemm")][spoilt]
    grid = quantized.constants[node.inputs[1]].grid
    coarse = Grid("int8", grid.scale * 60, grid.zero_point, grid.axis)
    quantized.constants[node.inputs[1]] = Stored(coarse.quantize(net.constants[node.inputs[1]]), coarse)
    assert rank(quantized, net, samples, quick)[0] == node.name


def test_all_that_computes_in_integers_is_ranked_once() -> None:
    """Layers and sums, under the names that the ladder leaves float; not what only moves numbers, nor fused activations."""
    net, samples = mobile(), photos(2)
    quantized = planned(net, samples)
    names = rank(quantized, net, samples)
    computing = [node.name for node in net.nodes if node.op in ("Conv", "Gemm", "Add", "GlobalAveragePool")]
    assert sorted(names) == sorted(computing)


def test_layers_left_float_are_not_ranked() -> None:
    """They hurt nobody."""
    net, samples = mobile(), photos(2)
    first = net.nodes[0].name
    assert first not in rank(planned(net, samples, excluded=(first,)), net, samples)


def test_noise_of_layers_alone_adds_up_to_about_that_of_all() -> None:
    """Roundings of different layers are nearly independent of each other."""
    net, samples = mobile(), photos(24)
    quantized = planned(net, samples)
    found = sensitivities(quantized, net, samples, threads=1)
    whole = -10 * np.log10(sum(one.noise for one in found))
    from tests.quantize.accuracy.nets import sqnr
    assert abs(whole - sqnr(net, quantized, samples)) < 5
    assert [one.noise for one in found] == sorted((one.noise for one in found), reverse=True)
    assert found[0].sqnr_db == pytest.approx(-10 * np.log10(found[0].noise))
