"""Small quantised models for tests of targets: a network with most of what CNNs have, as the toolkit would write it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from quantize import targets
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.grid import Quantized
from quantize.plan import integer_values, plan
from quantize.qdq import write_qdq
from quantize.rules import Rules
from tests.quantize.graphs import graph, random_feeds, weights

__all__ = ["network", "qdq", "quantized"]


def network() -> Graph:
    """Convolution, depthwise, a residual, a joined branch, an upsampling, a mean and a classifier."""
    zeros = np.zeros(8, np.float32)
    return graph([
        ("Conv", ["x", weights(8, 4, 3, 3), zeros], "a", {"pads": [1] * 4, "strides": [2, 2]}), ("Relu", ["a"], "b"),
        ("Conv", ["b", weights(8, 1, 3, 3), zeros], "c", {"pads": [1] * 4, "group": 8}),
        ("Clip", ["c", np.float32(0), np.float32(6)], "d"),
        ("Conv", ["d", weights(8, 8, 1, 1), zeros], "e"), ("Add", ["b", "e"], "f"),
        ("MaxPool", ["f"], "g", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("ConvTranspose", ["g", weights(8, 8, 2, 2), zeros], "h", {"strides": [2, 2]}),
        ("Concat", ["f", "h"], "i", {"axis": 1}), ("Sigmoid", ["i"], "j"), ("GlobalAveragePool", ["j"], "k"),
        ("Flatten", ["k"], "l"), ("Gemm", ["l", weights(3, 16), np.zeros(3, np.float32)], "y", {"transB": 1}),
    ], {"x": (1, 4, 16, 16)}, ["y"])


def quantized(net: Graph, rules: Rules) -> Quantized:
    """The network with the ranges that random feeds reach."""
    feeds = random_feeds(net)
    wanted = integer_values(net)
    inner = [name for name in wanted if name not in net.inputs]
    found: Mapping[str, np.ndarray] = {**feeds, **(Runner(net, inner).run(feeds) if inner else {})}
    return plan(net, {name: (float(found[name].min()), float(found[name].max())) for name in wanted}, rules)


def qdq(target: str, net: Graph | None = None) -> onnx.ModelProto:
    """The INT8 ONNX model that a target gets."""
    rules = targets.load(target).rules
    return write_qdq(quantized(net or network(), rules), rules.variant)
