"""INT8 ONNX: it computes what the grids say, in operators of ai.onnx, and keeps the names of values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from edgeinfer.model.tensor import Array
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.grid import Quantized
from quantize.plan import integer_values, plan
from quantize.qdq import explicit, write_qdq
from quantize.rules import Rules
from tests.quantize.graphs import chain, weights

CONV = {"pads": [1] * 4}
NETS: dict[str, list[tuple[Any, ...]]] = {
    "conv-relu": [("Conv", CONV, weights(4, 3, 3, 3), weights(4)), ("Relu",)],
    "conv-relu6": [("Conv", CONV, weights(4, 3, 3, 3), weights(4)), ("Clip", np.float32(0), np.float32(6))],
    "depthwise": [("Conv", {**CONV, "group": 3}, weights(3, 1, 3, 3), weights(3)), ("Sigmoid",)],
    "pool-linear": [("Conv", CONV, weights(4, 3, 3, 3), weights(4)), ("GlobalAveragePool",), ("Flatten", {"axis": 1}),
                    ("Gemm", {"transB": 1}, weights(5, 4), weights(5)), ("Softmax", {"axis": 1})],
    "hard-swish": [("Conv", CONV, weights(4, 3, 3, 3), weights(4)), ("HardSwish",), ("MaxPool", {"kernel_shape": [2, 2]})],
}


def quantized(net: Graph, rules: Rules | None = None, **chosen: Any) -> tuple[Quantized, list[dict[str, Array]]]:
    rng = np.random.default_rng(3)
    feeds = [{net.inputs[0]: rng.normal(size=net.shapes[net.inputs[0]]).astype(np.float32)} for _ in range(8)]
    values = integer_values(net)
    runner = Runner(net, [value for value in values if value not in net.inputs])
    seen = [{**feed, **runner.run(feed)} for feed in feeds]
    limits = {value: (min(float(s[value].min()) for s in seen), max(float(s[value].max()) for s in seen)) for value in values}
    return plan(net, limits, rules or Rules(), **chosen), feeds


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("variant", ["cpu", "tensorrt"])
def test_the_file_is_near_the_float_graph(name: str, variant: str) -> None:
    """Within four steps of each output's grid, for networks of a few layers."""
    net = chain((1, 3, 8, 8), *NETS[name])
    result, feeds = quantized(net, Rules(variant=variant, symmetric=variant == "tensorrt", float_bias=variant == "tensorrt"))
    model = write_qdq(result, variant)
    onnx.checker.check_model(model)
    runner, real = Runner(explicit(result, variant == "cpu")), Runner(net)
    output = net.outputs[0]
    step = float(result.activations[output].scale[0])
    for feed in feeds:
        assert np.abs(runner.run(feed)[output] - real.run(feed)[output]).max() <= 4 * step


@pytest.mark.parametrize("name", NETS)
def test_only_operators_of_ai_onnx_are_written(name: str) -> None:
    """Nothing of com.microsoft: TensorRT would not parse it. Inputs and outputs stay float under their names."""
    net = chain((1, 3, 8, 8), *NETS[name])
    model = write_qdq(quantized(net)[0])
    assert {node.domain for node in model.graph.node} == {""}
    assert [value.name for value in model.graph.input] == net.inputs
    assert [value.name for value in model.graph.output] == net.outputs
    assert all(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for value in [*model.graph.input, *model.graph.output])


def test_weights_are_stored_as_integers() -> None:
    """The file holds no float weight beside the scales."""
    net = chain((1, 3, 8, 8), *NETS["pool-linear"])
    model = write_qdq(quantized(net)[0])
    large = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) > 5]
    assert {tensor.data_type for tensor in large} == {onnx.TensorProto.INT8}


def test_every_value_keeps_its_name() -> None:
    """A grid's value is found under the float graph's name, as the grid makes it."""
    net = chain((1, 3, 8, 8), *NETS["conv-relu"])
    result, feeds = quantized(net)
    value = Runner(explicit(result), ["relu1"]).run(feeds[0])["relu1"]
    grid = result.activations["relu1"]
    assert np.array_equal(grid.dequantize(grid.quantize(value)), value)


def test_a_clip_that_the_grid_does_not_imply_is_kept() -> None:
    """Relu6 before a grid up to 12: what is over 6 is 6, also in integers."""
    net = chain((1, 3, 8, 8), ("Conv", CONV, 9 * weights(4, 3, 3, 3), weights(4)), ("Clip", np.float32(0), np.float32(6)))
    feeds = {"input": np.full((1, 3, 8, 8), 3, np.float32)}
    result = plan(net, {"input": (-3, 3), net.nodes[0].name: (-90, 90), net.outputs[0]: (0, 12)}, Rules())
    assert Runner(explicit(result)).run(feeds)[net.outputs[0]].max() == pytest.approx(6, abs=0.03)
    assert Runner(net).run(feeds)[net.outputs[0]].max() == 6


def test_sixteen_bits_are_closer_than_eight() -> None:
    """int16 activations in the same file format, in the operator set that has them."""
    net = chain((1, 3, 8, 8), *NETS["conv-relu"])
    errors = []
    for wide in ([], ["conv0"]):
        result, feeds = quantized(net, wide=wide)
        onnx.checker.check_model(write_qdq(result))
        runner, real = Runner(explicit(result)), Runner(net)
        errors.append(max(np.abs(runner.run(feed)["relu1"] - real.run(feed)["relu1"]).max() for feed in feeds))
    assert errors[1] < errors[0] / 2


def test_the_same_graph_gives_the_same_bytes() -> None:
    """Nothing in the file depends on the run."""
    made = [write_qdq(quantized(chain((1, 3, 8, 8), *NETS["pool-linear"]))[0]).SerializeToString(deterministic=True) for _ in range(2)]
    assert made[0] == made[1]
