"""Float files: LiteRT makes of them what ONNX Runtime makes of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantize.tflite import write_float
from tests.quantize.graphs import chain, graph, weights
from tests.quantize.tflite.running import miss

NEAR = 1e-5
X = (1, 6, 8, 10)

CHAINS: dict[str, tuple[tuple[int, ...], list[tuple[Any, ...]]]] = {
    "conv": (X, [("Conv", {"pads": [1] * 4}, weights(5, 6, 3, 3), weights(5))]),
    "conv-1x1": (X, [("Conv", weights(5, 6, 1, 1))]),
    "conv-groups": (X, [("Conv", {"group": 3}, weights(9, 2, 3, 3), weights(9))]),
    "conv-depthwise": (X, [("Conv", {"group": 6, "strides": [2, 2], "pads": [1] * 4}, weights(6, 1, 3, 3), weights(6))]),
    "conv-depth-multiplier": (X, [("Conv", {"group": 6}, weights(18, 1, 3, 3), weights(18))]),
    "conv-depthwise-dilated": (X, [("Conv", {"group": 6, "dilations": [2, 2], "pads": [2] * 4}, weights(6, 1, 3, 3), weights(6))]),
    "conv-relu": (X, [("Conv", weights(5, 6, 3, 3), weights(5)), ("Relu",)]),
    "conv-clip": (X, [("Conv", weights(5, 6, 3, 3), weights(5)), ("Clip", np.float32(-0.5), np.float32(0.7))]),
    "conv1d": ((2, 4, 20), [("Conv", {"pads": [1, 1], "strides": [2]}, weights(5, 4, 3), weights(5)), ("Relu",), ("Conv", weights(3, 5, 3), weights(3))]),
    "conv1d-depthwise": ((1, 4, 20), [("Conv", {"group": 4, "pads": [2, 0]}, weights(4, 1, 3), weights(4))]),
    "conv-transpose": (X, [("ConvTranspose", {"strides": [2, 2], "pads": [1] * 4}, weights(6, 5, 4, 4), weights(5))]),
    "conv-transpose-relu": (X, [("ConvTranspose", {"strides": [2, 2]}, weights(6, 5, 2, 2), weights(5)), ("Relu",)]),
    "conv-transpose-groups": (X, [("ConvTranspose", {"group": 2, "strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}, weights(6, 4, 3, 3), weights(8))]),
    "conv-transpose-dilated": (X, [("ConvTranspose", {"dilations": [2, 2]}, weights(6, 4, 3, 3), weights(4))]),
    "conv-transpose-1d": ((1, 4, 9), [("ConvTranspose", {"strides": [2]}, weights(4, 3, 4), weights(3))]),
    "gemm": ((3, 7), [("Gemm", {"transB": 1}, weights(5, 7), weights(5)), ("Relu",), ("Gemm", {"transB": 1}, weights(4, 5), weights(4))]),
    "flatten-gemm": (X, [("Conv", weights(5, 6, 3, 3)), ("Relu",), ("Flatten",), ("Tanh",), ("Gemm", {"transB": 1}, weights(4, 240), weights(4))]),
    "pool-flatten-gemm": (X, [("Conv", weights(5, 6, 3, 3)), ("GlobalAveragePool",), ("Flatten",), ("Gemm", {"transB": 1}, weights(4, 5), weights(4))]),
    "matmul-constant": ((2, 5, 7), [("MatMul", weights(7, 4)), ("Add", weights(4))]),
    **{op.lower(): (X, [(op,)]) for op in ("Relu", "Sigmoid", "Tanh", "HardSwish", "Erf", "Exp", "Abs", "Neg", "Floor", "Elu", "LeakyRelu", "HardSigmoid",
                                           "GlobalAveragePool", "GlobalMaxPool")},
    "elu-alpha": (X, [("Elu", {"alpha": 0.5})]),
    "hard-sigmoid-6": (X, [("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5})]),
    "leaky-relu-alpha": (X, [("LeakyRelu", {"alpha": 0.2})]),
    "prelu": (X, [("PRelu", np.abs(weights(6, 1, 1)))]),
    "prelu-after-conv": (X, [("Conv", weights(5, 6, 3, 3)), ("PRelu", np.abs(weights(5, 1, 1)))]),
    "relu6": (X, [("Clip", np.float32(0), np.float32(6))]), "clip-1-1": (X, [("Clip", np.float32(-1), np.float32(1))]),
    "clip-0-1": (X, [("Clip", np.float32(0), np.float32(1))]), "clip-low": (X, [("Clip", np.float32(-0.3))]),
    "softmax-last": ((2, 5), [("Softmax", {"axis": 1})]), "softmax-channels": (X, [("Conv", weights(5, 6, 1, 1)), ("Softmax", {"axis": 1})]),
    "softmax-middle": ((2, 5, 7), [("Softmax", {"axis": 1})]), "softmax-first": ((4, 5, 2, 3), [("Softmax", {"axis": 0})]),
    "log-softmax": ((2, 5), [("LogSoftmax", {"axis": 1})]), "log-softmax-channels": (X, [("LogSoftmax", {"axis": 1})]),
    "global-max-1d": ((1, 4, 9), [("GlobalMaxPool",)]), "global-average-1d": ((1, 4, 9), [("GlobalAveragePool",)]),
    "max-pool-1d": ((1, 4, 9), [("MaxPool", {"kernel_shape": [3], "strides": [2], "pads": [1, 1]})]),
    "add-channel": (X, [("Conv", weights(5, 6, 1, 1)), ("Add", weights(5, 1, 1)), ("Mul", weights(1, 5, 1, 1)), ("Sub", weights(1)), ("Div", np.abs(weights(9 - 1, 10)) + 1)]),
    "pow-2": (X, [("Pow", np.float32(2))]), "min-max": (X, [("Min", np.float32(0.4)), ("Max", weights(6, 1, 1))]),
    "batch-norm": (X, [("Relu",), ("BatchNormalization", weights(6), weights(6), weights(6), np.abs(weights(6)) + 1)]),
    "instance-norm": (X, [("Conv", weights(5, 6, 1, 1)), ("InstanceNormalization", weights(5), weights(5))]),
    "layer-norm": ((2, 5, 7), [("LayerNormalization", {"axis": -1}, weights(7), weights(7))]),
    "depth-to-space": ((1, 8, 3, 4), [("Conv", weights(8, 8, 1, 1)), ("DepthToSpace", {"blocksize": 2})]),
    "depth-to-space-crd": ((1, 8, 3, 4), [("Conv", weights(8, 8, 1, 1)), ("DepthToSpace", {"blocksize": 2, "mode": "CRD"})]),
    "space-to-depth": ((1, 3, 4, 6), [("SpaceToDepth", {"blocksize": 2})]),
    "expand": ((1, 3, 1, 4), [("Expand", np.array([2, 3, 5, 4], np.int64))]), "expand-rank": ((3, 1), [("Expand", np.array([2, 3, 5], np.int64))]),
    "tile": ((1, 3, 2, 4), [("Tile", np.array([1, 2, 1, 3], np.int64))]),
    "gather": (X, [("Gather", {"axis": 1}, np.array([3, 0, -1], np.int64))]), "gather-one": (X, [("Gather", {"axis": 2}, np.array(3, np.int64))]),
    "gather-matrix": (X, [("Gather", {"axis": 1}, np.array([[3, 0], [1, 1]], np.int64))]),
    "cast": (X, [("Cast", {"to": 6}), ("Cast", {"to": 1})]),
    "arg-max": (X, [("Conv", weights(5, 6, 1, 1)), ("ArgMax", {"axis": 1, "keepdims": 0})]), "arg-max-kept": (X, [("ArgMax", {"axis": 1, "keepdims": 1})]),
    "channel-shuffle": (X, [("Conv", weights(6, 6, 1, 1)), ("Reshape", np.array([1, 2, 3, 8, 10])), ("Transpose", {"perm": [0, 2, 1, 3, 4]}),
                            ("Reshape", np.array([1, 6, 8, 10])), ("Conv", weights(6, 6, 1, 1))]),
    "tokens": (X, [("Conv", weights(5, 6, 2, 2)), ("Reshape", np.array([1, 5, 63])), ("Transpose", {"perm": [0, 2, 1]}),
                   ("LayerNormalization", {"axis": -1}, weights(5), weights(5)), ("MatMul", weights(5, 4))]),
    "squeeze-excite-less": (X, [("Conv", weights(5, 6, 3, 3)), ("GlobalAveragePool",), ("Conv", weights(3, 5, 1, 1)), ("Relu",), ("Conv", weights(5, 3, 1, 1)), ("HardSigmoid",)]),
    "gelu": (X, [("Gelu",)]), "gelu-tanh": (X, [("Gelu", {"approximate": "tanh"})]),
    "batch": ((3, 4, 6, 6), [("Conv", weights(5, 4, 3, 3)), ("Flatten",), ("Gemm", {"transB": 1}, weights(4, 80), weights(4))]),
    "decoder": ((1, 7), [("Gemm", {"transB": 1}, weights(24, 7), weights(24)), ("Reshape", np.array([1, 6, 2, 2])),
                         ("ConvTranspose", {"strides": [2, 2]}, weights(6, 3, 2, 2), weights(3))]),
}
POSITIVE: dict[str, tuple[tuple[int, ...], list[tuple[Any, ...]]]] = {
    **{op.lower(): (X, [(op,)]) for op in ("Log", "Sqrt", "Reciprocal")},
    "pow-half": (X, [("Pow", np.float32(0.5))]), "pow-odd": (X, [("Pow", np.float32(1.7))]), "pow-inverse": (X, [("Pow", np.float32(-1))]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_computes_the_same(name: str) -> None:
    """Each operator, alone or where it usually stands."""
    shape, steps = CHAINS[name]
    net = chain(shape, *steps, opset=20)
    assert miss(net, write_float(net)) < NEAR


@pytest.mark.parametrize("name", POSITIVE)
def test_a_chain_of_positive_numbers_computes_the_same(name: str) -> None:
    """Operators that have no result under 0."""
    shape, steps = POSITIVE[name]
    net = chain(shape, *steps)
    assert miss(net, write_float(net), positive=True) < NEAR


NETS: dict[str, tuple[list[tuple[Any, ...]], dict[str, tuple[int, ...]], list[str]]] = {
    "silu": ([("Conv", ["x", weights(5, 6, 3, 3)], "c"), ("Sigmoid", ["c"], "s"), ("Mul", ["c", "s"], "y")], {"x": X}, ["y"]),
    "residual": ([("Conv", ["x", weights(6, 6, 3, 3), weights(6)], "c", {"pads": [1] * 4}), ("Add", ["c", "x"], "a"), ("Relu", ["a"], "y")], {"x": X}, ["y"]),
    "squeeze-excite": ([("Conv", ["x", weights(5, 6, 3, 3)], "c"), ("GlobalAveragePool", ["c"], "p"), ("Conv", ["p", weights(5, 5, 1, 1)], "e"),
                        ("Sigmoid", ["e"], "s"), ("Mul", ["c", "s"], "y")], {"x": X}, ["y"]),
    "concat-split": ([("Split", ["x", np.array([2, 4])], ["a", "b"], {"axis": 1}), ("Conv", ["a", weights(3, 2, 1, 1)], "c"),
                      ("Concat", ["b", "c"], "d", {"axis": 1}), ("Split", ["d", np.array([2, 5])], ["y", "z"], {"axis": 1})], {"x": X}, ["y", "z"]),
    "matmul": ([("MatMul", ["x", "w"], "y")], {"x": (2, 3, 4), "w": (2, 4, 5)}, ["y"]),
    "attention": ([("Reshape", ["x", np.array([1, 7, 2, 3])], "r"), ("Transpose", ["r"], "q", {"perm": [0, 2, 1, 3]}), ("Transpose", ["r"], "k", {"perm": [0, 2, 3, 1]}),
                   ("MatMul", ["q", "k"], "s"), ("Softmax", ["s"], "p", {"axis": -1}), ("MatMul", ["p", "q"], "o"),
                   ("Transpose", ["o"], "t", {"perm": [0, 2, 1, 3]}), ("Reshape", ["t", np.array([1, 7, 6])], "y")], {"x": (1, 7, 6)}, ["y"]),
    "broadcast-sides": ([("Conv", ["x", weights(5, 6, 1, 1)], "c"), ("ReduceMean", ["c"], "m", {"axes": [1], "keepdims": 1}), ("Sub", ["c", "m"], "d"),
                         ("ReduceMax", ["d"], "n", {"axes": [2, 3], "keepdims": 0}), ("Reshape", ["n", np.array([1, 5, 1, 1])], "r"), ("Div", ["d", "r"], "y")], {"x": X}, ["y"]),
    "input-is-output": ([("Relu", ["x"], "r"), ("Conv", ["r", weights(5, 6, 1, 1)], "y")], {"x": X}, ["y", "r"]),
    "two-inputs": ([("Conv", ["x", weights(4, 6, 1, 1)], "c"), ("Conv", ["w", weights(4, 3, 1, 1)], "d"), ("Add", ["c", "d"], "y")], {"x": X, "w": (1, 3, 8, 10)}, ["y"]),
    "yolo-head": ([("Conv", ["x", weights(8, 6, 1, 1)], "c"), ("Reshape", ["c", np.array([1, 8, 80])], "r"), ("Conv", ["x", weights(8, 6, 2, 2)], "d", {"strides": [2, 2]}),
                   ("Reshape", ["d", np.array([1, 8, 20])], "e"), ("Concat", ["r", "e"], "f", {"axis": 2}), ("Split", ["f", np.array([4, 4])], ["g", "h"], {"axis": 1}),
                   ("Reshape", ["g", np.array([1, 1, 4, 100])], "i"), ("Transpose", ["i"], "j", {"perm": [0, 2, 1, 3]}), ("Softmax", ["j"], "k", {"axis": 1}),
                   ("Conv", ["k", weights(1, 4, 1, 1)], "l"), ("Reshape", ["l", np.array([1, 1, 100])], "m"), ("Sigmoid", ["h"], "n"), ("Concat", ["m", "n"], "y", {"axis": 1})], {"x": X}, ["y"]),
    "pad-modes": ([("Pad", ["x", np.array([0, 0, 1, 2, 0, 1, 2, 0])], "a"), ("Pad", ["a", np.array([0, 0, 2, 1, 0, 0, 1, 1])], "b", {"mode": "reflect"}),
                   ("Pad", ["b", np.array([0, 0, 2, 0, 0, 0, 0, 3])], "c", {"mode": "edge"}), ("Pad", ["c", np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(1.5)], "d"),
                   ("Conv", ["d", weights(4, 7, 3, 3)], "y")], {"x": X}, ["y"]),
    "slices": ([("Conv", ["x", weights(8, 6, 1, 1)], "c"), ("Slice", ["c", np.array([1, 0]), np.array([7, 8]), np.array([1, 2]), np.array([2, 3])], "d"),
                ("Slice", ["d", np.array([-1]), np.array([-99]), np.array([3]), np.array([-2])], "y")], {"x": X}, ["y"]),
    "constant-table": ([("Gather", [weights(9, 4), "i"], "y", {"axis": 0})], {"i": ((2, 3), "int64")}, ["y"]),
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_computes_the_same(name: str) -> None:
    """Values that go several ways and come together again."""
    net = graph(*NETS[name])
    assert miss(net, write_float(net)) < NEAR
