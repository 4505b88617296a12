"""Constants taken into the weights beside them: normalisations, scales, offsets and zero padding.

    y = s (W x + b) + t   is  (s W) x + (s b + t)      a constant after a Conv, ConvTranspose or Gemm, per channel
    y = W (s x + t) + b   is  (W s) x + (W t + b)      a constant before a Conv or Gemm; t only where nothing is padded

A BatchNormalization is s = scale / sqrt(var + epsilon), t = bias - mean s; one that nothing takes in is Mul and Add.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.graph.onnx_loading import refuse

__all__ = ["fold"]

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
_MASKING = ("Add", "Where", "Equal")


def fold(graph: Graph, where: str) -> Graph:
    """Fold what can be folded, in place. Raises ModelError with ``where`` for weights that are no numbers."""
    check_numbers(graph, where)
    with np.errstate(over="ignore", invalid="ignore"):  # what is no number is refused in the end
        fold_pads(graph)
        split_normalizations(graph, where)
        _merge(graph)
        _fold_after(graph)
        _fold_before(graph)
    graph.remove_unused()
    check_numbers(graph, where)
    return graph


def check_numbers(graph: Graph, where: str) -> None:
    """Refuse constants that are not numbers."""
    for name, array in graph.constants.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            wrong = "NaN" if np.isnan(array).any() else "infinity"
            readers = [str(node) for node in graph.nodes if name in node.inputs]
            mask = wrong == "infinity" and any(node.op in _MASKING for node in graph.nodes if name in node.inputs)
            refuse(f"{where}: tensor '{name}'" + (f" of {readers[0]}" if readers else ""), "finite numbers", wrong,
                   "write masks with a finite number, such as -100 before a Softmax" if mask else
                   "the training diverged or the file is damaged: export a checkpoint whose weights are all finite")


def fold_pads(graph: Graph) -> None:
    """A Pad with zeros becomes pads of the convolutions and average pools that read it. (ONNX Runtime 1.20 does the latter
    itself, and then counts wrong.)"""
    producers = graph.producers()
    for node in graph.nodes:
        pad = producers.get(node.inputs[0]) if node.op in ("Conv", "AveragePool") else None
        if pad is None or pad.op != "Pad" or pad.attributes["mode"] != "constant" or pad.attributes["value"] != 0:
            continue
        pads, rank, own = pad.attributes["pads"], len(node.attributes["strides"]), node.attributes["pads"]
        if any(pads[:2]) or any(pads[rank + 2:rank + 4]):
            continue
        more = [*pads[2:2 + rank], *pads[rank + 4:]]
        if node.op == "AveragePool":
            counts = node.attributes["count_include_pad"] or not any(own)
            if not counts or any(pad >= size for pad, size in zip(more, node.attributes["kernel_shape"] * 2, strict=True)):
                continue
            node.attributes["count_include_pad"] = 1
        node.attributes["pads"] = [old + new for old, new in zip(own, more, strict=True)]
        node.inputs[0] = pad.inputs[0]
    graph.remove_unused()


def split_normalizations(graph: Graph, where: str) -> None:
    """Every BatchNormalization as Mul and Add. Raises ModelError for a negative variance."""
    nodes: list[Node] = []
    for node in graph.nodes:
        arrays = [graph.constants.get(name) for name in node.inputs[1:]]
        if node.op != "BatchNormalization" or any(array is None for array in arrays):
            nodes.append(node)
            continue
        scale, bias, mean, var = (np.asarray(array, np.float64) for array in arrays)
        if np.any(var + node.attributes["epsilon"] <= 0):
            refuse(f"{where}: tensor '{node.inputs[4]}' of {node}", "variances above 0", f"{var.min()}",
                   "the training diverged or the file is damaged: export another checkpoint")
        by = scale / np.sqrt(var + node.attributes["epsilon"])
        sides = (-1, *[1] * (len(graph.shapes[node.inputs[0]]) - 2))
        factor = graph.add_constant(f"{node.name}/scale", by.astype(np.float32).reshape(sides))
        offset = graph.add_constant(f"{node.name}/offset", (bias - mean * by).astype(np.float32).reshape(sides))
        scaled = graph.add_value(f"{node.name}/scaled", graph.shapes[node.name])
        nodes += [Node("Mul", [node.inputs[0], factor], [scaled]), Node("Add", [scaled, offset], node.outputs)]
    graph.nodes = nodes


def _merge(graph: Graph) -> None:
    """Two Mul or two Add by constants, one after the other, as one."""
    producers, consumers = graph.producers(), graph.consumers()
    for node in graph.nodes:
        before = producers.get(node.inputs[0])
        if (node.op not in ("Add", "Mul") or before is None or before.op != node.op or graph.dtypes[node.name] != "float32"
                or not _alone(graph, consumers, before.name)):
            continue
        one, two = graph.constants.get(before.inputs[1]), graph.constants.get(node.inputs[1])
        if one is not None and two is not None and before.inputs[0] not in graph.constants:
            made = one + two if node.op == "Add" else one * two
            node.inputs = [before.inputs[0], graph.add_constant(f"{node.name}/merged", made.astype(np.float32))]
    graph.remove_unused()


def _fold_after(graph: Graph) -> None:
    """A scale and an offset into the weights whose output they alone read, also behind the Reshape after a Gemm."""
    consumers, producers = graph.consumers(), graph.producers()
    for node in graph.nodes:
        affine = _affine(graph, node)
        if affine is None:
            continue
        value, factor, offset = affine
        last = producers.get(value)
        source = last
        if last is not None and last.op == "Reshape" and graph.shapes[value][-1] == graph.shapes[last.inputs[0]][-1]:
            source = producers.get(last.inputs[0])
            source = source if source is not None and source.op == "Gemm" else None
        if last is None or source is None or source.op not in _WEIGHTED or graph.shapes[value] != graph.shapes[node.name]:
            continue
        w, b = (graph.constants.get(name) for name in source.inputs[1:3])
        if w is None or b is None or not _alone(graph, consumers, source.name) or not _alone(graph, consumers, value):
            continue
        rank = len(graph.shapes[value])
        s, t = (_per_channel(array, rank, rank - 1 if source.op == "Gemm" else 1, len(b)) for array in (factor, offset))
        if s is None or t is None:
            continue
        _scale_outputs(graph, source, w, b, s, t)
        last.outputs, node.op = [node.name], ""
        producers[last.name] = last
    graph.nodes = [node for node in graph.nodes if node.op]


def _scale_outputs(graph: Graph, node: Node, w: Array, b: Array, s: Array, t: Array) -> None:
    if node.op == "ConvTranspose":
        group = node.attributes["group"]
        sides = w.reshape(group, w.shape[0] // group, *w.shape[1:])
        scaled = sides * s.reshape(group, 1, -1, *[1] * (w.ndim - 2))
    else:
        scaled = w * s.reshape(-1, *[1] * (w.ndim - 1))
    if not np.all(s == 1):
        node.inputs[1] = _replaced(graph, node, 1, scaled.reshape(w.shape))
    node.inputs[2] = _replaced(graph, node, 2, b * s + t)


def _replaced(graph: Graph, node: Node, place: int, array: Array) -> str:
    """The array in place of a constant that only this node reads, under a new name otherwise."""
    name, array = node.inputs[place], array.astype(np.float32)
    if sum(other.inputs.count(name) for other in graph.nodes) > 1 or name in graph.outputs:
        return graph.add_constant(name, array)
    graph.constants[name] = array
    return name


def _fold_before(graph: Graph) -> None:
    """A scale and an offset into the convolution or Gemm that alone reads them."""
    consumers = graph.consumers()
    for node in reversed(graph.nodes):
        affine = _affine(graph, node)
        if affine is None:
            continue
        value, factor, offset = affine
        readers = consumers.get(node.name, [])
        if node.name in graph.outputs or len(readers) != 1 or readers[0].op not in ("Conv", "Gemm"):
            continue
        reader = readers[0]
        w, b = (graph.constants.get(name) for name in reader.inputs[1:3])
        if w is None or b is None or reader.inputs[0] != node.name or reader.inputs.count(node.name) > 1:
            continue
        rank, channels = len(graph.shapes[value]), graph.shapes[value][1]
        s, t = (_per_channel(array, rank, 1, channels) for array in (factor, offset))
        if s is None or t is None or graph.shapes[value] != graph.shapes[node.name]:
            continue
        if np.any(t != 0) and any(reader.attributes.get("pads", ())):
            continue
        group = int(reader.attributes.get("group", 1))
        inputs = w.reshape(group, w.shape[0] // group, *w.shape[1:]).astype(np.float64)
        sides = (group, 1, channels // group, *[1] * (w.ndim - 2))
        added = (inputs * t.reshape(sides)).reshape(w.shape[0], -1).sum(axis=1)
        reader.inputs[1] = _replaced(graph, reader, 1, (inputs * s.reshape(sides)).reshape(w.shape))
        reader.inputs[2] = _replaced(graph, reader, 2, b + added)
        reader.inputs[0] = value
        consumers.setdefault(value, [])[:] = [reader if other is node else other for other in consumers.get(value, [])]
        node.op = ""
    graph.nodes = [node for node in graph.nodes if node.op]


def _affine(graph: Graph, node: Node) -> tuple[str, Array, Array] | None:
    """(x, s, t) of a node that computes s x + t by constants."""
    if node.op not in ("Add", "Sub", "Mul") or graph.dtypes[node.name] != "float32":
        return None
    a, b = node.inputs
    constants: Mapping[str, Array] = graph.constants
    one, zero = np.ones(1), np.zeros(1)
    if b in constants and a not in constants:
        array = constants[b].astype(np.float64)
        return {"Add": (a, one, array), "Sub": (a, one, -array), "Mul": (a, array, zero)}[node.op]
    if node.op == "Sub" and a in constants and b not in constants:
        return b, -one, constants[a].astype(np.float64)
    return None


def _per_channel(array: Array, rank: int, axis: int, channels: int) -> Array | None:
    """One number for each channel, where the array broadcasts so against a value of this rank; None otherwise."""
    if array.size == 1 and array.ndim <= rank:
        return np.broadcast_to(array.reshape(-1), (channels,))
    sides = (*[1] * (rank - array.ndim), *array.shape)
    if len(sides) != rank or sides[axis] != channels or array.size != channels:
        return None
    return array.reshape(-1)


def _alone(graph: Graph, consumers: Mapping[str, list[Node]], value: str) -> bool:
    return len(consumers.get(value, [])) == 1 and value not in graph.outputs
