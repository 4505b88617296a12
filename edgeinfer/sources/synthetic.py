"""Frames or samples made up on the spot, the same ones each time: for benchmarks, tests and a first run."""

from __future__ import annotations

import math
import time
from typing import Literal, overload

import msgspec
import numpy as np

from edgeinfer.model.frame import Frame, FrameFormat, PixelFormat
from edgeinfer.model.tensor import Array
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.pacing import Pace

__all__ = ["Synthetic"]

_PERIOD = 64  # rows that the picture scrolls until it comes again
_TABLE = 4096  # samples until the signal comes again


class SyntheticOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    yields: Literal["frames", "samples"] = "frames"
    width: int = 640  # pixels
    height: int = 480  # pixels
    pixel_format: PixelFormat = "BGR"
    still: bool = False  # only the first 8 bytes of a black frame change: costs next to nothing
    fps: float = 0.0  # frames a second; 0: as fast as the reader, and none is skipped
    channels: int = 1
    rate: float = 0.0  # samples a second; 0: not stated
    pace: Literal["realtime", "fast"] = "realtime"  # at ``fps`` or ``rate`` where it is above 0, or as fast as the reader
    count: int = 0  # frames or samples until the end; 0: endless

    def __post_init__(self) -> None:
        if not (0 < self.width <= 16384 and 0 < self.height <= 16384):
            raise ValueError(f"expected width and height from 1 to 16384, got {self.width}x{self.height}")
        if self.pixel_format in ("NV12", "I420", "YUYV") and (self.width % 2 or self.height % 2):
            raise ValueError(f"expected an even width and height for {self.pixel_format}, got {self.width}x{self.height}")
        if not (0 <= self.fps < math.inf and 0 <= self.rate < math.inf):
            raise ValueError(f"expected fps and rate of 0 or more, got {self.fps} and {self.rate}")
        if not 1 <= self.channels <= 1024:
            raise ValueError(f"expected channels from 1 to 1024, got {self.channels}")
        if self.count < 0:
            raise ValueError(f"expected count of 0 or more, got {self.count}")


class Synthetic:
    """A scrolling gradient with blocks, or sines with a little noise; each determined by its number since ``open``.

    A picture is one copy out of a canvas made at ``open`` (64 rows taller than the frame)."""

    Options = SyntheticOptions

    def __init__(self, options: SyntheticOptions) -> None:
        frequency = options.fps if options.yields == "frames" else options.rate
        self.live = options.pace == "realtime" and frequency > 0
        self.yields: Literal["frames", "samples"] = options.yields
        self._options = options
        self._gap_s = 1 / frequency if self.live else 0.0
        self._last = options.count or 2**63
        self._pace = Pace()
        self._canvas: Array | None = None
        self._next = 0

    def format(self) -> FrameFormat | SampleFormat:
        """As the options state it."""
        options = self._options
        if options.yields == "samples":
            return SampleFormat(options.channels, options.rate)
        return FrameFormat(options.pixel_format, options.height, options.width)

    def open(self) -> None:
        """Begin at number 0."""
        stated = self.format()
        if isinstance(stated, SampleFormat):
            self._canvas = _signal(stated.channels)
        elif not self._options.still:
            self._canvas = _picture(stated.shape)
        self._next = 0
        self._pace.start()

    @overload
    def read_into(self, target: Frame) -> bool: ...
    @overload
    def read_into(self, target: Array) -> int: ...
    def read_into(self, target: Frame | Array) -> bool | int:
        """A frame (False at the end), or float32 samples of shape (n, channels) (how many; 0 at the end, or interrupted)."""
        return self._frame(target) if isinstance(target, Frame) else self._samples(target)

    def _frame(self, frame: Frame) -> bool:
        if self._next >= self._last or not self._pace.wait(self._gap_s):
            return False
        if self._canvas is None:
            number = self._next.to_bytes(8, "little")
            frame.memory.data[:8] = number[: frame.memory.nbytes]
        else:
            top = self._next % _PERIOD
            np.copyto(frame.view, self._canvas[top : top + len(frame.view)])
        self._next += 1
        frame.monotonic_ns = time.monotonic_ns()
        frame.wall_ns = time.time_ns()
        return True

    def _samples(self, samples: Array) -> int:
        assert self._canvas is not None
        count = min(len(samples), self._last - self._next)
        done = 0
        while done < count:
            start = (self._next + done) % _TABLE
            rows = self._canvas[start : start + count - done]
            np.copyto(samples[done : done + len(rows)], rows)
            done += len(rows)
        self._next += done
        return done if self._pace.wait(done * self._gap_s) else 0

    def interrupt(self) -> None:
        self._pace.interrupt()

    def close(self) -> None:
        self._canvas = None


def _picture(shape: tuple[int, ...]) -> Array:
    """Rows of a diagonal gradient with blocks of 16; row r + 64 is row r, so that a frame may start at any of 64."""
    rows, columns = np.arange(shape[0] + _PERIOD) % _PERIOD, np.arange(shape[1])
    grid = 4 * rows[:, None] + columns[None, :]
    grid = grid + 97 * ((rows[:, None] // 16 + columns[None, :] // 16) % 2)
    if len(shape) == 3:
        grid = grid[:, :, None] + 40 * np.arange(shape[2])
    return (grid % 256).astype(np.uint8)


def _signal(channels: int) -> Array:
    """float32 (4096, channels): channel c is a sine of 64 (c + 1) periods, amplitude 1, with noise of at most 0.05."""
    index, channel = np.arange(_TABLE)[:, None], np.arange(channels)[None, :]
    sine = np.sin(2 * np.pi * 64 * (channel + 1) * index / _TABLE)
    noise = ((index * channels + channel + 1) * 2654435761 % 2**32) / 2**32 - 0.5  # Knuth's multiplicative hash
    return (sine + 0.1 * noise).astype(np.float32)
