"""Frames and windows: a view of memory that a ring owns, and when it was captured."""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["Frame", "FrameFormat", "PixelFormat", "WindowFormat"]

PixelFormat = Literal["RGB", "BGR", "GREY", "YUYV", "NV12", "I420"]


class FrameFormat(msgspec.Struct, frozen=True):
    """What a source of pictures delivers. Names are V4L2's; all are uint8.

    Array shapes: RGB and BGR (height, width, 3); GREY (height, width); YUYV (height, width, 2);
    NV12 and I420 (height * 3 // 2, width), both sides even.
    """

    pixel_format: PixelFormat
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        match self.pixel_format:
            case "RGB" | "BGR":
                return (self.height, self.width, 3)
            case "GREY":
                return (self.height, self.width)
            case "YUYV":
                return (self.height, self.width, 2)
            case _:
                return (self.height * 3 // 2, self.width)

    @property
    def dtype(self) -> str:
        return "uint8"

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape)  # of Python: a size that lies does not wrap around


class WindowFormat(msgspec.Struct, frozen=True):
    """What a windowed sensor delivers: float32 of shape (length, channels), in the sensor's units, oldest sample first."""

    length: int
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length, self.channels)

    @property
    def dtype(self) -> str:
        return "float32"

    @property
    def nbytes(self) -> int:
        return 4 * self.length * self.channels


class Frame:
    """A picture or a window in a slot of a ring. The slot is written anew later: whoever keeps pixels copies them.

    ``format`` may be smaller than the slot (a source of pictures of several sizes); ``view`` always has its shape.
    ``sequence`` counts what the source captured, from 0. ``monotonic_ns`` is CLOCK_MONOTONIC at capture and is what
    latency is measured from; ``wall_ns`` is CLOCK_REALTIME at capture and is only ever published.

    ``position`` of a window is where its first sample stands in the sensor's stream, so that windows that overlap are known
    to; -1: nowhere. ``breaks`` counts how often the stream was broken off before (a gap, a source opened anew): frames with
    another number have no common past.
    """

    __slots__ = ("breaks", "format", "memory", "monotonic_ns", "position", "sequence", "view", "wall_ns")

    def __init__(self, format: FrameFormat | WindowFormat) -> None:
        self.memory = np.zeros(format.nbytes, np.uint8)
        self.format: FrameFormat | WindowFormat = format
        self.view: Array = self.memory.view(format.dtype).reshape(format.shape)
        self.sequence = 0
        self.position = -1
        self.breaks = 0
        self.monotonic_ns = 0
        self.wall_ns = 0

    def reshape(self, format: FrameFormat) -> None:
        """Let the view take another size of picture, within the slot's memory. Raises ValueError where it does not fit."""
        if format != self.format:
            self.view = self.memory[: format.nbytes].reshape(format.shape)
            self.format = format
