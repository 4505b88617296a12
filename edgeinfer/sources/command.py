"""Raw frames or samples from the stdout of a program: rpicam-vid, ffmpeg, gst-launch-1.0, arecord, …"""

from __future__ import annotations

import math
import shlex
import threading
import time
from typing import Literal, overload

import msgspec
import numpy as np

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame, FrameFormat, PixelFormat
from edgeinfer.model.tensor import Array
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.child import Child, masked

__all__ = ["Command"]

# name (FFmpeg's, and arecord's in lower case): numpy's dtype, the zero of the scale, its full scale
_DTYPES = {
    "s8": ("<i1", 0, 2**7), "u8": ("<u1", 2**7, 2**7), "s16le": ("<i2", 0, 2**15), "s16be": (">i2", 0, 2**15),
    "u16le": ("<u2", 2**15, 2**15), "s32le": ("<i4", 0, 2**31), "s32be": (">i4", 0, 2**31),
    "f32le": ("<f4", 0, 1), "f32be": (">f4", 0, 1), "f64le": ("<f8", 0, 1), "f64be": (">f8", 0, 1),
}
_SCRATCH_BYTES = 64 * 1024


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames when ``width`` and ``height`` are given, samples when ``dtype`` is."""

    command: str | tuple[str, ...]  # a list of arguments, or a line split as a shell splits it; never run by a shell
    width: int = 0  # pixels
    height: int = 0  # pixels
    pixel_format: PixelFormat = "BGR"
    dtype: Literal["", "s8", "u8", "s16le", "s16be", "u16le", "s32le", "s32be", "f32le", "f32be", "f64le", "f64be"] = ""
    channels: int = 1
    rate: float = 0.0  # samples a second; 0: not stated
    normalise: bool = True  # integer samples become -1..1 of full scale, as audio has it; false keeps a sensor's counts
    live: bool = True  # false: the command ends by itself, and no frame is skipped
    timeout_s: float = 10.0  # seconds without a byte until the command counts as dead

    def __post_init__(self) -> None:
        try:
            argv = self.argv
        except ValueError as error:  # shlex: "No closing quotation"
            raise ValueError(f"expected command to be a line that splits into arguments, got {error}") from error
        if not argv or not argv[0]:
            raise ValueError("expected command to name a program, got an empty one")
        if bool(self.dtype) == bool(self.width or self.height):
            raise ValueError("expected either width and height (frames) or dtype (samples), got "
                             f"{'both' if self.dtype else 'neither'}")
        if not self.dtype and (self.width < 1 or self.height < 1):
            raise ValueError(f"expected width and height above 0, got {self.width}x{self.height}")
        if self.pixel_format in ("NV12", "I420", "YUYV") and (self.width % 2 or self.height % 2):
            raise ValueError(f"expected an even width and height for {self.pixel_format}, got {self.width}x{self.height}")
        if not 1 <= self.channels <= 1024:
            raise ValueError(f"expected channels from 1 to 1024, got {self.channels}")
        if not 0 <= self.rate < math.inf:
            raise ValueError(f"expected rate of 0 or more, got {self.rate}")
        if not 0 < self.timeout_s <= 86400:
            raise ValueError(f"expected timeout_s above 0 and up to 86400, got {self.timeout_s}")

    @property
    def argv(self) -> tuple[str, ...]:
        return tuple(shlex.split(self.command)) if isinstance(self.command, str) else self.command


class Command:
    """Frames are read straight into the slot, samples through 64 KiB of scratch into float32.

    A live command never ends: its death is a SourceError with its exit code and its last words, and the capture loop starts
    it anew. One with ``live: false`` ends the stream by exiting with 0.
    """

    Options = CommandOptions

    def __init__(self, options: CommandOptions) -> None:
        self.live = options.live
        self.yields: Literal["frames", "samples"] = "samples" if options.dtype else "frames"
        self._options = options
        self._name = options.argv[0]
        self._interrupted = threading.Event()
        self._child: Child | None = None
        self._over = False
        dtype, self._zero, self._scale = _DTYPES[options.dtype or "u8"]
        if not options.normalise:
            self._zero, self._scale = 0, 1
        self._frame_bytes = 0 if options.dtype else FrameFormat(options.pixel_format, options.height, options.width).nbytes
        self._sample_bytes = options.channels * np.dtype(dtype).itemsize
        samples = _SCRATCH_BYTES // self._sample_bytes if options.dtype else 0
        self._scratch: Array = np.zeros((samples, options.channels), dtype)

    def format(self) -> FrameFormat | SampleFormat:
        """As the options state it."""
        options = self._options
        if options.dtype:
            return SampleFormat(options.channels, options.rate)
        return FrameFormat(options.pixel_format, options.height, options.width)

    def open(self) -> None:
        """Start the command. Raises SourceError when there is no such program."""
        self.close()
        self._interrupted.clear()
        self._over = False
        options = self._options
        self._child = Child(options.argv, self._frame_bytes or _SCRATCH_BYTES, options.timeout_s, self._interrupted)

    @overload
    def read_into(self, target: Frame) -> bool: ...
    @overload
    def read_into(self, target: Array) -> int: ...
    def read_into(self, target: Frame | Array) -> bool | int:
        """A frame (False at the end), or float32 samples (n, channels) (how many; 0 at the end). Raises SourceError."""
        if self._over:
            return False
        return self._frame(target) if isinstance(target, Frame) else self._samples(target)

    def _frame(self, frame: Frame) -> bool:
        got = self._fill(frame.memory.data)
        if got < self._frame_bytes:
            self._check_end(got, self._frame_bytes)
            return False
        frame.monotonic_ns = time.monotonic_ns()
        frame.wall_ns = time.time_ns()
        return True

    def _samples(self, samples: Array) -> int:
        done = 0
        while done < len(samples):
            wanted = min(len(samples) - done, len(self._scratch))
            scratch = self._scratch[:wanted]
            got = self._fill(scratch.reshape(-1).view(np.uint8).data)
            count = got // self._sample_bytes
            self._convert(scratch[:count], samples[done : done + count])
            done += count
            if count < wanted:
                self._check_end(got % self._sample_bytes, self._sample_bytes)
                break
        return done

    def _convert(self, raw: Array, samples: Array) -> None:
        """sample = (raw - zero) / full scale"""
        np.subtract(raw, self._zero, out=samples, casting="unsafe", dtype=np.float64)
        if self._scale != 1:
            samples /= np.float32(self._scale)  # a power of two: exact

    def _fill(self, target: memoryview) -> int:
        assert self._child is not None
        try:
            return self._child.fill(target)
        except SourceError:
            self._over = True  # a replay reads on, and finds the end
            raise

    def _check_end(self, left: int, unit: int) -> None:
        """The stream is over: was it meant to be? Raises SourceError where not. ``left`` bytes of a ``unit`` came last."""
        assert self._child is not None
        self._over = True
        if self._interrupted.is_set():
            return
        code, words = self._child.death()
        if code != 0:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise SourceError(self._name, "a command that goes on", f"its end with {how}{words}",
                              masked(shlex.join(self._options.argv)))
        if self._options.live:
            raise SourceError(self._name, "a command that goes on", f"its end with exit code 0{words}",
                              "live: false is for a command that ends by itself")
        if left:
            raise SourceError(self._name, f"a stream of whole units of {unit} bytes", f"{left} bytes at its end",
                              "check width, height and pixel_format, or dtype and channels, against the command's")

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        """End the command and all that it started."""
        if self._child is not None:
            self._child.close()
            self._child = None
