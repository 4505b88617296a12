"""Where operators run: each claim about a runtime that is installed here is held against that runtime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from quantize.graph import Graph
from quantize.qdq import write_qdq
from quantize.rules import Rules
from quantize.targets import edgetpu, litert, tensorrt
from quantize.targets import onnxruntime as ort
from quantize.targets.placement import Placement
from tests.quantize.graphs import graph, random_feeds, weights
from tests.quantize.targets.quantized import quantized

X = {"x": (1, 4, 8, 8)}
XZ = {"x": (1, 4, 8, 8), "z": (1, 4, 8, 8)}
W, B = weights(4, 4, 3, 3), np.zeros(4, np.float32)
F = np.float32


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def one(op: str, *more: Any, inputs: Any = None, opset: int = 17, **attributes: Any) -> Graph:
    """A graph of one operator on "x", with further inputs."""
    return graph([(op, ["x", *more], "y", attributes)], inputs or X, ["y"], opset)


def two(op: str, **attributes: Any) -> Graph:
    return graph([(op, ["x", "z"], "y", attributes)], XZ, ["y"])


CASES: dict[str, Graph] = {
    "Conv": one("Conv", W, B, pads=[1] * 4), "Conv of windows": one("Conv", weights(4, 4, 3), B, inputs={"x": (1, 4, 8)}),
    "depthwise": one("Conv", weights(4, 1, 3, 3), B, group=4), "ConvTranspose": one("ConvTranspose", weights(4, 4, 2, 2), B),
    "Gemm": one("Gemm", weights(6, 16), np.zeros(6, F), inputs={"x": (2, 16)}, transB=1),
    "MatMul": graph([("MatMul", ["x", "z"], "y")], {"x": (1, 4, 8), "z": (1, 8, 4)}, ["y"]),
    "Conv and Relu": graph([("Conv", ["x", W, B], "a"), ("Relu", ["a"], "y")], X, ["y"]),
    "Conv and Clip": graph([("Conv", ["x", W, B], "a"), ("Clip", ["a", F(0), F(6)], "y")], X, ["y"]),
    "LeakyRelu": one("LeakyRelu", alpha=0.1), "PRelu": one("PRelu", np.full((4, 1, 1), 0.2, F)), "Elu": one("Elu"),
    "Sigmoid": one("Sigmoid"), "Tanh": one("Tanh"), "HardSigmoid": one("HardSigmoid"), "HardSwish": one("HardSwish"),
    "Softmax": one("Softmax", axis=1), "LogSoftmax": one("LogSoftmax", axis=1), "Gelu": one("Gelu", opset=20),
    "MaxPool": one("MaxPool", kernel_shape=[2, 2]), "AveragePool": one("AveragePool", kernel_shape=[2, 2]),
    "GlobalAveragePool": one("GlobalAveragePool"), "GlobalMaxPool": one("GlobalMaxPool"),
    "Add": two("Add"), "Sub": two("Sub"), "Mul": two("Mul"), "Min": two("Min"), "Max": two("Max"), "Concat": two("Concat", axis=1),
    "Add of a constant": one("Add", np.ones((4, 1, 1), F)),
    "Split": graph([("Split", ["x", i64(2, 2)], ["y", "z"], {"axis": 1})], X, ["y", "z"]),
    "Slice": one("Slice", i64(0), i64(2), i64(1), i64(1)), "Pad": one("Pad", i64(0, 0, 1, 1, 0, 0, 1, 1)),
    "Reshape": one("Reshape", i64(1, 256)), "Transpose": one("Transpose", perm=[0, 2, 3, 1]),
    "Expand": one("Expand", i64(1, 4, 8, 8), inputs={"x": (1, 4, 1, 8)}), "Tile": one("Tile", i64(1, 2, 1, 1)),
    "Gather": one("Gather", i64(0, 2, 1), axis=1), "DepthToSpace": one("DepthToSpace", blocksize=2),
    "SpaceToDepth": one("SpaceToDepth", blocksize=2),
    "Resize, nearest": one("Resize", "", np.array([1, 1, 2, 2], F), mode="nearest"),
    "Resize, linear": one("Resize", "", np.array([1, 1, 2, 2], F), mode="linear"),
    "ReduceMean of a picture": one("ReduceMean", axes=[2, 3]), "ReduceMean of rows": one("ReduceMean", axes=[3]),
    "ReduceMax": one("ReduceMax", axes=[2, 3]), "ReduceSum": one("ReduceSum", i64(2, 3)), "Exp": one("Exp"),
    "a residual": graph([("Conv", ["x", W, B], "a", {"pads": [1] * 4}), ("Conv", ["a", W, B], "b", {"pads": [1] * 4}),
                         ("Add", ["a", "b"], "y")], X, ["y"]),
    "a gate": graph([("Conv", ["x", W, B], "a"), ("Sigmoid", ["a"], "b"), ("Mul", ["a", "b"], "y")], X, ["y"]),
}
_VANISH = {"Relu", "Clip"}  # into the operator before them, or into the grid
_CARRY = {"QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape", "Split", "Slice", "Expand", "Tile", "Gather", "MaxPool",
          "DepthToSpace", "Resize", "ReduceMax", "ReduceMin", "Identity"}


def floats_in_onnxruntime(net: Graph, int8_allowed: bool, folder: Path) -> Counter[str]:
    """The operators that ONNX Runtime computes in float: all that read a DequantizeLinear, or a value that is not quantised."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    if int8_allowed:
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    model = write_qdq(quantized(net, Rules()))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, random_feeds(net))
    optimised = onnx.load(folder / "optimised.onnx").graph
    integers = {output for node in optimised.node if node.op_type == "QuantizeLinear" or node.op_type.startswith("QLinear")
                or node.op_type == "QGemm" for output in node.output}
    found: Counter[str] = Counter()
    for node in optimised.node:
        if node.op_type in _CARRY and node.input[0] in integers:
            integers.update(node.output if node.op_type != "DequantizeLinear" else [])
        elif node.op_type not in ("QuantizeLinear", "DequantizeLinear") and node.output[0] not in integers:
            found[node.op_type] += 1
    return found


def floats(placements: list[Placement]) -> Counter[str]:
    return Counter(placement.op for placement in placements if not placement.integer)


@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_on_arm_does_as_is_said(name: str, tmp_path: Path) -> None:
    """What is said to be float is float, and what is said to be integer is integer, where int8 activations are allowed."""
    said, found = floats(ort.place(CASES[name])), floats_in_onnxruntime(CASES[name], True, tmp_path)
    assert bool(said) == bool(found), (said, found)


@pytest.mark.parametrize("name", ["a residual", "a gate", "Conv", "Conv and Relu", "Concat", "Add of a constant"])
def test_onnxruntime_on_x86_does_as_is_said(name: str, tmp_path: Path) -> None:
    """There, int8 values that several operators read, and constant operands, are computed around in float."""
    said, found = floats(ort.place(CASES[name], int8_on_x86=True)), floats_in_onnxruntime(CASES[name], False, tmp_path)
    assert said == found


LITERT: dict[str, str] = {  # what XNNPACK leaves
    "PRelu": "litert", "HardSwish": "litert", "Softmax": "litert", "LogSoftmax": "litert", "Gelu": "litert", "AveragePool": "litert",
    "Min": "litert", "Max": "litert", "Expand": "litert", "Tile": "litert", "Gather": "litert", "Resize, nearest": "litert",
    "Exp": "float"}


@pytest.mark.parametrize("name", CASES)
def test_litert_has_integers_for_all_but_a_few(name: str) -> None:
    """Where an operator is outside XNNPACK, or float, and nowhere else."""
    worst = max(litert.place(CASES[name]), key=lambda placement: (not placement.integer, placement.where == "litert"))
    assert ("float" if not worst.integer else worst.where) == LITERT.get(name, "xnnpack")
    assert bool(worst.why) == (name in LITERT or worst.op in _VANISH)


def joined(count: int) -> Graph:
    names = [f"x{index}" for index in range(count)]
    return graph([("Concat", names, "y", {"axis": 1})], dict.fromkeys(names, (1, 4, 8, 8)), ["y"])


def split(*sizes: int) -> Graph:
    outputs = [f"y{index}" for index in range(len(sizes))]
    return graph([("Split", ["x", i64(*sizes)], outputs, {"axis": 1})], {"x": (1, sum(sizes), 8, 8)}, outputs)


@pytest.mark.parametrize(("net", "where"), [
    (joined(4), "xnnpack"), (joined(5), "litert"), (split(2, 2, 2, 2), "xnnpack"), (split(*[2] * 5), "litert"),
    (split(1, 3), "litert"), (one("LeakyRelu", alpha=0.01), "xnnpack"), (one("LeakyRelu", alpha=0.001), "litert"),
    (one("Slice", i64(0), i64(8), i64(2), i64(2)), "litert"), (one("Pad", i64(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"), "litert"),
    (one("Pad", i64(0, 0, 1, 1, 0, 0, 1, 1), F(1)), "litert"), (one("MaxPool", kernel_shape=[1, 1], strides=[2, 2]), "litert"),
    (one("ReduceMean", axes=[3]), "xnnpack"), (one("ReduceMax", axes=[2, 3]), "xnnpack"),
])
def test_xnnpacks_conditions_are_kept(net: Graph, where: str) -> None:
    """Counts, slopes, strides and modes decide, not the operator's name alone."""
    assert litert.place(net)[0].where == where


@pytest.mark.parametrize(("net", "why"), [
    (one("Conv", W, B, pads=[1] * 4), ""), (one("Conv", W, B, dilations=[1, 2]), "the same in height and width"),
    (one("HardSwish"), "no HARD_SWISH"), (one("LeakyRelu", alpha=0.1), "no LEAKY_RELU"), (one("Exp"), "stays float"),
    (one("Softmax", axis=1), "softmax takes one row"), (one("Softmax", axis=1, inputs={"x": (1, 10)}), ""),
    (one("Gemm", weights(6, 16), np.zeros(6, F), inputs={"x": (2, 16)}, transB=1), "one row"),
    (one("ReduceMean", axes=[2, 3]), ""), (one("GlobalAveragePool"), ""), (one("ReduceMean", axes=[1]), ""),
    (one("ReduceMean", axes=[1], inputs={"x": (1, 5, 8, 8)}), "a multiple of 4 of them, and there are 5"),
    (one("Reshape", i64(1, 2, 2, 8, 8)), "only the 3 innermost sides"), (split(2, 2), ""), (split(1, 3), "no SPLIT_V"),
    (one("Sigmoid", inputs={"x": (2, 4, 8, 8)}), "only the 3 innermost sides"), (one("Pad", i64(0, 0, 1, 1, 0, 0, 1, 1)), ""),
    (one("Slice", i64(0), i64(8), i64(2), i64(2)), "strides of 1"), (one("PRelu", np.full((4, 1, 1), 0.2, F)), ""),
    (one("Resize", "", np.array([1, 1, 2, 2], F), mode="nearest"), ""), (two("Min"), ""), (joined(6), ""),
])
def test_the_edge_tpus_conditions_are_kept(net: Graph, why: str) -> None:
    """Dimensions, dilations, rows and channels decide."""
    placement = edgetpu.place(net)[0]
    assert (placement.where == "edgetpu") == (not why)
    assert why in placement.why


@pytest.mark.parametrize(("net", "integer", "where"), [
    (CASES["Conv"], True, "tensorrt"), (CASES["Softmax"], False, "tensorrt"), (CASES["Exp"], False, "tensorrt"),
    (CASES["ConvTranspose"], True, "tensorrt"), (CASES["HardSwish"], True, "tensorrt"),
    (one("Resize", "", np.array([1, 1, 2, 2], F), mode="cubic"), False, "unsupported"),
])
def test_tensorrt_has_integers_floats_and_gaps(net: Graph, integer: bool, where: str) -> None:
    """INT8 layers, float ones, and what its parser does not take."""
    (placement,) = tensorrt.place(net)
    assert (placement.integer, placement.where) == (integer, where)
    assert bool(placement.why) == (not integer)
