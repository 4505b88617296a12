"""Integer files: LiteRT makes of them what the grids say, with and without XNNPACK; floats stand only where no kernel is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantize.graph.execute import Runner
from quantize.grid import Grid
from quantize.plan import INTEGER
from quantize.rules import Rules
from quantize.tflite import write_float, write_int8
from quantize.tflite.kernels import PATHS
from quantize.tflite.lower import LOWER
from tests.quantize.graphs import chain, graph, random_feeds, weights
from tests.quantize.tflite.running import kernels, quantized, run, steps_apart
from tests.quantize.tflite.test_float import CHAINS, NETS, X

FLOATS = {"erf", "exp", "abs", "neg", "floor", "layer-norm", "cast", "arg-max-kept", "constant-table"}  # no integers at all in the plan
ISLANDS = {"elu-alpha": {"Elu"}, "instance-norm": {"InstanceNormalization"}, "tokens": {"LayerNormalization"},
           "broadcast-sides": {"Div"}}


@pytest.mark.parametrize("delegate", [True, False], ids=["xnnpack", "kernels"])
@pytest.mark.parametrize("name", [name for name in [*CHAINS, *NETS] if name not in FLOATS])
def test_integers_are_those_of_the_grids(name: str, delegate: bool) -> None:
    """Within two steps of what ONNX Runtime makes of the graph with its rounding written out."""
    net = graph(*NETS[name]) if name in NETS else chain(CHAINS[name][0], *CHAINS[name][1], opset=20)
    result = quantized(net)
    converted = write_int8(result)
    assert {op for _, op, _ in converted.islands} == ISLANDS.get(name, set())
    assert steps_apart(result, converted, delegate=delegate) <= 2


@pytest.mark.parametrize("rules", [Rules(per_axis=False), Rules(symmetric=True), Rules(variant="tensorrt", symmetric=True, float_bias=True), Rules(weight_most=63)])
@pytest.mark.parametrize("name", ["conv-relu", "conv-depthwise", "conv-transpose", "flatten-gemm", "silu", "squeeze-excite"])
def test_every_rule_of_a_target(name: str, rules: Rules) -> None:
    """One scale for all weights, no zero points, float biases: whatever the plan was made for."""
    result = quantized(graph(*NETS[name]) if name in NETS else chain(CHAINS[name][0], *CHAINS[name][1]), rules)
    assert steps_apart(result, write_int8(result)) <= 2


def test_the_table_has_every_operator() -> None:
    """What the writer can write is what the table lists, and what the plan may give integers has a kernel for them."""
    assert PATHS.keys() == LOWER.keys()
    assert {op for op, path in PATHS.items() if not path.widths} & INTEGER == set()


def small() -> Any:
    return chain(X, ("Conv", {"pads": [1] * 4}, weights(5, 6, 3, 3), weights(5)), ("Relu",), ("GlobalAveragePool",), ("Flatten",),
                 ("Gemm", {"transB": 1}, weights(4, 5), weights(4)))


@pytest.mark.parametrize(("io", "dtype"), [("int8", np.int8), ("uint8", np.uint8), ("float32", np.float32)])
def test_inputs_and_outputs_are_as_asked(io: Any, dtype: Any) -> None:
    """uint8 is the same integers, 128 higher; floats are rounded inside. The answer is the same."""
    from tests import litert
    result = quantized(small())
    converted = write_int8(result, io)
    interpreter = litert.interpreter().Interpreter(model_content=converted.data)
    assert {detail["dtype"] for detail in [*interpreter.get_input_details(), *interpreter.get_output_details()]} == {dtype}
    assert steps_apart(result, converted) <= 1
    assert steps_apart(result, write_int8(result)) == steps_apart(result, converted)


def test_weights_have_a_scale_for_each_output_channel() -> None:
    """Quantised along the axis where the file has them: 0, or 3 of a depthwise convolution."""
    net = chain(X, ("Conv", {"group": 6}, weights(6, 1, 3, 3), weights(6)), ("Conv", weights(5, 6, 1, 1), weights(5)))
    details = tensors(write_int8(quantized(net)).data)
    found = [(tuple(detail["shape"]), detail["quantization_parameters"]) for detail in details if len(detail["shape"]) == 4 and not detail["name"]]
    assert {(shape, facts["quantized_dimension"], len(facts["scales"])) for shape, facts in found} == {((1, 3, 3, 6), 3, 6), ((5, 1, 1, 6), 0, 5)}


def tensors(data: bytes) -> list[dict[str, Any]]:
    from tests import litert
    interpreter = litert.interpreter().Interpreter(model_content=data)
    details: list[dict[str, Any]] = interpreter.get_tensor_details()
    return details


def test_an_excluded_node_is_an_island() -> None:
    """It computes in float between a DEQUANTIZE and a QUANTIZE, and the report says why."""
    net = chain(X, ("Conv", weights(5, 6, 3, 3)), ("Sigmoid",), ("Conv", weights(4, 5, 1, 1)))
    result = quantized(net, excluded=["sigmoid1"])
    converted = write_int8(result)
    assert converted.islands == [("sigmoid1", "Sigmoid", "the plan leaves it in float")]
    assert kernels(converted) == {"CONV_2D": 2, "DEQUANTIZE": 1, "LOGISTIC": 1, "QUANTIZE": 1}
    assert steps_apart(result, converted) <= 1


@pytest.mark.parametrize("op", ["Exp", "Abs"])
def test_what_a_table_can_do_is_no_island(op: str) -> None:
    """Between integers the kernel looks the answer up: the same numbers as in float and rounded."""
    result = quantized(chain(X, ("Tanh",), (op,), ("Tanh",)))
    result.activations[result.graph.nodes[1].name] = Grid.of_range(-1, 3)
    converted = write_int8(result)
    assert not converted.islands
    assert steps_apart(result, converted) <= 2


def test_neighbouring_islands_are_one() -> None:
    """Nothing is rounded between two operators that compute in float, and a value is made float once."""
    net = graph([("Conv", ["x", weights(5, 6, 1, 1)], "c"), ("Sigmoid", ["c"], "s"), ("Tanh", ["s"], "t"), ("Mul", ["c", "t"], "m"),
                 ("Conv", ["m", weights(4, 5, 1, 1)], "y")], {"x": X}, ["y"])
    converted = write_int8(quantized(net, excluded=["s", "t", "m"]))
    assert kernels(converted) == {"CONV_2D": 2, "DEQUANTIZE": 1, "LOGISTIC": 1, "MUL": 1, "QUANTIZE": 1, "TANH": 1}


def test_a_value_between_a_conv_and_its_relu_is_never_rounded() -> None:
    """They are one operator."""
    assert kernels(write_int8(quantized(chain(X, ("Conv", weights(5, 6, 3, 3)), ("Relu",))))) == {"CONV_2D": 1}


@pytest.mark.parametrize(("low", "high", "extra"), [(0, 6, {}), (0, np.inf, {}), (-0.3, 0.4, {}), (0.1, 0.2, {"MAXIMUM": 1})])
def test_a_clip_is_left_to_the_grid_where_it_ends_there(low: float, high: float, extra: dict[str, int]) -> None:
    """Saturation clamps for nothing; what the grid does not end at is clamped by an operator."""
    net = chain(X, ("Conv", 4 * weights(5, 6, 3, 3), weights(5)), ("Clip", np.float32(low), np.float32(high)))
    result = quantized(net)
    converted = write_int8(result)
    assert kernels(converted) == {"CONV_2D": 1, **extra}
    assert steps_apart(result, converted) <= 1


def test_a_grid_that_a_kernel_does_not_take_is_rounded_again() -> None:
    """Softmax has the grid of the specification; another is made from it, and reported."""
    net = chain((2, 5), ("Softmax", {"axis": 1}))
    result = quantized(net)
    result.activations["softmax0"] = Grid.of_range(0, 0.5)
    converted = write_int8(result)
    assert kernels(converted) == {"QUANTIZE": 1, "SOFTMAX": 1}
    assert [value for value, _ in converted.requantized] == ["softmax0"]
    assert steps_apart(result, converted) <= 1


def test_joined_values_are_brought_to_one_grid() -> None:
    """LiteRT's CONCATENATION copies integers, whatever they stand for."""
    net = graph([("Sigmoid", ["x"], "s"), ("Conv", ["x", 9 * weights(5, 6, 1, 1)], "c"), ("Concat", ["s", "c"], "y", {"axis": 1})], {"x": X}, ["y"])
    result = quantized(net)
    converted = write_int8(result)
    assert kernels(converted)["QUANTIZE"] == 1
    assert [value for value, _ in converted.requantized] == ["s"]
    assert steps_apart(result, converted) <= 1


SIXTEEN = ["conv-relu", "conv-depthwise", "conv-groups", "conv-transpose", "gemm", "matmul-constant", "sigmoid", "tanh", "leakyrelu", "relu6", "clip-1-1",
           "softmax-last", "max-pool-1d", "globalaveragepool", "min-max", "slices", "pad-modes", "concat-split", "silu", "residual", "squeeze-excite", "matmul",
           "expand", "gather", "hard-sigmoid-6", "channel-shuffle"]


@pytest.mark.parametrize("name", SIXTEEN)
def test_sixteen_bits_are_as_near_as_eight_can_never_be(name: str) -> None:
    """Activations of 16 bits, in kernels of 16 x 8, miss the float graph by a hundredth of what 8 bits may."""
    net = graph(*NETS[name]) if name in NETS else chain(CHAINS[name][0], *CHAINS[name][1], opset=20)
    result = quantized(net, wide=[output for node in net.nodes for output in node.outputs])
    converted = write_int8(result)
    assert not converted.islands
    assert {grid.dtype for grid in result.activations.values()} == {"int16"}
    feeds, weighted = random_feeds(net), any(node.op in ("Conv", "ConvTranspose", "Gemm") for node in net.nodes)
    wanted, found = Runner(rounded(result)).run(feeds), run(converted, feeds)
    for name, value in wanted.items():
        assert np.abs(found[name] - value).max() < (2e-3 if weighted else 3e-4) * np.abs(value).max()


def rounded(result: Any) -> Any:
    """The float graph with its constants as they are stored."""
    net = result.graph.copy()
    for name, stored in result.constants.items():
        net.constants[name] = stored.grid.dequantize(stored.values)
    return net


@pytest.mark.parametrize("wide", ["c", "s", "e", "p", "y"])
def test_widths_meet(wide: str) -> None:
    """One node of 16 bits among nodes of 8."""
    result = quantized(graph(*NETS["squeeze-excite"]), wide=[wide])
    found = run(write_int8(result), random_feeds(result.graph))["y"]
    wanted = Runner(rounded(result)).run(random_feeds(result.graph))["y"]
    assert np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()


def test_a_float_file_of_the_same_graph_has_the_same_names() -> None:
    """So that values can be compared one by one."""
    result = quantized(small())
    names = [{detail["name"] for detail in tensors(data) if detail["name"] in result.graph.shapes} for data in
             (write_float(result.graph).data, write_int8(result).data)]
    assert names[0] == names[1] >= {"input", "relu1", "gemm4"}
