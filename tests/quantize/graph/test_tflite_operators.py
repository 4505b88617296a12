"""The reader of float .tflite: each operator computes what LiteRT computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.quantize.graph.tflite_files import Const, compare, file_of, one

rng = np.random.default_rng(7)  # what hypothesis runs again draws anew from its shape
SAME, VALID = 0, 1


def floats(*shape: int) -> Const:
    return Const(np.random.default_rng([7, *shape]).normal(size=shape))


def ints(*values: Any) -> Const:
    return Const(values, "int32")


def axes(*values: int) -> Const:
    return Const(list(values), "int32")


def axis(value: int) -> Const:
    return Const(value, "int32")


MAP = (1, 4, 5, 6)  # a picture; also any tensor of four sides
ROWS = (3, 7)

ONE_INPUT = [
    *(one(name, MAP) for name in ("RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "EXP", "ABS", "NEG",
                                  "FLOOR", "SQUARE")),
    one("LEAKY_RELU", MAP, LeakyReluOptions={"alpha": 0.2}),
    one("GELU", MAP, GeluOptions={"approximate": False}), one("GELU", MAP, GeluOptions={"approximate": True}),
    one("PRELU", MAP, floats(1, 1, 6)), one("PRELU", ROWS, floats(7)),
    one("SOFTMAX", MAP, SoftmaxOptions={"beta": 1.0}), one("SOFTMAX", ROWS, SoftmaxOptions={"beta": 0.5}), one("LOG_SOFTMAX", ROWS),
    one("L2_NORMALIZATION", ROWS, L2NormOptions={}),
]
POSITIVE = [one("SQRT", MAP), one("RSQRT", MAP), one("LOG", MAP), one("POW", MAP, floats(1))]
TWO_INPUTS = [
    *(one(name, MAP, MAP, **{f"{options}Options": {}} if options else {}) for name, options in (
        ("ADD", "Add"), ("SUB", "Sub"), ("MUL", "Mul"), ("MAXIMUM", ""), ("MINIMUM", ""), ("SQUARED_DIFFERENCE", ""))),
    one("ADD", MAP, (6,), AddOptions={"fusedActivationFunction": 1}), one("MUL", (6,), MAP, MulOptions={}),
    one("SUB", floats(4, 5, 6), MAP, SubOptions={"fusedActivationFunction": 3}), one("ADD", MAP, floats(1), AddOptions={}),
    one("DIV", MAP, Const(rng.uniform(1, 2, (1, 1, 5, 6))), DivOptions={}), one("MUL", MAP, (1, 1, 1, 6), MulOptions={}),
    one("ADD_N", ROWS, ROWS, ROWS),
    one("FULLY_CONNECTED", ROWS, floats(4, 7), floats(4), FullyConnectedOptions={"fusedActivationFunction": 1}),
    one("FULLY_CONNECTED", (2, 3, 7), floats(4, 7), FullyConnectedOptions={"keepNumDims": True}),
    one("FULLY_CONNECTED", (1, 4, 5, 6), floats(3, 120), floats(3), FullyConnectedOptions={}),
    one("BATCH_MATMUL", (2, 3, 4), (2, 4, 5), BatchMatMulOptions={}),
    one("BATCH_MATMUL", (2, 3, 4), (2, 5, 4), BatchMatMulOptions={"adjY": True}),
    one("BATCH_MATMUL", (2, 4, 3), floats(4, 5), BatchMatMulOptions={"adjX": True}),
    one("BATCH_MATMUL", (2, 3, 4), floats(4, 5), BatchMatMulOptions={}),
]
REDUCED = [
    one(name, MAP, over, ReducerOptions={"keepDims": keep})
    for name in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
    for over, keep in ((axes(1, 2), True), (axes(1, 2), False), (axes(-1), False), (axes(1), False), (axes(3, 0), True))
]
SHAPED = [
    one("RESHAPE", MAP, ints(1, -1), ReshapeOptions={"newShape": [1, -1]}), one("RESHAPE", MAP, ints(2, 10, 6), ReshapeOptions={}),
    one("SQUEEZE", (1, 4, 1, 6), SqueezeOptions={"squeezeDims": [2]}), one("SQUEEZE", (1, 4, 1, 6), SqueezeOptions={}),
    one("EXPAND_DIMS", ROWS, axis(1), ExpandDimsOptions={}), one("EXPAND_DIMS", ROWS, axis(-1), ExpandDimsOptions={}),
    one("TRANSPOSE", MAP, ints(0, 3, 1, 2)), one("TRANSPOSE", (2, 3, 4), ints(2, 0, 1)),
    one("CONCATENATION", MAP, (1, 4, 5, 3), ConcatenationOptions={"axis": -1}),
    one("CONCATENATION", MAP, MAP, floats(1, 4, 5, 6), ConcatenationOptions={"axis": 1}),
    one("SPLIT", axis(3), MAP, outputs=3, SplitOptions={"numSplits": 3}),
    one("SPLIT_V", MAP, ints(1, 4), axis(2), outputs=2, SplitVOptions={"numSplits": 2}),
    one("SPLIT_V", MAP, ints(2, -1, 1), axis(-1), outputs=3, SplitVOptions={"numSplits": 3}),
    one("PACK", ROWS, ROWS, PackOptions={"valuesCount": 2, "axis": 1}), one("PACK", ROWS, ROWS, PackOptions={"valuesCount": 2, "axis": -1}),
    one("UNPACK", (2, 3, 4), outputs=3, UnpackOptions={"num": 3, "axis": 1}),
    one("SLICE", MAP, ints(0, 1, 2, 0), ints(-1, 2, 3, 5), shape=(1, 2, 3, 5)),
    one("STRIDED_SLICE", MAP, ints(0, 1, 0, 2), ints(1, 4, 5, 6), ints(1, 2, 1, 2), StridedSliceOptions={}),
    one("STRIDED_SLICE", MAP, ints(0, -3, 0, 1), ints(0, 0, -1, 0), ints(1, 1, 2, 1),
        StridedSliceOptions={"beginMask": 1, "endMask": 11}),
    one("STRIDED_SLICE", MAP, ints(0, 2, 0, -1), ints(1, 3, 5, 0), ints(1, 1, 1, 1), StridedSliceOptions={"shrinkAxisMask": 10}),
    one("STRIDED_SLICE", (5, 7), ints(4, 0), ints(0, 7), ints(-2, 1), StridedSliceOptions={"endMask": 1}),
    one("PAD", MAP, Const([[0, 0], [1, 2], [0, 3], [0, 0]], "int32")),
    one("PADV2", MAP, Const([[0, 0], [1, 0], [0, 1], [2, 0]], "int32"), Const([-3.0])),
    one("MIRROR_PAD", MAP, Const([[0, 0], [2, 1], [1, 3], [0, 0]], "int32"), MirrorPadOptions={"mode": 0}),
    one("MIRROR_PAD", MAP, Const([[0, 0], [1, 1], [1, 0], [0, 0]], "int32"), MirrorPadOptions={"mode": 1}),
    one("TILE", MAP, ints(1, 2, 1, 3)), one("BROADCAST_TO", (1, 5, 1), ints(2, 3, 5, 4)),
    one("GATHER", MAP, ints(3, 0, 0), GatherOptions={"axis": 3}), one("GATHER", ROWS, axis(1), GatherOptions={"axis": 0}),
    one("ARG_MAX", MAP, axis(3), dtype="int32", ArgMaxOptions={"outputType": 2}),
    one("ARG_MAX", ROWS, axis(0), dtype="int64", ArgMaxOptions={"outputType": 4}),
    one("CAST", ROWS, dtype="int32", CastOptions={"inDataType": 0, "outDataType": 2}),
]
SPATIAL = [
    one("CONV_2D", (1, 9, 8, 4), floats(6, 3, 3, 2), floats(6), Conv2DOptions={"padding": SAME, "strideH": 2, "strideW": 1}),
    one("CONV_2D", (1, 9, 8, 3), floats(6, 2, 3, 3), floats(6), Conv2DOptions={
        "padding": VALID, "strideH": 1, "strideW": 2, "dilationHFactor": 2, "fusedActivationFunction": 3}),
    *(one(name, (1, 7, 5, 2), axes(10, 15), **{options: flags}) for name, options in (
        ("RESIZE_BILINEAR", "ResizeBilinearOptions"), ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"))
      for flags in ({}, {"alignCorners": True}, {"halfPixelCenters": True})),
    one("RESIZE_BILINEAR", (1, 8, 8, 2), axes(3, 5), ResizeBilinearOptions={"halfPixelCenters": True}),
    one("RESIZE_NEAREST_NEIGHBOR", (1, 8, 8, 2), axes(3, 5), ResizeNearestNeighborOptions={"halfPixelCenters": True}),
    one("DEPTH_TO_SPACE", (1, 2, 3, 8), DepthToSpaceOptions={"blockSize": 2}),
    one("SPACE_TO_DEPTH", (1, 4, 6, 3), SpaceToDepthOptions={"blockSize": 2}),
    one("TRANSPOSE_CONV", ints(1, 9, 10, 3), floats(3, 3, 3, 2), (1, 5, 5, 2),
        TransposeConvOptions={"padding": SAME, "strideH": 2, "strideW": 2}),
    one("TRANSPOSE_CONV", ints(1, 10, 9, 3), floats(3, 2, 3, 2), (1, 5, 4, 2), floats(3),
        TransposeConvOptions={"padding": VALID, "strideH": 2, "strideW": 2, "fusedActivationFunction": 1}),
    one("TRANSPOSE_CONV", ints(1, 8, 8, 1), floats(1, 1, 1, 2), (1, 4, 4, 2),
        TransposeConvOptions={"padding": SAME, "strideH": 2, "strideW": 2}),
]


def label(case: Any) -> str:
    shapes = "x".join(str(value.array.shape if isinstance(value, Const) else value) for value in case.inputs)
    flags = ",".join(f"{key}={value}" for options in case.options.values() for key, value in options.items())
    return f"{case.name} {shapes} {flags}"


@pytest.mark.parametrize("case", [*ONE_INPUT, *TWO_INPUTS, *REDUCED, *SHAPED, *SPATIAL], ids=label)
def test_an_operator_computes_what_litert_computes(case: Any, tmp_path: Path) -> None:
    """Both run on the same numbers, and agree to 1e-5 of the output's range."""
    compare(file_of(tmp_path / "op.tflite", case))


@pytest.mark.parametrize("case", POSITIVE, ids=label)
def test_an_operator_of_positive_numbers_computes_what_litert_computes(case: Any, tmp_path: Path) -> None:
    compare(file_of(tmp_path / "op.tflite", case), 0.1, 3.0)


sides = st.integers(1, 9)
steps = st.integers(1, 3)


@given(height=sides, width=sides, channels=st.integers(1, 4), kernel=st.tuples(steps, steps), stride=st.tuples(steps, steps),
       dilation=st.integers(1, 2), padding=st.sampled_from([SAME, VALID]), depthwise=st.booleans(), multiplier=st.integers(1, 2),
       activation=st.sampled_from([0, 1, 3]))
@settings(max_examples=40, deadline=None)
def test_convolutions_agree_whatever_their_sides(tmp_path_factory: pytest.TempPathFactory, height: int, width: int, channels: int,
                                                 kernel: tuple[int, int], stride: tuple[int, int], dilation: int, padding: int,
                                                 depthwise: bool, multiplier: int, activation: int) -> None:
    """SAME and VALID, strides, dilations, depthwise with several outputs a channel."""
    reach = [(taps - 1) * dilation + 1 for taps in kernel]
    if padding == VALID and (height < reach[0] or width < reach[1]):
        height, width = reach
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1], "dilationHFactor": dilation,
               "dilationWFactor": dilation, "fusedActivationFunction": activation}
    if depthwise:
        weights = floats(1, *kernel, channels * multiplier)
        case = one("DEPTHWISE_CONV_2D", (1, height, width, channels), weights, floats(channels * multiplier),
                   DepthwiseConv2DOptions={**options, "depthMultiplier": multiplier})
    else:
        case = one("CONV_2D", (1, height, width, channels), floats(5, *kernel, channels), floats(5), Conv2DOptions=options)
    compare(file_of(tmp_path_factory.mktemp("conv") / "conv.tflite", case))


@given(height=sides, width=sides, kernel=st.tuples(steps, steps), stride=st.tuples(steps, steps),
       padding=st.sampled_from([SAME, VALID]), largest=st.booleans())
@settings(max_examples=25, deadline=None)
def test_pools_agree_whatever_their_sides(tmp_path_factory: pytest.TempPathFactory, height: int, width: int, kernel: tuple[int, int],
                                          stride: tuple[int, int], padding: int, largest: bool) -> None:
    """An average does not count what is padded."""
    if padding == VALID:
        height, width = max(height, kernel[0]), max(width, kernel[1])
    case = one("MAX_POOL_2D" if largest else "AVERAGE_POOL_2D", (1, height, width, 3), Pool2DOptions={
        "padding": padding, "strideH": stride[0], "strideW": stride[1], "filterHeight": kernel[0], "filterWidth": kernel[1]})
    compare(file_of(tmp_path_factory.mktemp("pool") / "pool.tflite", case))
