"""Padding, as TFLite's convolutions and pools have it, and the clamp at their end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantize.graph import Graph, Node
from quantize.grid import Grid
from quantize.tflite.lower.activation import implied
from quantize.tflite.lowering import Lowering

__all__ = ["OPEN", "Window", "clamped", "pad_sides", "two"]

OPEN = (-np.inf, np.inf)
FUSED = {OPEN: "NONE", (0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}


def two(sides: Sequence[int], rank: int, fill: int) -> list[int]:
    """An attribute with an entry for each spatial side, of a picture: a window is one row."""
    return [*([fill] if rank == 3 else []), *sides]


@dataclass(frozen=True)
class Window:
    """What moves over a picture: lists of height and width, ``pads`` of top, left, bottom, right. A 1-D window is one row."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[int]
    sides: list[int]
    out: list[int]

    @staticmethod
    def of(graph: Graph, node: Node, kernel: Sequence[int]) -> Window:
        """Of a convolution or pool in one or two dimensions."""
        shape, values = graph.shapes[node.inputs[0]], node.attributes
        rank, half = len(shape), len(shape) - 2
        pads = [*two(values["pads"][:half], rank, 0), *two(values["pads"][half:], rank, 0)]
        dilations = values.get("dilations", [1] * half)
        return Window(two(kernel, rank, 1), two(values["strides"], rank, 1), two(dilations, rank, 1), pads,
                      two(shape[2:], rank, 1), two(graph.shapes[node.name][2:], rank, 1))

    @property
    def padded(self) -> bool:
        return any(self.pads)

    @property
    def same(self) -> bool:
        """Whether the padding is TFLite's SAME at this size (tensorflow/lite/kernels/padding.h): the output is
        ceil(input / stride), and the odd row of padding stands behind. What stands behind that is never read."""
        for side in range(2):
            reach = (self.kernel[side] - 1) * self.dilations[side] + 1
            total = max((self.out[side] - 1) * self.strides[side] + reach - self.sides[side], 0)
            if self.out[side] != -(-self.sides[side] // self.strides[side]) or self.pads[side] != total // 2:
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


def clamped(node: Node, grid: Grid | None) -> tuple[str, tuple[float, float]]:
    """The activation of a node that the operator's options can say, and the bounds that have to be kept after it. Integers that
    end where the bounds do need neither."""
    bounds = node.attributes.get("clamp", OPEN)
    return (FUSED[bounds], OPEN) if bounds in FUSED else ("NONE", implied(bounds[0], bounds[1], grid))
