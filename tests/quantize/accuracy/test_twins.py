"""A float network and its quantised twin side by side."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.accuracy.rounding import rounded_layers
from quantize.accuracy.twins import Twins
from quantize.graph.execute import Runner
from quantize.qdq import explicit
from tests.quantize.accuracy.nets import mobile, photos, planned


@pytest.mark.parametrize("most_bytes", [0, 20_000, 1 << 30], ids=["nothing kept", "the narrow kept", "all kept"])
def test_values_are_those_of_both_networks_whatever_is_kept(most_bytes: int) -> None:
    """What layers read is the same as in a run of the whole, with any room for values in between."""
    net, samples = mobile(), photos(3)
    quantized = planned(net, samples)
    layers = rounded_layers(quantized)
    values = [node.inputs[0] for node in layers if node.inputs[0] not in net.inputs]
    floats, twin = Runner(net, values, 1), Runner(explicit(quantized), values, 1)
    twins = Twins(net, quantized, samples, 1, most_bytes)
    for node in layers:
        pairs = list(twins.inputs_of(node))
        assert len(pairs) == len(samples)
        for feeds, (real, rounded) in zip(samples, pairs, strict=True):
            if node.inputs[0] in values:
                step = float(quantized.activations[node.inputs[0]].scale[0])
                np.testing.assert_allclose(real, floats.run(feeds)[node.inputs[0]], atol=1e-5)
                assert np.abs(rounded - twin.run(feeds)[node.inputs[0]]).max() <= step * 1.01  # fused kernels round ties as they like
            else:
                np.testing.assert_array_equal(real, feeds[node.inputs[0]])


def test_a_layer_sees_the_constants_that_layers_before_it_have_now() -> None:
    """A bias replaced during the walk moves what later layers read."""
    net, samples = mobile(), photos(2)
    quantized = planned(net, samples)
    first, second, *_ = rounded_layers(quantized)

    def mean_read(raised: bool) -> float:
        changed = planned(net, samples)
        twins = Twins(net, changed, samples, 1)
        list(twins.inputs_of(first))
        if raised:
            stored = changed.constants[first.inputs[2]]
            changed.constants[first.inputs[2]] = type(stored)(stored.values + int(1 / stored.grid.scale.max()), stored.grid)
        return float(np.mean([rounded for _, rounded in twins.inputs_of(second)]))

    assert mean_read(True) > mean_read(False) + 0.1
