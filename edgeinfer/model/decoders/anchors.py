"""Anchors of single-shot detectors, from the parameters they were trained with.

Both recipes follow SsdAnchorsCalculator of MediaPipe (ssd_anchors_calculator.cc), which for "ssd" gives the same as
create_ssd_anchors of the TensorFlow Object Detection API (multiple_grid_anchor_generator.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from edgeinfer.model.decoders.parameters import Count
from edgeinfer.model.tensor import Array

__all__ = ["BlazeFaceAnchors", "SsdAnchors"]

Positive = Annotated[float, msgspec.Meta(gt=0)]


class SsdAnchors(msgspec.Struct, frozen=True, kw_only=True, tag="ssd", tag_field="recipe", forbid_unknown_fields=True):
    """SSD (Liu et al. 2016) as in SSD-MobileNet: one layer a stride, scales spaced evenly from ``min_scale`` to
    ``max_scale``, one anchor for each aspect ratio, and one more of the mean scale of this layer and the next with
    ``interpolated_ratio`` (0: none). ``reduce_lowest``: three anchors only in the first layer."""

    strides: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1)] = (16, 32, 64, 128, 256, 512)
    min_scale: Positive = 0.2
    max_scale: Positive = 0.95
    aspect_ratios: tuple[Positive, ...] = (1.0, 2.0, 0.5, 3.0, 1 / 3)
    interpolated_ratio: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    reduce_lowest: bool = True

    exponential: ClassVar[bool] = True
    order: ClassVar[list[int]] = [0, 1, 2, 3]  # where y, x, h, w stand in an encoded box

    def factors(self, height: int, width: int) -> tuple[float, float, float, float]:
        """What encoded y, x, h, w are divided by (faster_rcnn_box_coder of the Object Detection API)."""
        return (10.0, 10.0, 5.0, 5.0)

    def anchors(self, height: int, width: int) -> Array:
        """(anchors, 4) float64: centre y, centre x, height, width in fractions of the input."""
        scales = [self._scale(layer) for layer in range(len(self.strides))]
        shapes = [self._shapes(layer, scale, following) for layer, (scale, following)
                  in enumerate(zip(scales, [*scales[1:], 1.0], strict=True))]
        return _tile(self.strides, shapes, height, width)

    def _scale(self, layer: int) -> float:
        steps = len(self.strides) - 1
        if steps == 0:
            return (self.min_scale + self.max_scale) / 2
        return self.min_scale + (self.max_scale - self.min_scale) * layer / steps

    def _shapes(self, layer: int, scale: float, following: float) -> list[tuple[float, float]]:
        """(height, width) of the anchors of one cell."""
        if layer == 0 and self.reduce_lowest:
            specs = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            specs = [(scale, ratio) for ratio in self.aspect_ratios]
            if self.interpolated_ratio:
                specs.append((math.sqrt(scale * following), self.interpolated_ratio))
        return [(size / math.sqrt(ratio), size * math.sqrt(ratio)) for size, ratio in specs]


class BlazeFaceAnchors(msgspec.Struct, frozen=True, kw_only=True, tag="blazeface", tag_field="recipe",
                       forbid_unknown_fields=True):
    """BlazeFace (Bazarevsky et al. 2019): ``per_cell`` anchors of size 1 at each cell for each stride (1 in its full-range
    model); layers of equal stride that follow each other share their cells. Boxes are encoded as x, y, w, h in pixels of the
    input, sizes not exponential."""

    strides: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1)] = (8, 16, 16, 16)
    per_cell: Count = 2
    exponential: ClassVar[bool] = False
    order: ClassVar[list[int]] = [1, 0, 3, 2]  # where y, x, h, w stand in an encoded box

    def factors(self, height: int, width: int) -> tuple[float, float, float, float]:
        """What encoded y, x, h, w are divided by: they are pixels."""
        return (height, width, height, width)

    def anchors(self, height: int, width: int) -> Array:
        """(anchors, 4) float64: centre y, centre x, height, width in fractions of the input."""
        return _tile(self.strides, [[(1.0, 1.0)] * self.per_cell] * len(self.strides), height, width)


def _tile(strides: Sequence[int], shapes: Sequence[Sequence[tuple[float, float]]], height: int, width: int) -> Array:
    """Every shape at the centre of every cell, cells row by row, consecutive layers of one stride together."""
    maps, layer = [], 0
    while layer < len(strides):
        stride, here = strides[layer], list[tuple[float, float]]()
        while layer < len(strides) and strides[layer] == stride:
            here += shapes[layer]
            layer += 1
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        y, x, shape = np.mgrid[:rows, :columns, : len(here)].reshape(3, -1)
        maps.append(np.column_stack(((y + 0.5) / rows, (x + 0.5) / columns, np.array(here)[shape])))
    return np.concatenate(maps)
