"""What the reader makes of ONNX models: the canonical form, and the same numbers as the original."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.graph.onnx_reader import read_model
from tests.quantize.graphs import model, random_feeds, run, weights

I64 = np.int64
X4, X3, X2 = {"x": (1, 8, 6, 6)}, {"x": (1, 5, 8)}, {"x": (3, 8)}
W, B = weights(4, 8, 3, 3), weights(4, seed=1)
SCALE, SHIFT, MEAN, VAR = weights(4, seed=2) + 1, weights(4, seed=3), weights(4, seed=4), np.abs(weights(4, seed=5)) + 0.5
BN8 = [weights(8, seed=2) + 1, weights(8, seed=3), weights(8, seed=4), np.abs(weights(8, seed=5)) + 0.5]


def f(*numbers: float) -> Any:
    return np.array(numbers[0] if len(numbers) == 1 else numbers, np.float32)


def i(*numbers: int) -> Any:
    return np.array(numbers, I64)


def same_numbers(proto: Any, shapes: Any = None, tolerance: float = 1e-5) -> Graph:
    """Read a model; the graph computes what the model computes."""
    graph = read_model(proto, "net.onnx", shapes)
    feeds = random_feeds(graph)
    wanted, made = run(proto, feeds), Runner(graph, threads=1).run(feeds)
    assert list(made) == [output.name for output in proto.graph.output]
    for original, got in zip(wanted, made.values(), strict=True):
        expected = original.astype(got.dtype)
        assert got.shape == expected.shape
        span = float(np.ptp(expected)) if expected.size else 0.0
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * max(span, 1e-3))
    return graph


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


SOFTPLUS = ["Relu", "Abs", "Neg", "Exp", "Add", "Log", "Add"]
GELU_ERF = [("Div", ["x", f(math.sqrt(2))], "d"), ("Erf", ["d"], "e"), ("Add", ["e", f(1)], "a")]
TANH_INNER = [("Pow", ["x", f(3)], "p"), ("Mul", ["p", f(0.044715)], "q"), ("Add", ["x", "q"], "r"), ("Mul", ["r", f(math.sqrt(2 / math.pi))], "s"),
              ("Tanh", ["s"], "t"), ("Add", ["t", f(1)], "u")]
CENTRED = [("ReduceMean", ["x"], "m", {"axes": [-1]}), ("Sub", ["x", "m"], "d"), ("Pow", ["d", f(2)], "p"), ("ReduceMean", ["p"], "v", {"axes": [-1]}),
           ("Add", ["v", f(1e-5)], "e"), ("Sqrt", ["e"], "r")]

# claim, nodes, inputs, the operators that the reader makes
CASES: list[tuple[str, Sequence[Any], Any, list[str]]] = [
    ("a Conv without a bias gets one", [("Conv", ["x", W], "y")], X4, ["Conv"]),
    ("BatchNormalization goes into the Conv before it", [("Conv", ["x", W], "c"), ("BatchNormalization", ["c", SCALE, SHIFT, MEAN, VAR], "y")], X4, ["Conv"]),
    ("BatchNormalization goes into the Conv after it where nothing is padded", [("BatchNormalization", ["x", *BN8], "b"), ("Conv", ["b", W, B], "y")], X4, ["Conv"]),
    ("BatchNormalization before a padded Conv gives its scale only", [("BatchNormalization", ["x", *BN8], "b"), ("Conv", ["b", W, B], "y", {"pads": [1] * 4})], X4, ["Mul", "Add", "Conv"]),
    ("BatchNormalization goes into a grouped Conv after it", [("BatchNormalization", ["x", *BN8], "b"), ("Conv", ["b", weights(4, 2, 3, 3)], "y", {"group": 4})], X4, ["Conv"]),
    ("BatchNormalization goes into a grouped ConvTranspose", [("ConvTranspose", ["x", weights(8, 2, 3, 3)], "c", {"group": 2}), ("BatchNormalization", ["c", SCALE, SHIFT, MEAN, VAR], "y")], X4, ["ConvTranspose"]),
    ("BatchNormalization goes into a Gemm", [("Gemm", ["x", weights(8, 4), B], "c"), ("BatchNormalization", ["c", SCALE, SHIFT, MEAN, VAR], "y")], X2, ["Gemm"]),
    ("BatchNormalization alone is Mul and Add", [("BatchNormalization", ["x", *BN8], "b"), ("Relu", ["b"], "y")], X4, ["Mul", "Add", "Relu"]),
    ("Mul and Add by channel go into a Conv", [("Conv", ["x", W, B], "c"), ("Mul", ["c", SCALE.reshape(4, 1, 1)], "m"), ("Add", [SHIFT.reshape(1, 4, 1, 1), "m"], "y")], X4, ["Conv"]),
    ("a Sub from a constant goes into a Conv", [("Conv", ["x", W, B], "c"), ("Sub", [f(2), "c"], "y")], X4, ["Conv"]),
    ("an Add of a whole plane stays", [("Conv", ["x", W, B], "c"), ("Add", ["c", weights(4, 4, 4)], "y")], X4, ["Conv", "Add"]),
    ("a scale before a padded Conv goes in", [("Div", ["x", f(255)], "d"), ("Conv", ["d", W, B], "y", {"pads": [1] * 4})], X4, ["Conv"]),
    ("a zero Pad becomes pads of the Conv", [("Pad", ["x", i(0, 0, 0, 1, 0, 0, 2, 1)], "p"), ("Conv", ["p", W, B], "y")], X4, ["Conv"]),
    ("a zero Pad becomes pads of an average that count", [("Pad", ["x", i(0, 0, 1, 1, 0, 0, 1, 1)], "p"), ("AveragePool", ["p"], "y", {"kernel_shape": [3, 3], "strides": [2, 2]})], X4, ["AveragePool"]),
    ("a zero Pad before an average that does not count its own stays", [("Pad", ["x", i(0, 0, 1, 1, 0, 0, 1, 1)], "p"), ("AveragePool", ["p"], "y", {"kernel_shape": [3, 3], "pads": [1] * 4})], X4, ["Pad", "AveragePool"]),
    ("a Pad with another value stays", [("Pad", ["x", i(0, 0, 0, 1, 0, 0, 2, 1), f(1)], "p"), ("Conv", ["p", W, B], "y")], X4, ["Pad", "Conv"]),
    ("Identity, Dropout and a Cast to what it is go away", [("Identity", ["x"], "a"), ("Dropout", ["a"], ["b", "mask"]), ("Cast", ["b"], "c", {"to": 1}), ("Relu", ["c"], "y")], X2, ["Relu"]),
    ("an output after no-ops keeps its name", [("Relu", ["x"], "a"), ("Identity", ["a"], "y")], X2, ["Relu"]),
    ("MatMul and Add on two sides are a Gemm", [("MatMul", ["x", weights(8, 4)], "m"), ("Add", ["m", B], "y")], X2, ["Gemm"]),
    ("MatMul and Add on three sides are Reshape, Gemm, Reshape", [("MatMul", ["x", weights(8, 4)], "m"), ("Add", [B, "m"], "y")], X3, ["Reshape", "Gemm", "Reshape"]),
    ("MatMul by a constant on the left is turned", [("MatMul", [weights(4, 5), "x"], "y")], X3, ["Transpose", "Reshape", "Gemm", "Reshape", "Transpose"]),
    ("MatMul by a vector", [("MatMul", ["x", weights(8)], "y")], X3, ["Reshape", "Gemm", "Reshape"]),
    ("MatMul of two that vary stays", [("Transpose", ["x"], "t", {"perm": [0, 2, 1]}), ("MatMul", ["x", "t"], "y")], X3, ["Transpose", "MatMul"]),
    ("Gemm's alpha, beta and transposition go into the weights", [("Gemm", ["x", weights(4, 8), B], "y", {"alpha": 0.5, "beta": 2.0, "transB": 1})], X2, ["Gemm"]),
    ("Gemm of a transposed input", [("Gemm", ["x", weights(3, 4), B], "y", {"transA": 1})], X2, ["Transpose", "Gemm"]),
    ("Gemm without C", [("Gemm", ["x", weights(8, 4)], "y")], X2, ["Gemm"]),
    ("Gemm with a C of rows adds it", [("Gemm", ["x", weights(8, 4), weights(3, 1)], "y", {"beta": 0.5})], X2, ["Gemm", "Add"]),
    ("Gemm of two that vary is MatMul, Mul, Add", [("Gemm", ["x", "x", weights(3, 3)], "y", {"transB": 1, "alpha": 0.5})], X2, ["Transpose", "MatMul", "Mul", "Add"]),
    ("Relu6 is a Clip", [("Clip", ["x", f(0), f(6)], "y")], X2, ["Clip"]),
    ("Clip from 0 on is a Relu", [("Clip", ["x", f(0)], "y")], X2, ["Relu"]),
    ("Clip up to", [("Clip", ["x", "", f(0.5)], "y")], X2, ["Clip"]),
    ("Clip by what varies is Max and Min", [("ReduceMin", ["x"], "l", {"keepdims": 0}), ("Clip", ["x", "l", "l"], "y")], X2, ["ReduceMin", "Max", "Min"]),
    ("Max and Min by numbers are one Clip", [("Max", ["x", f(0)], "a"), ("Min", ["a", f(6)], "y")], X2, ["Clip"]),
    ("Relu and Min are one Clip", [("Relu", ["x"], "a"), ("Min", [f(0.5), "a"], "y")], X2, ["Clip"]),
    ("x Sigmoid(x) stays", [("Sigmoid", ["x"], "s"), ("Mul", ["x", "s"], "y")], X2, ["Sigmoid", "Mul"]),
    ("Softplus as torch writes it", [("Greater", ["x", f(20)], "g"), ("Exp", ["x"], "e"), ("Add", ["e", f(1)], "a"), ("Log", ["a"], "l"), ("Where", ["g", "x", "l"], "y")], X2, SOFTPLUS),
    ("Softplus by Log and Exp", [("Softplus", ["x"], "y")], X2, SOFTPLUS),
    ("Mish as torch writes it", [("Softplus", ["x"], "s"), ("Tanh", ["s"], "t"), ("Mul", ["x", "t"], "y")], X2, [*SOFTPLUS, "Tanh", "Mul"]),
    ("Sigmoid by Exp", [("Neg", ["x"], "n"), ("Exp", ["n"], "e"), ("Add", ["e", f(1)], "a"), ("Reciprocal", ["a"], "y")], X2, ["Sigmoid"]),
    ("HardSwish by HardSigmoid", [("HardSigmoid", ["x"], "h", {"alpha": 1 / 6, "beta": 0.5}), ("Mul", ["x", "h"], "y")], X2, ["HardSwish"]),
    ("HardSwish by Clip, divided last", [("Add", ["x", f(3)], "a"), ("Clip", ["a", f(0), f(6)], "c"), ("Mul", ["x", "c"], "m"), ("Div", ["m", f(6)], "y")], X2, ["HardSwish"]),
    ("HardSwish by Clip, divided first", [("Add", [f(3), "x"], "a"), ("Clip", ["a", f(0), f(6)], "c"), ("Mul", ["c", f(1 / 6)], "m"), ("Mul", ["m", "x"], "y")], X2, ["HardSwish"]),
    ("HardSigmoid by Clip", [("Add", ["x", f(3)], "a"), ("Clip", ["a", f(0), f(6)], "c"), ("Div", ["c", f(6)], "y")], X2, ["HardSigmoid"]),
    ("LeakyRelu by Max", [("Mul", ["x", f(0.1)], "m"), ("Max", ["x", "m"], "y")], X2, ["LeakyRelu"]),
    ("Gelu: (x a) 0.5", [*GELU_ERF, ("Mul", ["x", "a"], "b"), ("Mul", ["b", f(0.5)], "y")], X2, ["Gelu"]),
    ("Gelu: (0.5 x) a", [*GELU_ERF, ("Mul", [f(0.5), "x"], "b"), ("Mul", ["b", "a"], "y")], X2, ["Gelu"]),
    ("Gelu: x (0.5 a)", [*GELU_ERF, ("Mul", ["a", f(0.5)], "b"), ("Mul", ["x", "b"], "y")], X2, ["Gelu"]),
    ("Gelu by tanh", [*TANH_INNER, ("Mul", ["x", f(0.5)], "v"), ("Mul", ["v", "u"], "y")], X2, ["Gelu"]),
    ("Gelu by tanh, as x (1 + c x x)", [("Mul", ["x", "x"], "p"), ("Mul", ["p", f(0.044715)], "q"), ("Add", ["q", f(1)], "r"), ("Mul", ["r", "x"], "w"), ("Mul", ["w", f(0.7978846)], "s"),
                                        ("Tanh", ["s"], "t"), ("Add", ["t", f(1)], "u"), ("Mul", ["u", "x"], "v"), ("Mul", ["v", f(0.5)], "y")], X2, ["Gelu"]),
    ("LayerNormalization by its parts", [*CENTRED, ("Div", ["d", "r"], "n"), ("Mul", ["n", weights(8)], "s"), ("Add", ["s", weights(8, seed=1)], "y")], X3, ["LayerNormalization"]),
    ("LayerNormalization without scale", [*CENTRED, ("Div", ["d", "r"], "y")], X3, ["LayerNormalization"]),
    ("LayerNormalization by a Reciprocal", [*CENTRED, ("Reciprocal", ["r"], "i"), ("Mul", ["d", "i"], "n"), ("Mul", ["n", weights(8)], "y")], X3, ["LayerNormalization"]),
    ("LayerNormalization of channels", [("ReduceMean", ["x"], "m", {"axes": [1]}), ("Sub", ["x", "m"], "d"), ("Mul", ["d", "d"], "p"), ("ReduceMean", ["p"], "v", {"axes": [1]}), ("Add", ["v", f(1e-6)], "e"),
                                        ("Sqrt", ["e"], "r"), ("Div", ["d", "r"], "n"), ("Mul", ["n", BN8[0].reshape(8, 1, 1)], "s"), ("Add", ["s", BN8[1].reshape(8, 1, 1)], "y")], X4, ["Transpose", "LayerNormalization", "Transpose"]),
    ("InstanceNormalization by its parts", [("ReduceMean", ["x"], "m", {"axes": [2, 3]}), ("Sub", ["x", "m"], "d"), ("Mul", ["d", "d"], "p"), ("ReduceMean", ["p"], "v", {"axes": [2, 3]}), ("Add", ["v", f(1e-6)], "e"),
                                            ("Sqrt", ["e"], "r"), ("Div", ["d", "r"], "n"), ("Mul", ["n", BN8[0].reshape(8, 1, 1)], "y")], X4, ["InstanceNormalization"]),
    ("GroupNorm as torch writes it", [("Reshape", ["x", i(0, 4, -1)], "g"), ("InstanceNormalization", ["g", np.ones(4, np.float32), np.zeros(4, np.float32)], "n"), ("Reshape", ["n", i(1, 8, 6, 6)], "r"),
                                      ("Mul", ["r", BN8[0].reshape(8, 1, 1)], "s"), ("Add", ["s", BN8[1].reshape(8, 1, 1)], "y")], X4, ["Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"]),
    ("Softmax by its parts", [("ReduceMax", ["x"], "m", {"axes": [-1]}), ("Sub", ["x", "m"], "d"), ("Exp", ["d"], "e"), ("ReduceSum", ["e", i(-1)], "s"), ("Div", ["e", "s"], "y")], X3, ["Softmax"]),
    ("Flatten, Squeeze and Unsqueeze are one Reshape", [("Unsqueeze", ["x", i(0)], "a"), ("Squeeze", ["a", i(1)], "b"), ("Flatten", ["b"], "y")], X3, ["Reshape"]),
    ("Reshape by 0 and -1", [("Reshape", ["x", i(0, -1)], "y")], X4, ["Reshape"]),
    ("Reshape by shape arithmetic", [("Shape", ["x"], "s"), ("Gather", ["s", np.array(0)], "n"), ("Unsqueeze", ["n", i(0)], "u"), ("Concat", ["u", i(-1)], "c", {"axis": 0}), ("Reshape", ["x", "c"], "y")], X4, ["Reshape"]),
    ("Transposes that cancel go away", [("Transpose", ["x"], "a", {"perm": [0, 2, 3, 1]}), ("Transpose", ["a"], "b", {"perm": [0, 3, 1, 2]}), ("Relu", ["b"], "y")], X4, ["Relu"]),
    ("a mean over height and width is a GlobalAveragePool", [("ReduceMean", ["x"], "y", {"axes": [-1, -2]})], X4, ["GlobalAveragePool"]),
    ("a mean over height and width without its sides", [("ReduceMean", ["x"], "y", {"axes": [2, 3], "keepdims": 0})], X4, ["GlobalAveragePool", "Reshape"]),
    ("ReduceSum by an input", [("ReduceSum", ["x", i(-1, 1)], "y", {"keepdims": 0})], X3, ["ReduceSum"]),
    ("ReduceMax of all", [("ReduceMax", ["x"], "y")], X3, ["ReduceMax"]),
    ("ReduceL2", [("ReduceL2", ["x"], "y", {"axes": [1]})], X3, ["Mul", "ReduceSum", "Sqrt"]),
    ("LpNormalization", [("LpNormalization", ["x"], "y")], X3, ["Mul", "ReduceSum", "Sqrt", "Clip", "Div"]),
    ("Split by sizes", [("Split", ["x", i(3, 5)], ["a", "b"], {"axis": -1}), ("Concat", ["b", "a"], "y", {"axis": -1})], X3, ["Split", "Concat"]),
    ("Split in equal parts", [("Split", ["x"], ["a", "b"], {"axis": 2}), ("Add", ["a", "b"], "y")], X3, ["Split", "Add"]),
    ("Concat of one goes away", [("Concat", ["x"], "a", {"axis": 0}), ("Relu", ["a"], "y")], X3, ["Relu"]),
    ("Slice from the end", [("Slice", ["x", i(-3, 1), i(2**40, -1), i(-1, 1)], "y")], X3, ["Slice"]),
    ("Slice by a step", [("Slice", ["x", i(1), i(8), i(2), i(3)], "y")], X3, ["Slice"]),
    ("Slice backwards", [("Slice", ["x", i(-1), i(-100), i(2), i(-2)], "y")], X3, ["Slice"]),
    ("Slice of all goes away", [("Slice", ["x", i(0), i(2**31), i(1)], "a"), ("Relu", ["a"], "y")], X3, ["Relu"]),
    ("Gather by one index is a Slice", [("Gather", ["x", np.array(-1)], "y", {"axis": 1})], X3, ["Slice", "Reshape"]),
    ("Gather by indices that follow each other is a Slice", [("Gather", ["x", i(2, 3, 4)], "y", {"axis": 2})], X3, ["Slice"]),
    ("Gather by others stays", [("Gather", ["x", i(4, -1, 0)], "y", {"axis": 2})], X3, ["Gather"]),
    ("Gather from a table", [("Gather", [weights(5, 4), "n"], "y")], {"n": ((1, 6), "int64")}, ["Gather"]),
    ("Pad by reflection", [("Pad", ["x", i(0, 0, 1, 2, 0, 0, 2, 1)], "y", {"mode": "reflect"})], X4, ["Pad"]),
    ("Pad at the edge", [("Pad", ["x", i(0, 0, 1, 2, 0, 0, 2, 1)], "y", {"mode": "edge"})], X4, ["Pad"]),
    ("a negative Pad cuts", [("Pad", ["x", i(0, 0, -1, 2, 0, 0, 0, -2)], "y")], X4, ["Slice", "Pad"]),
    ("a Pad of nothing goes away", [("Pad", ["x", i(*[0] * 8)], "a"), ("Relu", ["a"], "y")], X4, ["Relu"]),
    ("Expand before arithmetic goes away", [("Expand", ["g", i(1, 8, 6, 6)], "e"), ("Mul", ["x", "e"], "y")], {**X4, "g": (1, 8, 1, 1)}, ["Mul"]),
    ("Expand alone stays", [("Expand", ["x", i(2, 1, 8)], "y")], {"x": (1, 3, 8)}, ["Expand"]),
    ("Tile", [("Tile", ["x", i(1, 2, 1)], "y")], X3, ["Tile"]),
    ("Sum of three is two Adds", [("Sum", ["x", "x", "x"], "y")], X3, ["Add", "Add"]),
    ("Mean of two is Add and Mul", [("Mean", ["x", "z"], "y")], {**X3, "z": (1, 5, 8)}, ["Add", "Mul"]),
    ("Max of one goes away", [("Max", ["x"], "a"), ("Relu", ["a"], "y")], X3, ["Relu"]),
    ("Pow 2 is Mul", [("Pow", ["x", f(2)], "y")], X3, ["Mul"]),
    ("Pow 0.5 is Sqrt", [("Abs", ["x"], "a"), ("Pow", ["a", f(0.5)], "y")], X3, ["Abs", "Sqrt"]),
    ("Div by a constant is Mul", [("Div", ["x", weights(8) + 3], "y")], X3, ["Mul"]),
    ("Div of a constant stays", [("Abs", ["x"], "a"), ("Add", ["a", f(1)], "b"), ("Div", [f(1), "b"], "y")], X3, ["Abs", "Add", "Div"]),
    ("a Mul by 1 goes away", [("Mul", ["x", f(1)], "a"), ("Relu", ["a"], "y")], X3, ["Relu"]),
    ("an Add of 0 that broadcasts stays", [("Add", ["x", np.zeros((2, 1, 1, 1), np.float32)], "y")], {"x": (1, 2, 2)}, ["Add"]),
    ("PixelShuffle by its parts", [("Reshape", ["x", i(1, 2, 2, 2, 6, 6)], "a"), ("Transpose", ["a"], "b", {"perm": [0, 1, 4, 2, 5, 3]}), ("Reshape", ["b", i(1, 2, 12, 12)], "y")], X4, ["DepthToSpace"]),
    ("DepthToSpace by its parts", [("Reshape", ["x", i(1, 2, 2, 2, 6, 6)], "a"), ("Transpose", ["a"], "b", {"perm": [0, 3, 4, 1, 5, 2]}), ("Reshape", ["b", i(1, 2, 12, 12)], "y")], X4, ["DepthToSpace"]),
    ("SpaceToDepth by its parts", [("Reshape", ["x", i(1, 8, 3, 2, 3, 2)], "a"), ("Transpose", ["a"], "b", {"perm": [0, 3, 5, 1, 2, 4]}), ("Reshape", ["b", i(1, 32, 3, 3)], "y")], X4, ["SpaceToDepth"]),
    ("DepthToSpace and back", [("DepthToSpace", ["x"], "a", {"blocksize": 2}), ("SpaceToDepth", ["a"], "y", {"blocksize": 2})], X4, ["DepthToSpace", "SpaceToDepth"]),
    ("ArgMax gives whole numbers", [("ArgMax", ["x"], "y", {"axis": -1, "keepdims": 0})], X3, ["ArgMax"]),
    ("Softmax over channels", [("Softmax", ["x"], "y", {"axis": 1})], X4, ["Softmax"]),
    ("a defined PRelu", [("PRelu", ["x", weights(8, 1, 1)], "y")], X4, ["PRelu"]),
    ("Where stays", [("Greater", ["x", f(0)], "g"), ("Where", ["g", "x", f(-1)], "y")], X3, ["Greater", "Where"]),
    ("what depends on constants only is a constant", [("Range", [np.array(0), np.array(8), np.array(1)], "r"), ("Cast", ["r"], "c", {"to": 1}), ("Add", ["x", "c"], "y")], X3, ["Add"]),
    ("NonZero of constants is a constant", [("NonZero", [np.array([0, 1, 1])], "n"), ("Squeeze", ["n", i(0)], "s"), ("Gather", ["x", "s"], "y", {"axis": 1})], X3, ["Slice"]),
    ("Einsum of two is a MatMul", [("Einsum", ["x", "z"], "y", {"equation": "bik,bkj->bij"})], {**X3, "z": (1, 8, 4)}, ["MatMul"]),
    ("Einsum by a constant is a Gemm", [("Einsum", ["x", weights(8, 4)], "y", {"equation": "bik,kj->bij"})], X3, ["Reshape", "Gemm", "Reshape"]),
    ("Einsum of heads", [("Einsum", ["x", "z"], "y", {"equation": "bqhd,bkhd->bhqk"})], {"x": (1, 5, 2, 4), "z": (1, 3, 2, 4)}, ["Transpose", "Transpose", "MatMul"]),
]


@pytest.mark.parametrize(("nodes", "inputs", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_form_becomes_the_canonical_one_and_computes_the_same(nodes: Any, inputs: Any, wanted: list[str]) -> None:
    """Operators as exporters write them become those that ``quantize.graph`` lists; the numbers stay."""
    outputs = ["y"]
    assert ops(same_numbers(model(nodes, inputs, outputs))) == wanted
