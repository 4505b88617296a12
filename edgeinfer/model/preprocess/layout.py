"""Where a source picture lies in the model's picture. Whole numbers only, so that it is the same on every device."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.preprocess.spec import ImageSpec

__all__ = ["Placement", "Rect", "place"]

LARGEST_FACTOR = 8  # INTER_AREA gave the same bytes on all platforms measured for factors 2 to 8


class Rect(NamedTuple):
    """Pixels: left, top, width, height."""

    x: int
    y: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.x, self.x + self.width)

    def centred(self, width: int, height: int) -> Rect:
        """A smaller rectangle in the middle of this one; an odd pixel left over goes to the right and the bottom."""
        return Rect(self.x + (self.width - width) // 2, self.y + (self.height - height) // 2, width, height)

    def fit(self, width: int, height: int) -> Rect:
        """The largest rectangle of aspect ``width : height`` inside, centred; sides are rounded half up, at least 1."""
        if width * self.height >= height * self.width:
            return self.centred(self.width, max(1, (2 * height * self.width + width) // (2 * width)))
        return self.centred(max(1, (2 * width * self.height + height) // (2 * height)), self.height)


class Placement(msgspec.Struct, frozen=True):
    """``source`` of the frame is reduced by whole factors, then resized to ``target`` of the model's picture."""

    source: Rect
    factor_x: int
    factor_y: int
    target: Rect
    geometry: Geometry

    @property
    def reduced(self) -> tuple[int, int]:
        """Height and width after the whole factors."""
        return self.source.height // self.factor_y, self.source.width // self.factor_x


def place(height: int, width: int, spec: ImageSpec) -> Placement:
    """The placement of a frame of ``height`` x ``width``.

    Where both axes shrink by 2 or more, each is reduced by its own whole factor first (the whole part of the quotient, at
    most 8), so that no pixel is skipped. The source is trimmed to a multiple of the factors for that, centred; the geometry
    counts the pixels that go (at most 7 of a side).
    """
    source, target = Rect(0, 0, width, height), Rect(0, 0, spec.width, spec.height)
    if spec.resize == "letterbox":
        target = target.fit(width, height)
    elif spec.resize == "crop":
        source = source.fit(spec.width, spec.height)
    factor_x = min(source.width // target.width, LARGEST_FACTOR)
    factor_y = min(source.height // target.height, LARGEST_FACTOR)
    if min(factor_x, factor_y) < 2:
        factor_x = factor_y = 1
    source = source.centred(source.width - source.width % factor_x, source.height - source.height % factor_y)
    return Placement(source, factor_x, factor_y, target, _geometry(height, width, source, target, spec))


def _geometry(height: int, width: int, source: Rect, target: Rect, spec: ImageSpec) -> Geometry:
    """Edges lie on edges (OpenCV puts pixel centres at half coordinates): x = source.x + (input x - target.x) * step."""
    step_x, step_y = source.width / target.width, source.height / target.height
    return Geometry(scale_x=step_x * spec.width / width, scale_y=step_y * spec.height / height,
                    offset_x=(source.x - target.x * step_x) / width, offset_y=(source.y - target.y * step_y) / height,
                    input_height=spec.height, input_width=spec.width)
