"""Converted files run in LiteRT, and judged by ONNX Runtime.

    run(converted, feeds)                        outputs by name, in the order of sides that the graph states
    quantized(net)                               a plan from ranges that were seen
    steps_apart(quantized, converted, feeds)     by how many steps of its grid each output misses the QDQ reference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.grid import Grid, Quantized
from quantize.plan import integer_values, plan
from quantize.qdq import explicit
from quantize.rules import Rules
from quantize.tflite import Converted
from tests import litert
from tests.quantize.graphs import random_feeds

__all__ = ["kernels", "miss", "quantized", "run", "steps_apart"]


RULES = Rules()


def run(converted: Converted, feeds: Mapping[str, Array], *, delegate: bool = True, integers: Mapping[str, Grid] | None = None) -> dict[str, Array]:
    """What LiteRT makes of ``feeds`` (in the graph's order of sides). Integers are rounded and read by the file's own grids."""
    module = litert.interpreter()
    kinds = module.OpResolverType
    kind = kinds.AUTO if delegate else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = module.Interpreter(model_content=converted.data, num_threads=1, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        perm = converted.input_perms[detail["name"]]
        value = feeds[detail["name"]]
        interpreter.set_tensor(detail["index"], _stored(value.transpose(perm) if perm else value, detail))
    interpreter.invoke()
    found = {}
    for detail in interpreter.get_output_details():
        value, perm = _real(interpreter.get_tensor(detail["index"]), detail), converted.output_perms[detail["name"]]
        found[detail["name"]] = value.transpose(np.argsort(perm)) if perm else value
    return found


def _grid(detail: Mapping[str, Any]) -> Grid | None:
    scales, points = detail["quantization_parameters"]["scales"], detail["quantization_parameters"]["zero_points"]
    return Grid(np.dtype(detail["dtype"]).name, scales, points.astype(np.int64)) if len(scales) else None


def _stored(value: Array, detail: Mapping[str, Any]) -> Array:
    grid = _grid(detail)
    return np.ascontiguousarray(value if grid is None else grid.quantize(value)).astype(detail["dtype"])


def _real(value: Array, detail: Mapping[str, Any]) -> Array:
    grid = _grid(detail)
    return value if grid is None else grid.dequantize(value)


def kernels(converted: Converted) -> dict[str, int]:
    """How many of each TFLite operator a file has."""
    return dict(converted.kernels)


def miss(net: Graph, converted: Converted, seed: int = 0, positive: bool = False) -> float:
    """By how much of its range the worst output of a float file misses ONNX Runtime's."""
    feeds = random_feeds(net, seed)
    if positive:
        feeds = {name: np.abs(value) + value.dtype.type(0.1) for name, value in feeds.items()}
    wanted, found = Runner(net).run(feeds), run(converted, feeds)
    assert all(found[name].shape == wanted[name].shape for name in wanted), {name: (found[name].shape, wanted[name].shape) for name in wanted}
    return max(float(np.abs(found[name].astype(np.float64) - wanted[name]).max() / max(np.abs(wanted[name]).max(), 1e-3))
               for name in wanted)


def quantized(net: Graph, rules: Rules = RULES, seed: int = 0, **chosen: Any) -> Quantized:
    """A plan from the ranges that random numbers have."""
    seen = [feeds | Runner(net, [value for value in integer_values(net) if value not in net.inputs]).run(feeds)
            for feeds in (random_feeds(net, seed + number) for number in range(4))]
    limits = {value: (min(float(each[value].min()) for each in seen), max(float(each[value].max()) for each in seen))
              for value in integer_values(net)}
    return plan(net, limits, rules, **chosen)


def steps_apart(result: Quantized, converted: Converted, seed: int = 0, *, delegate: bool = True) -> float:
    """By how many steps of its grid the worst output misses the reference: floats with QDQ pairs, in ONNX Runtime."""
    net = result.graph
    feeds = random_feeds(net, seed)
    wanted, found = Runner(explicit(result), optimize=False).run(feeds), run(converted, feeds, delegate=delegate)
    worst = 0.0
    for name, reference in wanted.items():
        assert found[name].shape == reference.shape
        grid = result.activations.get(name)
        step = float(grid.scale[0]) if grid else max(float(np.abs(reference).max()) / 100, 1e-6)
        worst = max(worst, float(np.abs(found[name].astype(np.float64) - reference).max()) / step)
    return round(worst, 3)
