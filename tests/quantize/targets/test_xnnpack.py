"""What XNNPACK takes in INT8, asked of the LiteRT that is installed: the table that ``quantize check`` uses holds here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.targets.litert import XNNPACK
from tests import litert
from tests.models import Op, Tensor, write_tflite

X = (1, 8, 8, 4)
ACTIVATION = {"fusedActivationFunction": 0}
POOL = {"padding": 0, "strideW": 1, "strideH": 1, "filterWidth": 2, "filterHeight": 2}
WINDOW = {"padding": 0, "strideW": 1, "strideH": 1, "dilationHFactor": 1, "dilationWFactor": 1}
KEEP = {"ReducerOptions": {"keepDims": True}}
BIAS = Tensor("b", (4,), "int32", 0.01, 0, np.zeros(4))


def value(name: str = "x", shape: tuple[int, ...] = X, scale: float = 0.1, zero_point: int = 0, values: Any = None) -> Tensor:
    return Tensor(name, shape, "int8", scale, zero_point, values)


def ones(shape: tuple[int, ...]) -> Tensor:
    return value("w", shape, values=np.ones(shape))


def numbers(values: Any, name: str = "n") -> Tensor:
    return Tensor(name, np.shape(values), "int32", values=values)


def parts(count: int, sides: int) -> list[Tensor]:
    return [value(f"v{index}", (1, 8, 8, sides)) for index in range(count)]


# operator: inputs (those without values vary), outputs, options
OPERATORS: dict[str, tuple[str, list[Tensor], list[Tensor], dict[str, Any]]] = {
    "ADD": ("ADD", [value(), value("z")], [value("y")], {"AddOptions": ACTIVATION}),
    "SUB": ("SUB", [value(), value("z")], [value("y")], {"SubOptions": ACTIVATION}),
    "MUL": ("MUL", [value(), value("z")], [value("y")], {"MulOptions": ACTIVATION}),
    "MAXIMUM": ("MAXIMUM", [value(), value("z")], [value("y")], {"MaximumMinimumOptions": {}}),
    "MINIMUM": ("MINIMUM", [value(), value("z")], [value("y")], {"MaximumMinimumOptions": {}}),
    "CONCATENATION": ("CONCATENATION", parts(4, 4), [value("y", (1, 8, 8, 16))], {"ConcatenationOptions": {"axis": 3}}),
    "SPLIT": ("SPLIT", [numbers(3), value("x", (1, 8, 8, 16))], parts(4, 4), {"SplitOptions": {"numSplits": 4}}),
    "CONV_2D": ("CONV_2D", [value(), ones((4, 3, 3, 4)), BIAS], [value("y")], {"Conv2DOptions": WINDOW}),
    "DEPTHWISE_CONV_2D": ("DEPTHWISE_CONV_2D", [value(), ones((1, 3, 3, 4)), BIAS], [value("y")],
                          {"DepthwiseConv2DOptions": {**WINDOW, "depthMultiplier": 1}}),
    "FULLY_CONNECTED": ("FULLY_CONNECTED", [value("x", (1, 16)), ones((4, 16)), BIAS], [value("y", (1, 4))],
                        {"FullyConnectedOptions": {}}),
    "TRANSPOSE_CONV": ("TRANSPOSE_CONV", [numbers([1, 16, 16, 4]), ones((4, 2, 2, 4)), value(), BIAS], [value("y", (1, 16, 16, 4))],
                       {"TransposeConvOptions": {"padding": 1, "strideW": 2, "strideH": 2}}),
    "BATCH_MATMUL": ("BATCH_MATMUL", [value("x", (1, 8, 4)), value("z", (1, 4, 8))], [value("y", (1, 8, 8))], {"BatchMatMulOptions": {}}),
    "MAX_POOL_2D": ("MAX_POOL_2D", [value()], [value("y")], {"Pool2DOptions": POOL}),
    "AVERAGE_POOL_2D": ("AVERAGE_POOL_2D", [value()], [value("y")], {"Pool2DOptions": POOL}),
    "MEAN": ("MEAN", [value(), numbers([1, 2])], [value("y", (1, 1, 1, 4))], KEEP),
    "SUM": ("SUM", [value(), numbers([1, 2])], [value("y", (1, 1, 1, 4))], KEEP),
    "REDUCE_MAX": ("REDUCE_MAX", [value(), numbers([1, 2])], [value("y", (1, 1, 1, 4))], KEEP),
    "REDUCE_MIN": ("REDUCE_MIN", [value(), numbers([1, 2])], [value("y", (1, 1, 1, 4))], KEEP),
    "PAD": ("PAD", [value(), numbers([[0, 0], [1, 1], [1, 1], [0, 0]])], [value("y", (1, 10, 10, 4))], {"PadOptions": {}}),
    "MIRROR_PAD": ("MIRROR_PAD", [value(), numbers([[0, 0], [1, 1], [1, 1], [0, 0]])], [value("y", (1, 10, 10, 4))],
                   {"MirrorPadOptions": {"mode": 0}}),
    "RESHAPE": ("RESHAPE", [value(), numbers([1, 256])], [value("y", (1, 256))], {"ReshapeOptions": {"newShape": [1, 256]}}),
    "RESIZE_BILINEAR": ("RESIZE_BILINEAR", [value(), numbers([16, 16])], [value("y", (1, 16, 16, 4))],
                        {"ResizeBilinearOptions": {"halfPixelCenters": True}}),
    "RESIZE_NEAREST_NEIGHBOR": ("RESIZE_NEAREST_NEIGHBOR", [value(), numbers([16, 16])], [value("y", (1, 16, 16, 4))],
                                {"ResizeNearestNeighborOptions": {}}),
    "SLICE": ("SLICE", [value(), numbers([0, 0, 0, 0]), numbers([1, 4, 8, 4], "m")], [value("y", (1, 4, 8, 4))], {"SliceOptions": {}}),
    "TRANSPOSE": ("TRANSPOSE", [value(), numbers([0, 3, 1, 2])], [value("y", (1, 4, 8, 8))], {"TransposeOptions": {}}),
    "GATHER": ("GATHER", [value(), numbers([0, 1])], [value("y", (1, 8, 8, 2))], {"GatherOptions": {"axis": 3}}),
    "TILE": ("TILE", [value(), numbers([1, 2, 1, 1])], [value("y", (1, 16, 8, 4))], {"TileOptions": {}}),
    "DEPTH_TO_SPACE": ("DEPTH_TO_SPACE", [value()], [value("y", (1, 16, 16, 1))], {"DepthToSpaceOptions": {"blockSize": 2}}),
    "SPACE_TO_DEPTH": ("SPACE_TO_DEPTH", [value()], [value("y", (1, 4, 4, 16))], {"SpaceToDepthOptions": {"blockSize": 2}}),
    "LEAKY_RELU": ("LEAKY_RELU", [value()], [value("y")], {"LeakyReluOptions": {"alpha": 1 / 256}}),
    "LOGISTIC": ("LOGISTIC", [value()], [value("y", X, 1 / 256, -128)], {}),
    "TANH": ("TANH", [value()], [value("y", X, 1 / 128)], {}),
    "SOFTMAX": ("SOFTMAX", [value()], [value("y", X, 1 / 256, -128)], {"SoftmaxOptions": {"beta": 1.0}}),
    "GELU": ("GELU", [value()], [value("y")], {"GeluOptions": {}}),
    "RELU6": ("RELU6", [value()], [value("y")], {}),
    "CONCATENATION of 6": ("CONCATENATION", parts(6, 4), [value("y", (1, 8, 8, 24))], {"ConcatenationOptions": {"axis": 3}}),
    "SPLIT into 5": ("SPLIT", [numbers(3), value("x", (1, 8, 8, 20))], parts(5, 4), {"SplitOptions": {"numSplits": 5}}),
    "LEAKY_RELU of 1/1000": ("LEAKY_RELU", [value()], [value("y")], {"LeakyReluOptions": {"alpha": 0.001}}),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_xnnpack_takes_what_is_said(name: str, tmp_path: Path) -> None:
    """Every operator runs in INT8; XNNPACK takes those of the table, within the limits that are stated."""
    pytest.importorskip("ai_edge_litert", reason="tflite-runtime 2.14 delegates fewer")
    op, inputs, outputs, options = OPERATORS[name]
    given = [tensor.name for tensor in inputs if tensor.values is None]
    path = write_tflite(tmp_path / "m.tflite", [*inputs, *outputs], [Op(
        op, tuple(tensor.name for tensor in inputs), tuple(tensor.name for tensor in outputs), options)],
        given, [tensor.name for tensor in outputs])
    interpreter = litert.interpreter().Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.invoke()
    taken = "DELEGATE" in [details["op_name"] for details in interpreter._get_ops_details()]
    assert taken == (name in XNNPACK)
