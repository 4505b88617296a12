"""The checker of QDQ files for TensorRT: what the toolkit writes passes, and each thing that TensorRT refuses is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeinfer.errors import ModelError
from quantize.graph.onnx_reader import read
from quantize.targets.tensorrt_file import faults, load
from tests.quantize.targets.quantized import qdq


@pytest.fixture(scope="module")
def good() -> ModelProto:
    return qdq("jetson-orin-nano")


def copied(model: ModelProto) -> ModelProto:
    return ModelProto.FromString(model.SerializeToString())


def set_constant(model: ModelProto, name: str, array: np.ndarray) -> None:
    for proto in model.graph.initializer:
        if proto.name == name:
            proto.CopyFrom(numpy_helper.from_array(array, name))


def first(model: ModelProto, op: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == op)


def activation(model: ModelProto) -> onnx.NodeProto:
    """The QuantizeLinear of the network's input."""
    return next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "x")


def weights_of(model: ModelProto, op: str) -> onnx.NodeProto:
    """The DequantizeLinear of an operator's weights."""
    wanted = first(model, op).input[1]
    return next(node for node in model.graph.node if wanted in node.output)


def test_what_the_toolkit_writes_for_a_jetson_is_taken(good: ModelProto) -> None:
    """The tensorrt variant has no fault."""
    onnx.checker.check_model(good)
    assert faults(good, "m.onnx") == []


def test_what_it_writes_for_a_cpu_is_not(good: ModelProto) -> None:
    """Zero points and int32 biases are found, and each fault names its node."""
    found = faults(qdq("raspberry-pi-4"), "m.onnx")
    assert {fault.expected for fault in found} >= {"zero points of 0", "int8", "a bias that is a float32 constant"}
    assert all(fault.where.startswith("m.onnx: ") and "'" in fault.where for fault in found)


@pytest.mark.zoo
def test_a_real_network_is_taken(zoo: Path) -> None:
    """EfficientNet-Lite0 in the tensorrt variant has no fault."""
    assert faults(qdq("jetson-orin-nano", read(zoo / "quantize/efficientnet_lite0_fp32.onnx")), "lite0.onnx") == []


def _zero_point(model: ModelProto) -> None:
    set_constant(model, activation(model).input[2], np.int8(3))


def _uint8(model: ModelProto) -> None:
    set_constant(model, activation(model).input[2], np.uint8(0))


def _no_zero_point(model: ModelProto) -> None:
    del activation(model).input[2:]  # of uint8 then, says ONNX


def _computed_scale(model: ModelProto) -> None:
    node = activation(model)
    model.graph.node.insert(0, helper.make_node("Identity", [node.input[1]], ["computed"]))
    node.input[1] = "computed"


def _negative_scale(model: ModelProto) -> None:
    set_constant(model, activation(model).input[1], np.float32(-1))


def _scales_of_an_activation(model: ModelProto) -> None:
    set_constant(model, activation(model).input[1], np.ones(4, np.float32))
    set_constant(model, activation(model).input[2], np.zeros(4, np.int8))


def _axis_of_a_convolution(model: ModelProto) -> None:
    node = weights_of(model, "Conv")
    next(attribute for attribute in node.attribute if attribute.name == "axis").i = 1


def _axis_of_a_transposed_convolution(model: ModelProto) -> None:
    node = weights_of(model, "ConvTranspose")
    next(attribute for attribute in node.attribute if attribute.name == "axis").i = 0


def _blocks(model: ModelProto) -> None:
    weights_of(model, "Conv").attribute.append(helper.make_attribute("block_size", 2))


def _integer_bias(model: ModelProto) -> None:
    node = first(model, "Conv")
    model.graph.initializer.extend([numpy_helper.from_array(np.zeros(8, np.int32), "bias/q"),
                                    numpy_helper.from_array(np.float32(0.1), "bias/scale")])
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["bias/q", "bias/scale"], ["bias/dq"], name="bias"))
    node.input[2] = "bias/dq"


def _contrib(model: ModelProto) -> None:
    activation(model).domain = "com.microsoft"


def _unknown(model: ModelProto) -> None:
    first(model, "Sigmoid").op_type = "Bernoulli"


def _qlinear(model: ModelProto) -> None:
    first(model, "Sigmoid").op_type = "QLinearConv"


def _old(model: ModelProto) -> None:
    model.opset_import[0].version = 12


def _new(model: ModelProto) -> None:
    model.opset_import[0].version = 23


def _integer_input(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8


def _dilated_pool(model: ModelProto) -> None:
    first(model, "MaxPool").attribute.append(helper.make_attribute("dilations", [2, 2]))


def _indices(model: ModelProto) -> None:
    first(model, "MaxPool").output.append("indices")


def _cubic(model: ModelProto) -> None:
    node = first(model, "Sigmoid")
    node.op_type = "Resize"
    node.attribute.append(helper.make_attribute("mode", "cubic"))


CASES: list[tuple[Callable[[ModelProto], None], str]] = [
    (_zero_point, "expected zero points of 0, got [3]"), (_uint8, "expected int8, got uint8"),
    (_no_zero_point, "expected int8, got uint8"), (_computed_scale, "expected a constant scale, got 'computed'"),
    (_negative_scale, "expected scales above 0"), (_scales_of_an_activation, "one scale for a value that varies, got 4"),
    (_axis_of_a_convolution, "expected axis 0, of Conv's output channels, got 1"),
    (_axis_of_a_transposed_convolution, "expected axis 1, of ConvTranspose's output channels, got 0"),
    (_blocks, "got blocks"), (_integer_bias, "expected a bias that is a float32 constant, got 'bias/dq', made by DequantizeLinear"),
    (_contrib, "expected operators of ai.onnx, got one of com.microsoft"), (_unknown, "parser knows, got Bernoulli"),
    (_qlinear, "parser knows, got QLinearConv"), (_old, "expected an operator set from 13 to 20, got 12"),
    (_new, "expected an operator set from 13 to 20, got 23"), (_integer_input, "input 'x': expected float32"),
    (_dilated_pool, "expected pooling without dilations"), (_indices, "expected its first output only"),
    (_cubic, "expected mode nearest, linear, got cubic"),
]


@pytest.mark.parametrize(("change", "expected"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_each_rule_is_kept(change: Callable[[ModelProto], None], expected: str, good: ModelProto) -> None:
    """One change to a good file is found, and said of the node that it was made to."""
    model = copied(good)
    change(model)
    told = [str(fault) for fault in faults(model, "m.onnx")]
    assert any(expected in line for line in told), told


def test_branches_are_looked_into(good: ModelProto) -> None:
    """What is wrong inside an If is found."""
    model = copied(good)
    branch = helper.make_graph([helper.make_node("QLinearMatMul", ["y"] * 8, ["z"], name="inner")], "branch", [],
                               [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)])
    model.graph.node.append(helper.make_node("If", ["y"], ["end"], then_branch=branch, else_branch=branch, name="if"))
    assert any("QLinearMatMul 'inner'" in str(fault) for fault in faults(model, "m.onnx"))


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"TFL3"])
def test_what_is_no_model_is_one_error(content: bytes, tmp_path: Path) -> None:
    """Damaged bytes raise no other exception."""
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="an ONNX model"):
        load(tmp_path / "m.onnx")
