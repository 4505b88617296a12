"""How a frame lies in the model's input: the affine map that takes boxes back to the source."""

from __future__ import annotations

import msgspec

__all__ = ["Geometry"]


class Geometry(msgspec.Struct, frozen=True):
    """source fraction = offset + scale * input fraction, per axis; both fractions are 0..1 of the whole picture.

    Stretch is (1, 1, 0, 0); letterbox scales by more than 1 with a negative offset, centre crop by less than 1 with a
    positive one. ``input_height`` and ``input_width`` are the model's, in pixels, for decoders whose boxes are in pixels.
    """

    scale_x: float = 1.0
    scale_y: float = 1.0
    offset_x: float = 0.0
    offset_y: float = 0.0
    input_height: int = 1
    input_width: int = 1

    def x(self, fraction: float) -> float:
        """Source fraction of an input fraction, kept inside the picture."""
        return min(max(self.offset_x + self.scale_x * fraction, 0.0), 1.0)

    def y(self, fraction: float) -> float:
        """Source fraction of an input fraction, kept inside the picture."""
        return min(max(self.offset_y + self.scale_y * fraction, 0.0), 1.0)
