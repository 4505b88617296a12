"""Networks with every kind of layer that the accuracy steps treat, and samples for them."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.grid import Quantized
from quantize.plan import integer_values, plan
from quantize.qdq import explicit
from quantize.rules import Rules
from tests.quantize.graphs import graph, weights

__all__ = ["SHAPE", "mobile", "photos", "planned", "ranges", "sqnr"]

SHAPE = (1, 3, 12, 12)
_CLIP6 = ("Clip", [np.float32(0), np.float32(6)], {})
_ACTIVATIONS = {"Relu": ("Relu", [], {}), "Relu6": _CLIP6, "LeakyRelu": ("LeakyRelu", [], {"alpha": 0.2}),
                "PRelu": ("PRelu", [np.linspace(0.1, 0.5, 12, dtype=np.float32).reshape(12, 1, 1)], {})}


def mobile(activation: str = "Relu", unlike: float = 1.0, seed: int = 0) -> Graph:
    """Stem, depthwise, projection, an inverted residual, pooling and a linear layer. ``unlike``: channels between two layers
    with nothing but the activation between them are multiplied by factors from 1 / unlike to unlike, and divided out again."""
    act, more, attributes = _ACTIVATIONS[activation]
    rng = np.random.default_rng(seed + 100)
    nodes = []
    flat = np.ones(3)

    def factors(count: int) -> Array:
        return np.exp(rng.uniform(-np.log(unlike), np.log(unlike), count))

    def conv(name: str, source: str, shape: tuple[int, ...], read: Array, made: Array, group: int = 1) -> None:
        w = weights(*shape, seed=seed + len(nodes)).astype(np.float64) / made[:, None, None, None]
        w = w * (read[:, None, None, None] if group > 1 else read[None, :, None, None])
        bias = rng.normal(0, 0.1, shape[0]) / made
        nodes.append(("Conv", [source, w.astype(np.float32), bias.astype(np.float32)], name,
                      {"group": group, "pads": [shape[2] // 2] * 4}))

    def acted(source: str, name: str) -> None:
        nodes.append((act, [source, *more], name, attributes))

    one, two, three, four = (factors(12) for _ in range(4))
    eight = np.ones(8)
    conv("stem", "input", (12, 3, 3, 3), flat, one)
    acted("stem", "a")
    conv("depth", "a", (12, 1, 3, 3), one, two, 12)
    acted("depth", "b")
    conv("project", "b", (8, 12, 1, 1), two, eight)
    conv("expand", "project", (12, 8, 1, 1), eight, three)
    acted("expand", "c")
    conv("depth2", "c", (12, 1, 3, 3), three, four, 12)
    acted("depth2", "d")
    conv("project2", "d", (8, 12, 1, 1), four, eight)
    nodes += [("Add", ["project", "project2"], "sum"), ("GlobalAveragePool", ["sum"], "mean"), ("Flatten", ["mean"], "flat"),
              ("Gemm", ["flat", weights(10, 8, seed=seed + 50), rng.normal(0, 0.1, 10).astype(np.float32)], "logits", {"transB": 1})]
    return graph(nodes, {"input": SHAPE}, ["logits"])


def photos(count: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> list[dict[str, Array]]:
    """Smooth random pictures, brighter or darker as a whole: like photos, neighbours are alike."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        picture = rng.normal(size=shape)
        for axis in range(2, len(shape)):
            picture = picture + np.roll(picture, 1, axis) + np.roll(picture, 2, axis)
        made.append({"input": (picture / 3 + rng.normal(0, 1.5, (1, shape[1], *([1] * (len(shape) - 2))))).astype(np.float32)})
    return made


def ranges(graph: Graph, samples: list[dict[str, Array]]) -> dict[str, tuple[float, float]]:
    """The least and largest of each value on the samples."""
    values = [value for value in integer_values(graph) if value not in graph.inputs]
    runner = Runner(graph, values, 1)
    runs = [{**feeds, **runner.run(feeds)} for feeds in samples]
    return {value: (min(float(run[value].min()) for run in runs), max(float(run[value].max()) for run in runs))
            for value in [*graph.inputs, *values]}


def planned(graph: Graph, samples: list[dict[str, Array]], rules: Rules = Rules(), excluded: tuple[str, ...] = ()) -> Quantized:  # noqa: B008  frozen
    """The graph with weights rounded to the nearest."""
    return plan(graph, ranges(graph, samples), rules, excluded)


def sqnr(graph: Graph, quantized: Quantized, samples: list[dict[str, Array]]) -> float:
    """Of the first output, in dB."""
    reference, twin = Runner(graph, threads=1), Runner(explicit(quantized), threads=1, optimize=False)
    wanted = np.stack([reference.run(feeds)[graph.outputs[0]] for feeds in samples]).astype(np.float64)
    made = np.stack([twin.run(feeds)[graph.outputs[0]] for feeds in samples])
    return float(10 * np.log10((wanted**2).sum() / ((wanted - made) ** 2).sum()))
