"""The files of one plan: one network in two formats, to the last integer."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantize.graph.onnx_reader import read_model
from quantize.grid import Quantized
from quantize.produce import Product, produce
from quantize.rules import Rules
from tests.quantize import runs
from tests.quantize.answers import answers
from tests.quantize.graphs import graph, weights
from tests.quantize.tflite.running import quantized


def residual() -> Quantized:
    """A block with a shortcut, whose branches differ in range by four, and a classifier on top."""
    bias = np.zeros(8, np.float32)
    net = graph([("Conv", ["input", weights(8, 3, 3, 3), bias], "stem", {"pads": [1] * 4}), ("Relu", ["stem"], "short"),
                 ("Conv", ["short", 4 * weights(8, 8, 3, 3, seed=1), bias], "inner", {"pads": [1] * 4}), ("Relu", ["inner"], "wide"),
                 ("Conv", ["wide", weights(8, 8, 1, 1, seed=2), bias], "long"), ("Add", ["short", "long"], "sum"),
                 ("Relu", ["sum"], "relu"), ("GlobalAveragePool", ["relu"], "pooled"), ("Flatten", ["pooled"], "flat"),
                 ("Gemm", ["flat", weights(10, 8, seed=3), np.zeros(10, np.float32)], "logits", {"transB": 1})],
                {"input": (1, 3, 16, 16)}, ["logits"])
    return quantized(net)


def tiny() -> Quantized:
    """The network of the whole runs."""
    return quantized(read_model(runs.network(), "net.onnx"))


@pytest.mark.parametrize("net", [tiny, residual])
@pytest.mark.parametrize("rules", [Rules(), Rules(unsigned=True)], ids=["arm", "x86-64"])
def test_onnx_runtime_and_litert_answer_with_the_same_integers(net: Callable[[], Quantized], rules: Rules, tmp_path: Path) -> None:
    """No output differs by so much as one step, with XNNPACK: what stands for the ONNX file of an ARM board is its twin."""
    plan = net()
    made = {product.format: judged(product) for product in produce(plan, ["onnx", "tflite"], "int8", rules, tmp_path / "net")}
    rng = np.random.default_rng(1)
    (name,) = plan.graph.inputs
    feeds = [rng.normal(size=plan.graph.shapes[name]).astype(np.float32) for _ in range(40)]
    first, second = (np.array(answers(made[format], feeds)) for format in ("onnx", "tflite"))
    step = float(plan.activations[plan.graph.outputs[0]].scale[0])
    assert np.abs(first - second).max() < 0.01 * step


def judged(product: Product) -> Path:
    if not product.twin:
        return product.path
    twin = product.path.with_name(f"twin-{product.path.name}")
    twin.write_bytes(product.twin)
    return twin


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere ONNX Runtime computes int8 as it stands")
def test_only_the_file_of_another_processor_has_a_twin(tmp_path: Path) -> None:
    """It differs in the type of its activations: the file itself is int8, for ARM."""
    plan = residual()
    (own,) = produce(plan, ["onnx"], "int8", Rules(unsigned=True), tmp_path / "own")
    (other,) = produce(plan, ["onnx"], "int8", Rules(), tmp_path / "other")
    (jetson,) = produce(plan, ["onnx"], "int8", Rules(variant="tensorrt", symmetric=True), tmp_path / "jetson")
    assert not own.twin
    assert not jetson.twin
    assert zero_points(other.path.read_bytes()) == {"int8"}
    assert zero_points(other.twin) == {"uint8"}


def zero_points(data: bytes) -> set[str]:
    """Types that the file rounds activations to."""
    made = onnx.load_from_string(data)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor).dtype.name for tensor in made.graph.initializer}
    return {constants[node.input[2]] for node in made.graph.node if node.op_type == "QuantizeLinear"}
