"""One frame format to the model's picture: uint8 to uint8, in operations that give the same bytes everywhere.

Order: YUV to colour at the source's size (its chroma is subsampled), crop, reduce, resize, and colour to colour last, on the
small picture. Sources of the operations' exactness: OpenCV's INTER_LINEAR_EXACT is fixed point by contract; INTER_AREA by a
whole factor is an integer sum, scaled once; the colour conversions of uint8 are fixed point.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import FrameFormat
from edgeinfer.model.preprocess.layout import Placement, Rect, place
from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.tensor import Array

__all__ = ["Plan", "Scratch"]

Step = Callable[[Array, Array], object]  # reads the first, fills the second

FROM_YUV = {
    ("YUYV", "RGB"): cv2.COLOR_YUV2RGB_YUYV, ("YUYV", "BGR"): cv2.COLOR_YUV2BGR_YUYV,
    ("NV12", "RGB"): cv2.COLOR_YUV2RGB_NV12, ("NV12", "BGR"): cv2.COLOR_YUV2BGR_NV12,
    ("I420", "RGB"): cv2.COLOR_YUV2RGB_I420, ("I420", "BGR"): cv2.COLOR_YUV2BGR_I420,
}
TO_COLOUR = {
    ("RGB", "BGR"): cv2.COLOR_RGB2BGR, ("BGR", "RGB"): cv2.COLOR_BGR2RGB,
    ("RGB", "GREY"): cv2.COLOR_RGB2GRAY, ("BGR", "GREY"): cv2.COLOR_BGR2GRAY,
    ("GREY", "RGB"): cv2.COLOR_GRAY2RGB, ("GREY", "BGR"): cv2.COLOR_GRAY2BGR,
}
YUV = ("YUYV", "NV12", "I420")


class Scratch:
    """Memory between the steps, shared by the plans of all formats and fixed when the first is made.

    It serves every picture of at most as many pixels as ``format``: what is reduced has at most a quarter of them.
    """

    def __init__(self, spec: ImageSpec, format: FrameFormat) -> None:
        _check(format)
        channels = 1 if format.pixel_format == "GREY" else 3
        pixels = format.height * format.width
        self._largest = f"at most {format.width}x{format.height} pixels of {format.pixel_format}"
        yuv = format.pixel_format in YUV
        recoloured = spec.colour == "GREY" if yuv else format.pixel_format != spec.colour
        sizes = {"full": 3 * pixels if yuv else 0, "reduced": channels * (pixels // 4),
                 "resized": channels * spec.height * spec.width if recoloured else 0}
        self._regions = {name: np.empty(size, np.uint8) for name, size in sizes.items()}
        self.nbytes = sum(sizes.values())

    def take(self, region: str, shape: tuple[int, ...]) -> Array:
        """That region as an array. Raises SourceError when it is too small."""
        size = int(np.prod(shape, dtype=np.int64))
        if size > self._regions[region].size:
            raise SourceError("source", self._largest, f"a picture that needs {size} bytes to be {region}",
                              "let the source state its largest picture, in one pixel format")
        return self._regions[region][:size].reshape(shape)


class Plan:
    """The steps for frames of one format."""

    def __init__(self, spec: ImageSpec, format: FrameFormat, scratch: Scratch) -> None:
        _check(format)
        placement = place(format.height, format.width, spec)
        self.format = format
        self.geometry = placement.geometry
        self._source = (placement.source.rows, placement.source.columns)
        whole = placement.target == Rect(0, 0, spec.width, spec.height)
        self._target = None if whole else (placement.target.rows, placement.target.columns)
        colour: str = format.pixel_format
        self._convert: tuple[int, Array] | None = None
        if colour in YUV:
            colour = "BGR" if spec.colour == "BGR" else "RGB"
            self._convert = FROM_YUV[format.pixel_format, colour], scratch.take("full", (format.height, format.width, 3))
        self._steps, self._last = _chain(placement, colour, spec.colour, scratch)

    def draw(self, view: Array, canvas: Array) -> None:
        """Fill ``canvas`` (the model's picture, uint8), but for the pad around a letterboxed one, from a frame's view."""
        if self._convert is not None:
            code, full = self._convert
            cv2.cvtColor(view, code, full)
            view = full
        picture = view[self._source]
        for step, into in self._steps:
            step(picture, into)
            picture = into
        self._last(picture, canvas if self._target is None else canvas[self._target])


def _chain(placement: Placement, colour: str, wanted: str, scratch: Scratch) -> tuple[list[tuple[Step, Array]], Step]:
    """Reduce, resize and recolour, each where it is needed: all but the last with what they fill, and the last."""
    tail = () if colour == "GREY" else (3,)
    size = (placement.target.height, placement.target.width)
    chain: list[tuple[Step, str, tuple[int, ...]]] = []
    if placement.factor_x > 1:
        chain.append((_resize(placement.reduced, cv2.INTER_AREA), "reduced", placement.reduced + tail))
    if placement.reduced != size:
        chain.append((_resize(size, cv2.INTER_LINEAR_EXACT), "resized", size + tail))
    if colour != wanted:
        code = TO_COLOUR[colour, wanted]
        chain.append((lambda source, into: cv2.cvtColor(source, code, into), "", ()))
    if not chain:
        return [], lambda source, into: np.copyto(into, source)
    return [(step, scratch.take(region, shape)) for step, region, shape in chain[:-1]], chain[-1][0]


def _resize(size: tuple[int, int], interpolation: int) -> Step:
    height, width = size
    return lambda source, into: cv2.resize(source, (width, height), into, 0, 0, interpolation)


def _check(format: FrameFormat) -> None:
    """Raises SourceError where the sides are not those of a picture of that pixel format."""
    even_width = format.pixel_format in YUV
    even_height = even_width and format.pixel_format != "YUYV"
    got = f"{format.width}x{format.height}"
    if min(format.height, format.width) < 1:
        raise SourceError("source", "a picture of at least 1x1 pixels", got)
    if (even_width and format.width % 2) or (even_height and format.height % 2):
        sides = "an even width and height" if even_height else "an even width"
        raise SourceError("source", f"{sides} ({format.pixel_format} shares its chroma between neighbours)", got,
                          f"ask the camera for {format.width - format.width % 2}x{format.height - format.height % 2}")
