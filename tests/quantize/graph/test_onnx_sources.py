"""Where ONNX models come from: any operator set, open sides, half precision, branches, files beside the file; and what is
refused, with what the message says."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeinfer.errors import ModelError
from quantize.graph.execute import Runner
from quantize.graph.onnx_reader import read, read_model
from tests.quantize.graph.test_onnx_reader import ops, same_numbers
from tests.quantize.graphs import chain_model, model, random_feeds, run, weights

I64 = np.int64
SMALL = [weights(4, 3, 3, 3), weights(4)]


def small_cnn(opset: int) -> onnx.ModelProto:
    """A small network as exporters wrote it with this operator set."""
    clip = ("Clip", ["b"], "c", {"min": 0.0, "max": 6.0}) if opset < 11 else ("Clip", ["b", np.float32(0), np.float32(6)], "c")
    pads = [0, 0, 0, 0, 0, 0, 1, 1]
    pad = ("Pad", ["x"], "p", {"pads": pads}) if opset < 11 else ("Pad", ["x", np.array(pads, I64)], "p")
    slices = ("Slice", ["q"], "s", {"starts": [0], "ends": [2], "axes": [1]}) if opset < 10 else ("Slice", ["q", *(np.array([number], I64) for number in (0, 2, 1))], "s")
    squeeze = ("Squeeze", ["r"], "t", {"axes": [2]}) if opset < 13 else ("Squeeze", ["r", np.array([2], I64)], "t")
    mean = ("ReduceMean", ["s"], "r", {"axes": [2, 3]}) if opset < 18 else ("ReduceMean", ["s", np.array([2, 3], I64)], "r")
    unsqueeze = ("Unsqueeze", ["t"], "u", {"axes": [0]}) if opset < 13 else ("Unsqueeze", ["t", np.array([0], I64)], "u")
    total = ("ReduceSum", ["u"], "v", {"axes": [0]}) if opset < 13 else ("ReduceSum", ["u", np.array([0], I64)], "v")
    split = ("Split", ["w"], ["m", "n"], {"axis": 1, **({"num_outputs": 2} if opset >= 18 else {})})
    normal = [weights(4, seed=number) + 1 for number in range(3)] + [np.abs(weights(4)) + 0.5]
    drop = ("Dropout", ["f"], "w", {"ratio": 0.5}) if opset < 12 else ("Dropout", ["f", np.float32(0.5)], "w")
    return model([pad, ("Conv", ["p", *SMALL], "a"), ("BatchNormalization", ["a", *normal], "b", {"momentum": 0.9}), clip,
                  ("AveragePool", ["c"], "q", {"kernel_shape": [2, 2]}), slices, mean, squeeze, unsqueeze, total,
                  ("Flatten", ["v"], "f"), drop, split, ("Sum", ["m", "n", "m"], "z"), ("Softmax", ["z"], "y", {"axis": 1})], {"x": (1, 3, 8, 8)}, ["y"], opset)


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23])
def test_every_operator_set_gives_the_same_graph(opset: int) -> None:
    """What moved from attributes to inputs over the years makes no difference."""
    graph = same_numbers(small_cnn(opset))
    reference = read_model(small_cnn(17), "net.onnx")
    assert [str(node) for node in graph.nodes] == [str(node) for node in reference.nodes]
    assert [node.attributes for node in graph.nodes] == [node.attributes for node in reference.nodes]


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_a_softmax_before_set_13_is_over_all_that_follows(op: str, axis: int) -> None:
    """From its axis on the sides are one."""
    same_numbers(model([(op, ["x"], "y", {"axis": axis})], {"x": (2, 3, 4, 5)}, ["y"], 11))


def test_newer_operators_become_older_ones() -> None:
    """Swish, Mish, GroupNormalization and Attention of sets 18 to 24."""
    scale, bias = weights(8) + 1, weights(8, seed=1)
    x = {"x": (1, 8, 4, 4)}
    assert ops(same_numbers(model([("GroupNormalization", ["x", scale, bias], "y", {"num_groups": 4})], x, ["y"], 21))) == ["Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"]
    assert ops(same_numbers(model([("Gelu", ["x"], "y", {"approximate": "tanh"})], x, ["y"], 20))) == ["Gelu"]
    assert ops(same_numbers(model([("Mish", ["x"], "y")], x, ["y"], 18)))[-2:] == ["Tanh", "Mul"]
    assert ops(same_numbers(model([("RMSNormalization", ["x", weights(4)], "y")], x, ["y"], 23))) == ["Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul"]
    attention = model([("Attention", ["x", "x", "x"], "y", {"q_num_heads": 2, "kv_num_heads": 2})], {"x": (1, 5, 8)}, ["y"], 23)
    assert ops(same_numbers(attention)).count("MatMul") == 2


@pytest.mark.parametrize(("sides", "shapes", "fixed"), [
    (("n", 3, 8, 8), None, (1, 3, 8, 8)),
    ((2, 3, 8, 8), None, (2, 3, 8, 8)),
    (("n", 3, "h", "w"), {"x": (1, 3, 10, 12)}, (1, 3, 10, 12)),
    (("n", 3, 8, 8), {"x": (4, 3, 8, 8)}, (4, 3, 8, 8)),
])
def test_sides_become_numbers(sides: Any, shapes: Any, fixed: tuple[int, ...]) -> None:
    """An open batch is 1, a fixed one stays, other open sides are given."""
    proto = model([("Conv", ["x", *SMALL], "c"), ("Shape", ["c"], "s"), ("Slice", ["s", np.array([0]), np.array([1])], "b"),
                   ("Concat", ["b", np.array([-1])], "t", {"axis": 0}), ("Reshape", ["c", "t"], "y")], {"x": sides}, ["y"])
    graph = same_numbers(proto, shapes)
    assert graph.shapes["x"] == fixed
    assert ops(graph) == ["Conv", "Reshape"]


@pytest.mark.parametrize(("sides", "shapes", "message"), [
    (("n", 3, "height", 8), None, r"input 'x': expected fixed sides, got 1,3,height,8\n.*--shape x=1,3,224,8"),
    ((1, 3, 8, 8), {"x": (1, 3, 9, 8)}, "input 'x': expected sides that fit 1,3,8,8, got 1,3,9,8"),
    ((1, 3, 8, 8), {"image": (1, 3, 8, 8)}, r"--shape image: expected the name of an input \(x\)"),
    ((1, 3, 8, 8), {"x": (1, 3, 8)}, "expected sides that fit 1,3,8,8, got 1,3,8"),
    (("n", 3, 1, 1), None, r"Conv 'y': expected a window that fits into its input, got an output of the sides \(1, 4, -?\d, -?\d\)"),
    (("n", "c", 8, 8), {"x": (1, 8, 8, 8)}, r"Conv 'y': expected an input of 3 channels for weights of the sides \(4, 3, 3, 3\), got one of the sides \(1, 8, 8, 8\)"),
])
def test_sides_that_do_not_fit_are_refused(sides: Any, shapes: Any, message: str) -> None:
    """The input is named, and the flag that says it."""
    proto = model([("Conv", ["x", *SMALL], "y")], {"x": sides}, ["y"])
    with pytest.raises(ModelError, match=message):
        read_model(proto, "net.onnx", shapes)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-3), ("float64", 1e-5)])
def test_other_floats_become_float32(dtype: str, tolerance: float) -> None:
    """Weights, inputs, casts and constants."""
    kind = {"float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE}[dtype]
    nodes = [("Cast", ["x"], "h", {"to": kind}), ("Gemm", ["h", weights(8, 4).astype(dtype)], "g"), ("ConstantOfShape", [np.array([4], I64)], "k", {"value": numpy_helper.from_array(np.ones(1, dtype))}),
             ("Add", ["g", "k"], "a"), ("Cast", ["a"], "y", {"to": TensorProto.FLOAT})]
    proto = model(nodes, {"x": (1, 8)}, ["y"])
    graph = same_numbers(proto, tolerance=tolerance)
    assert ops(graph) == ["Gemm"]
    assert set(graph.dtypes.values()) == {"float32"}


def test_an_input_of_half_precision_is_one_of_float32() -> None:
    """What feeds the network need not know."""
    graph = read_model(model([("Relu", ["x"], "y")], {"x": ((1, 8), "float16")}, ["y"]), "net.onnx")
    assert graph.dtypes == {"x": "float32", "y": "float32"}


def test_an_image_of_bytes_may_be_cast_inside() -> None:
    """A uint8 input stays one."""
    proto = model([("Cast", ["x"], "f", {"to": TensorProto.FLOAT}), ("Div", ["f", np.float32(255)], "y")], {"x": ((1, 3, 4, 4), "uint8")}, ["y"])
    assert ops(same_numbers(proto)) == ["Cast", "Mul"]


@pytest.mark.parametrize("taken", [True, False])
def test_a_branch_by_a_constant_is_a_part_of_the_network(taken: bool) -> None:
    """Its inner names may be those of the other branch, or of the network."""
    def branch(op: str) -> onnx.GraphProto:
        inner = [helper.make_node("Mul", ["r", "k"], ["inner"]), helper.make_node(op, ["inner"], ["out"])]
        return helper.make_graph(inner, "branch", [], [helper.make_tensor_value_info("out", 1, [1, 4])], [numpy_helper.from_array(np.float32(2), "k")])
    nodes = [("Relu", ["x"], "r"), ("If", [np.array(taken)], "y", {"then_branch": branch("Neg"), "else_branch": branch("Abs")})]
    graph = same_numbers(model(nodes, {"x": (1, 4)}, ["y"]))
    assert ops(graph) == ["Relu", "Mul", "Neg" if taken else "Abs"]


def test_local_functions_are_inlined() -> None:
    """As torch's exporter writes them when asked to keep modules."""
    function = helper.make_function("local", "Block", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)])
    proto = model([("Neg", ["x"], "y")], {"x": (1, 4)}, ["y"])
    proto.graph.node.insert(0, helper.make_node("Block", ["x"], ["z"], domain="local"))
    proto.graph.node[1].input[0] = "z"
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("local", 1))
    assert ops(read_model(proto, "net.onnx")) == ["Relu", "Neg"]


def test_weights_may_be_inputs_too_as_old_files_have_it() -> None:
    """Up to format version 3 every initializer was listed as an input."""
    proto = model([("Conv", ["x", *SMALL], "y")], {"x": (1, 3, 8, 8), "conv0.1": (4, 3, 3, 3), "conv0.2": (4,)}, ["y"])
    assert read_model(proto, "net.onnx").inputs == ["x"]


def test_weights_may_lie_in_a_file_beside(tmp_path: Path) -> None:
    """External data is read; where it is missing, the message names the file."""
    proto = chain_model((1, 3, 8, 8), ("Conv", *SMALL), ("Relu",))
    onnx.save(proto, tmp_path / "net.onnx", save_as_external_data=True, location="net.weights", size_threshold=0)
    proto = chain_model((1, 3, 8, 8), ("Conv", *SMALL), ("Relu",))
    graph = read(tmp_path / "net.onnx")
    feeds = random_feeds(graph)
    np.testing.assert_allclose(Runner(graph).run(feeds)["relu1"], run(proto, feeds)[0], atol=1e-5)
    (tmp_path / "net.weights").unlink()
    with pytest.raises(ModelError, match=r"net.onnx: expected its weights in the file net.weights beside it(.|\n)*copy net.weights"):
        read(tmp_path / "net.onnx")


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    """A model cannot make the toolkit read another file."""
    proto = chain_model((1, 3, 8, 8), ("Conv", *SMALL))
    (tmp_path / "inside").mkdir()
    onnx.save(proto, tmp_path / "inside" / "net.onnx", save_as_external_data=True, location="net.weights", size_threshold=0)
    named = onnx.load(tmp_path / "inside" / "net.onnx", load_external_data=False)
    for tensor in named.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../secret" if entry.key == "location" else entry.value
    (tmp_path / "secret").write_bytes(bytes(4096))
    onnx.save(named, tmp_path / "inside" / "net.onnx")
    with pytest.raises(ModelError, match="expected its weights"):
        read(tmp_path / "inside" / "net.onnx")


def test_reading_is_deterministic(tmp_path: Path) -> None:
    """The same file gives the same names, nodes and numbers."""
    onnx.save(small_cnn(17), tmp_path / "net.onnx")
    one, two = read(tmp_path / "net.onnx"), read(tmp_path / "net.onnx")
    assert one.nodes == two.nodes
    assert list(one.constants) == list(two.constants)
    assert one.name == "net"


def branched(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].op_type = "NoSuchOperator"


def of_domain(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].domain = "com.microsoft"


def of_set_six(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 6


def of_the_future(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 1000


def with_nan(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((4, 3, 3, 3), np.nan, np.float32), proto.graph.initializer[0].name))


def with_infinity(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((4, 3, 3, 3), np.inf, np.float32), proto.graph.initializer[0].name))


def without_what_it_reads(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = "nowhere"


def with_short_weights(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-4]


def without_nodes(proto: onnx.ModelProto) -> None:
    del proto.graph.node[:]


def with_another_output(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].name = "nowhere"


def with_text(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


BROKEN: list[tuple[Callable[[onnx.ModelProto], None], str]] = [
    (branched, "net.onnx: NoSuchOperator 'conv0': expected an operator of ONNX's set 17"),
    (of_domain, "Conv 'conv0': expected an operator of the ONNX standard, got one of the domain 'com.microsoft'\n.*without ONNX Runtime's optimisations"),
    (of_set_six, "net.onnx: expected operator set 7 or newer, got operator set 6"),
    (of_the_future, "got operator set 1000\n.*pip install --upgrade onnx"),
    (with_nan, "net.onnx: tensor 'conv0.1' of Conv 'conv0': expected finite numbers, got NaN"),
    (with_infinity, "net.onnx: tensor 'conv0.1' of Conv 'conv0': expected finite numbers, got infinity"),
    (without_what_it_reads, "Conv 'conv0': expected inputs that come before it, got 'nowhere'"),
    (with_short_weights, "net.onnx: 'conv0.1': expected weights of the sides"),
    (without_nodes, "expected an ONNX model with nodes"),
    (with_another_output, "net.onnx: output 'nowhere': expected an output that a node makes"),
    (with_text, "input 'input': expected a tensor of numbers"),
]


@pytest.mark.parametrize(("spoil", "message"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_model_that_cannot_be_quantised_is_refused_with_the_reason(tmp_path: Path, spoil: Callable[[onnx.ModelProto], None], message: str) -> None:
    """One error, which names the node or tensor."""
    proto = chain_model((1, 3, 8, 8), ("Conv", *SMALL), ("Relu",))
    spoil(proto)
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=message):
        read(tmp_path / "net.onnx")


ZERO, ONE = np.uint8(0), np.float32(1)
REFUSED: list[tuple[str, list[Any], str]] = [
    ("quantised already", [("QuantizeLinear", ["x", ONE, ZERO], "q"), ("DequantizeLinear", ["q", ONE, ZERO], "y")], "QuantizeLinear 'q': expected a float model, got one that is quantised already\n.*give the float model"),
    ("a size by data", [("NonZero", ["x"], "y")], "NonZero 'y': expected sizes that do not depend on data"),
    ("a shape by data", [("Cast", ["x"], "i", {"to": 7}), ("Reshape", ["i", np.array([4])], "s"), ("Reshape", ["x", "s"], "y")], "Reshape 'y': expected sizes that do not depend on data"),
    ("detections", [("Reshape", ["x", np.array([1, 1, 4])], "b"), ("NonMaxSuppression", ["b", "b"], "y")], "NonMaxSuppression 'y'.*\n.*without NMS"),
    ("a branch by data", [("Cast", ["x"], "c", {"to": 9}), ("If", ["c"], "y", {"then_branch": helper.make_graph([], "g", [], []), "else_branch": helper.make_graph([], "g", [], [])})], "If 'y': expected a network without branches"),
    ("a loop", [("Loop", [np.array(3), np.array(True), "x"], "y", {"body": helper.make_graph([], "g", [], [])})], "Loop 'y': expected a network without loops"),
    ("sequences", [("SequenceConstruct", ["x"], "y")], "SequenceConstruct 'y': expected operators on tensors of numbers"),
    ("sides that do not go together", [("Add", ["x", np.ones(3, np.float32)], "y")], "Add 'y': expected inputs that fit the operator"),
    ("training", [("Dropout", ["x", np.float32(0.5)], ["d", "m"]), ("Cast", ["m"], "y", {"to": 1})], "Dropout 'd': expected a model for inference.*\n.*model.eval()"),
    ("an output that is a constant", [("Neg", ["x"], "n"), ("Abs", [np.ones(3, np.float32)], "y")], "output 'y': expected an output that is computed from the inputs, got a constant"),
    ("a huge constant", [("ConstantOfShape", [np.array([2**40])], "k"), ("ReduceSum", ["k"], "s", {"keepdims": 0}), ("Add", ["x", "s"], "y")], "ConstantOfShape 'k': expected constants of up to"),
]


@pytest.mark.parametrize(("nodes", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_no_integer_network_can_do_is_refused(nodes: list[Any], message: str) -> None:
    """One error, which names the node and says what to do."""
    with pytest.raises(ModelError, match=message):
        read_model(model(nodes, {"x": (1, 4)}, ["y"]), "net.onnx")


def deep() -> bytes:
    """A message in a message in a message."""
    data = b""
    for _ in range(5000):
        data = b"\x3a" + onnx_varint(len(data)) + data  # field 7 of ModelProto: the graph
    return data


def onnx_varint(number: int) -> bytes:
    made = b""
    while number > 127:
        made, number = made + bytes([number & 127 | 128]), number >> 7
    return made + bytes([number])


@pytest.mark.parametrize("data", [b"", b"TFL3", bytes(range(256)) * 8, b"\x08\x08", deep(), small_cnn(17).SerializeToString()[:-200], small_cnn(17).SerializeToString()[:100]],
                         ids=["empty", "another kind", "noise", "version only", "deep", "end cut off", "start only"])
def test_bytes_that_are_no_model_are_refused(tmp_path: Path, data: bytes) -> None:
    """Never another error than ModelError."""
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=r"net\.onnx"):
        read(tmp_path / "net.onnx")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With its whole path."""
    with pytest.raises(ModelError, match=r"none\.onnx: expected an ONNX file that can be read, got No such file"):
        read(tmp_path / "none.onnx")


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=3), st.sampled_from([7, 17, 20]), st.booleans())
def test_damaged_bytes_give_a_model_or_a_model_error(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], opset: int, delete: bool) -> None:
    """Whatever byte is another or missing, nothing else is raised."""
    path, data = tmp_path_factory.getbasetemp() / "damaged.onnx", bytearray(small_cnn(opset).SerializeToString())
    for place, byte in changes:
        index = int(place * (len(data) - 1))
        data[index:index + 1] = b"" if delete else bytes([byte])
    path.write_bytes(data)
    with contextlib.suppress(ModelError):
        read(path)


@pytest.mark.zoo
@pytest.mark.parametrize(("file", "found"), [
    ("quantize/efficientnet_lite0_fp32.onnx", {"Conv": 49, "Clip": 33, "Add": 9, "GlobalAveragePool": 1, "Reshape": 1, "Gemm": 1}),
    ("detect/FastestDet.onnx", {"Conv": 70, "Relu": 48, "Reshape": 52, "Slice": 26, "Concat": 19, "Transpose": 15, "MaxPool": 1, "AveragePool": 1, "Resize": 1, "Add": 1, "Sigmoid": 1, "Softmax": 1}),
])
def test_real_networks_compute_the_same(zoo: Path, file: str, found: dict[str, int]) -> None:
    """An image classifier with static padding and a detector with channel shuffles, as torch exported them."""
    assert Counter(ops(same_numbers(onnx.load(zoo / file)))) == found
