"""A part of a frame through a second model's own preprocessing: the same arithmetic as for a whole picture.

Upright crops are cut in the source's own pixel format, byte for byte; turned ones are drawn by OpenCV's warpAffine.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np

from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.preprocess import Preprocess
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Detections, Result
from edgeinfer.model.tensor import Array

__all__ = ["Aim", "Crop", "turned_format"]

_YUV = ("YUYV", "NV12", "I420")


class Aim(NamedTuple):
    """Pixels of the frame: centre, sides, and by how much it is turned (radians, clockwise)."""

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0


class Crop:
    """A Preprocess (see the protocol) of what ``aim`` points at. Memory for the largest crop is allocated here."""

    def __init__(self, inner: Preprocess, format: FrameFormat, turns: bool) -> None:
        """``inner`` was built for ``format``, or for ``turned_format(format)`` where crops are turned."""
        self.geometry: Geometry = inner.geometry
        self._inner = inner
        self._format = format
        self._cut = Frame(format)
        self._turned = Frame(turned_format(format)) if turns else None
        self._colours = np.empty((format.height, format.width, 3) if turns and format.pixel_format in _YUV else 0, np.uint8)
        self._aim = Aim(format.width / 2, format.height / 2, format.width, format.height)
        self.nbytes = inner.nbytes + self._cut.memory.nbytes + self._colours.nbytes
        self.nbytes += self._turned.memory.nbytes if self._turned is not None else 0

    def aim(self, aim: Aim) -> None:
        """What the next frames are cut to; kept within the frame, and of even sides and corners where chroma is shared."""
        self._aim = aim

    def run(self, frame: Frame, out: Array) -> None:
        self._inner.run(self._draw(frame), out)
        self._place(frame)

    def reals(self, frame: Frame) -> Array:
        made = self._inner.reals(self._draw(frame))
        self._place(frame)
        return made

    def _draw(self, frame: Frame) -> Frame:
        format = frame.format
        if not isinstance(format, FrameFormat):
            raise RuntimeError(f"a crop of a {type(format).__name__}")
        if self._turned is not None:
            return self._turn(frame, format, self._turned)
        left, top, width, height = self._rect = _within(self._aim, format)
        self._cut.reshape(FrameFormat(format.pixel_format, height, width))
        _copy(frame.view, format, self._cut.view, left, top)
        return self._cut

    def _turn(self, frame: Frame, format: FrameFormat, into: Frame) -> Frame:
        """A square around the centre, upright as the aim has it; beyond the frame its edge is repeated."""
        import cv2

        side = max(2, min(round(max(self._aim.width, self._aim.height)), format.height, format.width))
        reach = side * (abs(math.cos(self._aim.angle)) + abs(math.sin(self._aim.angle)))
        left, top, width, height = _within(self._aim._replace(width=reach + 2, height=reach + 2), format)
        view = frame.view[top : top + height, left : left + width]
        if format.pixel_format in _YUV:
            self._cut.reshape(FrameFormat(format.pixel_format, height, width))
            _copy(frame.view, format, self._cut.view, left, top)
            view = self._colours.reshape(-1)[: height * width * 3].reshape(height, width, 3)
            cv2.cvtColor(self._cut.view, _code(format.pixel_format), view)
        into.reshape(FrameFormat(turned_format(format).pixel_format, side, side))
        cos, sin, half = math.cos(self._aim.angle), math.sin(self._aim.angle), (side - 1) / 2
        x, y = self._aim.x - 0.5 - left, self._aim.y - 0.5 - top  # of the centre, among pixel centres
        back = np.array([[cos, -sin, x - half * (cos - sin)], [sin, cos, y - half * (sin + cos)]])
        cv2.warpAffine(view, back, (side, side), into.view, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE)
        self._rect = left, top, side, side
        return into

    def _place(self, frame: Frame) -> None:
        """The crop's geometry, taken back to the frame; a turned one's stays the crop's (see ``turn_back``)."""
        inner, format = self._inner.geometry, frame.format
        if self._turned is not None or not isinstance(format, FrameFormat):
            self.geometry = inner
            return
        left, top, width, height = self._rect
        across, down = width / format.width, height / format.height
        self.geometry = msgspec.structs.replace(
            inner, scale_x=inner.scale_x * across, scale_y=inner.scale_y * down,
            offset_x=left / format.width + inner.offset_x * across, offset_y=top / format.height + inner.offset_y * down)

    def turn_back(self, result: Result, format: FrameFormat) -> None:
        """Points and boxes of a turned crop, in place, to fractions of the frame; a box becomes the one around it."""
        if self._turned is None or not isinstance(result, Detections):
            return
        for box in result.rows[: result.count]:
            self._turn_box(box, format)
            for point in box.keypoints:
                point.x, point.y = self._back(point.x, point.y, format)

    def _turn_box(self, box: Box, format: FrameFormat) -> None:
        corners = [self._back(x, y, format) for x in (box.left, box.right) for y in (box.top, box.bottom)]
        box.left, box.right = min(x for x, _ in corners), max(x for x, _ in corners)
        box.top, box.bottom = min(y for _, y in corners), max(y for _, y in corners)

    def _back(self, x: float, y: float, format: FrameFormat) -> tuple[float, float]:
        side, cos, sin = self._rect[2], math.cos(self._aim.angle), math.sin(self._aim.angle)
        right, down = side * (x - 0.5), side * (y - 0.5)
        return (_part((self._aim.x + right * cos - down * sin) / format.width),
                _part((self._aim.y + right * sin + down * cos) / format.height))


def turned_format(format: FrameFormat) -> FrameFormat:
    """What turned crops of such frames are: squares, in colour where the frame's pixels cannot be turned."""
    side = min(format.height, format.width)
    return FrameFormat("RGB" if format.pixel_format in _YUV else format.pixel_format, side, side)


def _part(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _within(aim: Aim, format: FrameFormat) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the aim without its angle, moved and if need be shrunk into the frame; whole pixels."""
    step_x = 2 if format.pixel_format in _YUV else 1
    step_y = 2 if format.pixel_format in ("NV12", "I420") else 1
    left, width = _span(aim.x, aim.width, format.width, step_x)
    top, height = _span(aim.y, aim.height, format.height, step_y)
    return left, top, width, height


def _span(centre: float, length: float, whole: int, step: int) -> tuple[int, int]:
    size = min(max(step * round(length / step), step), whole)
    return min(max(step * round((centre - size / 2) / step), 0), whole - size), size


def _copy(view: Array, format: FrameFormat, into: Array, left: int, top: int) -> None:
    """A rectangle of a frame in its own pixel format; ``into`` has the crop's shape."""
    width = into.shape[1]
    if format.pixel_format not in ("NV12", "I420"):
        np.copyto(into, view[top : top + into.shape[0], left : left + width])
        return
    height = into.shape[0] * 2 // 3
    np.copyto(into[:height], view[top : top + height, left : left + width])
    if format.pixel_format == "NV12":
        first = format.height + top // 2
        np.copyto(into[height:], view[first : first + height // 2, left : left + width])
        return
    size, crop = format.height * format.width, height * width
    flat, made = view.reshape(-1), into.reshape(-1)
    for plane in range(2):
        chroma = flat[size + plane * size // 4 :][: size // 4].reshape(format.height // 2, format.width // 2)
        np.copyto(made[crop + plane * crop // 4 :][: crop // 4].reshape(height // 2, width // 2),
                  chroma[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2])


def _code(pixel_format: str) -> int:
    import cv2

    return {"YUYV": cv2.COLOR_YUV2RGB_YUYV, "NV12": cv2.COLOR_YUV2RGB_NV12, "I420": cv2.COLOR_YUV2RGB_I420}[pixel_format]
