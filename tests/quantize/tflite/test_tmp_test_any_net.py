"""Random networks, in floats and in integers."""

from __future__ import annotations

from hypothesis import given, settings

from quantize.graph import Graph
from quantize.tflite import write_float, write_int8
from tests.quantize.any_net import nets
from tests.quantize.tflite.running import miss, quantized, steps_apart


@settings(max_examples=1500, deadline=None)
@given(nets())
def test_any_net_computes_the_same(net: Graph) -> None:
    """Floats within 1e-5 of the range; integers within what eight roundings one after the other can come to."""
    assert miss(net, write_float(net)) < 1e-5
    result = quantized(net)
    assert steps_apart(result, write_int8(result)) <= 8
