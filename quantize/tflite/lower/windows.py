"""Padding, as TFLite's convolutions and pools have it, and the clamp at their end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantize.grid import Grid
from quantize.tflite.lowering import Lowering

__all__ = ["clamped", "is_same", "pad_sides", "two"]

FUSED = {(-np.inf, np.inf): "NONE", (0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}


def two(sides: Sequence[int], rank: int, fill: int) -> list[int]:
    """An attribute with an entry for each spatial side, of a picture: a window is one row."""
    return [*([fill] if rank == 3 else []), *sides]


def is_same(inputs: Sequence[int], outputs: Sequence[int], kernel: Sequence[int], strides: Sequence[int],
            dilations: Sequence[int], pads: Sequence[int]) -> bool:
    """Whether ``pads`` (before, then after) are what TFLite's SAME is at this size (tensorflow/lite/kernels/padding.h): the
    output is ceil(input / stride), and the odd row of padding stands behind."""
    half = len(inputs)
    for side in range(half):
        if outputs[side] != -(-inputs[side] // strides[side]):
            return False
        reach = (kernel[side] - 1) * dilations[side] + 1
        total = max((outputs[side] - 1) * strides[side] + reach - inputs[side], 0)
        if pads[side] != total // 2 or pads[half + side] < total - total // 2:
            return False
    return True


def pad_sides(lowering: Lowering, value: str, pads: Sequence[int], fill: float = 0.0) -> str:
    """The rows and columns of a picture (N, H, W, C) padded: [top, left, bottom, right]. What is negative is cut off."""
    _, height, width, _ = shape = lowering.graph.shapes[value]
    if min(pads) < 0:
        cut = [max(-side, 0) for side in pads]
        shape = (shape[0], height - cut[0] - cut[2], width - cut[1] - cut[3], shape[3])
        value = lowering.moves("Slice", value, shape, axes=[1, 2], starts=cut[:2], steps=[1, 1],
                               ends=[height - cut[2], width - cut[3]])
    top, left, bottom, right = (max(side, 0) for side in pads)
    if not (top or left or bottom or right):
        return value
    shape = (shape[0], shape[1] + top + bottom, shape[2] + left + right, shape[3])
    return lowering.moves("Pad", value, shape, f"{lowering.node.name}/padded", mode="constant", value=fill,
                          pads=[0, top, left, 0, 0, bottom, right, 0])


def clamped(lowering: Lowering, low: float, high: float, grid: Grid | None) -> tuple[str, tuple[float, float]]:
    """The activation that the operator's options can say, and what has to be clamped after it. Integers that end where the
    clamp does need neither."""
    bounds = (low, high)
    if bounds in FUSED:
        return FUSED[bounds], (-np.inf, np.inf)
    if grid is not None:
        half = float(grid.scale[0]) / 2
        if grid.low >= low - half and grid.high <= high + half:
            return "NONE", (-np.inf, np.inf)
    return "NONE", bounds
