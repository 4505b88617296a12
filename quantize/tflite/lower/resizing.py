"""Resize: RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR where they take the same numbers, or else sums of Gathers.

ONNX has five ways to count coordinates and four to round them, TFLite three pairs of flags. Which of them are the same depends
on the sizes, so both are worked out for each side and compared.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.tflite.lowering import Lowering

__all__ = ["LOWER", "is_exact"]

Taps = list[tuple[Array, Array]]  # for each output of a side: places of inputs, and their weights
Flags = tuple[bool, bool]  # half_pixel_centers, align_corners
_FLAGS: tuple[Flags, ...] = ((True, False), (False, False), (False, True))


def is_exact(graph: Graph, node: Node) -> bool:
    """Whether one operator of TFLite, or Gathers alone, take the same numbers: then integers may stay integers."""
    if node.attributes["mode"] == "nearest":
        return True
    return node.attributes["mode"] == "linear" and _flags(graph, node) is not None


def _resize(lowering: Lowering, node: Node) -> None:
    if node.attributes.get("antialias"):
        raise lowering.refuse("a Resize without antialiasing", "antialias=1",
                              "export the model without it, or resize outside the model")
    x, flags = lowering.take(node.inputs[0]), _flags(lowering.source, node)
    if flags is None:
        lowering.give(node.name, _by_taps(lowering, node, x))
        return
    batch, channels, *sides = lowering.shape(node.name)
    shape = (batch, *([1] if len(sides) == 1 else []), *sides, channels)
    op = "RESIZE_NEAREST_NEIGHBOR" if node.attributes["mode"] == "nearest" else "RESIZE_BILINEAR"
    made = lowering.moves(op, lowering.nhwc(x), shape, node.name, half_pixel=flags[0], align_corners=flags[1])
    lowering.give(node.name, lowering.nchw(made, len(sides) + 2))


def _flags(graph: Graph, node: Node) -> Flags | None:
    """The flags with which TFLite does the same; None where it cannot."""
    shape, sizes = graph.shapes[node.inputs[0]], graph.shapes[node.name]
    if node.attributes["mode"] == "cubic" or len(shape) not in (3, 4) or shape[:2] != sizes[:2]:
        return None
    for flags in _FLAGS:
        if all(_alike(taps_of(node, axis, shape[axis], sizes[axis]), _tflite(node, shape[axis], sizes[axis], flags), shape[axis])
               for axis in range(2, len(shape))):
            return flags
    return None


def _alike(one: Taps, other: Taps, side: int) -> bool:
    """Whether two sets of taps are the same matrix."""
    matrices = []
    for taps in (one, other):
        matrix = np.zeros((len(taps[0][0]), side))
        for places, weights in taps:
            np.add.at(matrix, (np.arange(len(places)), places), weights)
        matrices.append(matrix)
    return bool(np.abs(matrices[0] - matrices[1]).max() < 1e-5)


def _tflite(node: Node, side: int, size: int, flags: Flags) -> Taps:
    """tensorflow/lite/kernels/internal/reference: resize_nearest_neighbor.h and resize_bilinear.h, in float32 as they are."""
    half, aligned = flags
    scale = np.float32(side - 1) / np.float32(size - 1) if aligned and size > 1 else np.float32(side) / np.float32(size)
    places = np.arange(size, dtype=np.float32)
    if node.attributes["mode"] == "nearest":
        scaled = (places + np.float32(0.5 if half else 0)) * scale
        nearest = np.floor(scaled + np.float32(0.5)) if aligned else np.floor(scaled)
        return [(np.clip(nearest, 0, side - 1).astype(np.int64), np.ones(size))]
    scaled = (places + np.float32(0.5)) * scale - np.float32(0.5) if half else places * scale
    lower, upper = np.maximum(np.floor(scaled), 0), np.minimum(np.ceil(scaled), side - 1)
    weight = scaled - lower
    return [(lower.astype(np.int64), 1 - weight), (upper.astype(np.int64), weight)]


def taps_of(node: Node, axis: int, side: int, size: int) -> Taps:
    """What ONNX's Resize takes along one side (onnx.ai/onnx/operators/onnx__Resize.html)."""
    values = node.attributes
    at = _coordinates(values["coordinate_transformation_mode"], side, size, float(values["scales"][axis]))
    if values["mode"] == "nearest":
        rounding: dict[str, Callable[[Array], Array]] = {
            "round_prefer_floor": lambda at: np.ceil(at - 0.5), "round_prefer_ceil": lambda at: np.floor(at + 0.5),
            "floor": np.floor, "ceil": np.ceil}
        nearest = rounding[values.get("nearest_mode", "round_prefer_floor")](at)
        return [(np.clip(nearest, 0, side - 1).astype(np.int64), np.ones(size))]
    if values["mode"] == "linear":
        first, part = np.floor(at), at - np.floor(at)
        found = [(first, 1 - part), (first + 1, part)]
    else:
        found = _cubic(at, float(values.get("cubic_coeff_a", -0.75)))
    if values.get("exclude_outside"):
        kept = [np.where((places >= 0) & (places < side), weights, 0) for places, weights in found]
        total = np.sum(kept, axis=0)
        found = [(places, weights / total) for (places, _), weights in zip(found, kept, strict=True)]
    return [(np.clip(places, 0, side - 1).astype(np.int64), weights) for places, weights in found]


def _coordinates(mode: str, side: int, size: int, scale: float) -> Array:
    """Where each output lies among the inputs, in float32 as ONNX Runtime works it out: what falls between two inputs, or just
    beside, depends on it."""
    places, one, half, step = np.arange(size, dtype=np.float32), np.float32(1), np.float32(0.5), np.float32(scale)
    if mode == "align_corners":
        at: Array = places * np.float32(side - 1) / np.float32(max(size - 1, 1))
    elif mode == "asymmetric":
        at = places / step
    elif mode == "pytorch_half_pixel" and size == 1:
        at = places
    else:
        middle = one - np.float32(size) / (step * np.float32(side)) if mode == "half_pixel_symmetric" else np.float32(0)
        at = np.float32(side) * half * middle + (places + half) / step - half
    return at


def _cubic(at: Array, a: float) -> Taps:
    """Keys' cubic convolution."""
    first, part = np.floor(at), at - np.floor(at)
    far, near, before = part + 1, part, 1 - part
    weights = [((a * far - 5 * a) * far + 8 * a) * far - 4 * a, ((a + 2) * near - (a + 3)) * near * near + 1,
               ((a + 2) * before - (a + 3)) * before * before + 1]
    return [(first + step, weight) for step, weight in zip((-1, 0, 1, 2), [*weights, 1 - sum(weights)], strict=True)]


def _by_taps(lowering: Lowering, node: Node, x: str) -> str:
    """Side by side, the sum of what each tap gathers times its weights."""
    shape, sizes = list(lowering.shape(node.inputs[0])), lowering.shape(node.name)
    for axis, size in enumerate(sizes):
        taps = taps_of(node, axis, shape[axis], size)
        if (len(taps) == 1 and np.array_equal(taps[0][0], np.arange(shape[axis]))) or (size == shape[axis] and _is_identity(taps)):
            continue
        shape[axis] = size
        x = _gathered(lowering, x, taps, shape, axis)
    return x


def _is_identity(taps: Taps) -> bool:
    own = np.arange(len(taps[0][0]))
    return all(np.allclose(weights * (places != own), 0) for places, weights in taps)


def _gathered(lowering: Lowering, x: str, taps: Taps, shape: list[int], axis: int) -> str:
    total = ""
    for places, weights in taps:
        part = lowering.moves_with("Gather", [x, lowering.new("places", places.astype(np.int32))], shape, axis=axis)
        if not np.all(weights == 1):
            sides = [1] * len(shape)
            sides[axis] = -1
            part = lowering.emit("Mul", [part, lowering.operand(weights.astype(np.float32).reshape(sides))], shape)
        total = lowering.emit("Add", [total, part], shape) if total else part
    return total


LOWER: dict[str, Callable[[Lowering, Node], None]] = {"Resize": _resize}

