"""Replay of a framelog: what a source once delivered, frame by frame or sample by sample."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, overload

import msgspec
import numpy as np

from edgeinfer.errors import DataError, SourceError
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.framelog import FrameLogReader
from edgeinfer.model.tensor import Array
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.pacing import Pace

__all__ = ["FrameLogReplay"]

_LONGEST_GAP_S = 60.0  # longer ones lie between two recordings, not within one


class FrameLogOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which file, and how fast."""

    path: str
    pace: Literal["realtime", "fast"] = "realtime"  # as it was recorded, or as fast as the reader
    loop: bool = False

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("expected path to name a framelog, got an empty one")


class FrameLogReplay:
    """Frames, or samples, as the file says. ``monotonic_ns`` of a frame is the present, so that latency can be measured;
    ``wall_ns`` is the recorded one: when the picture was taken.

    A damaged record is a SourceError that names it; the next read, or the next ``open``, goes on behind it. Records of samples
    whose numbers do not follow each other have a gap between them.
    """

    Options = FrameLogOptions

    def __init__(self, options: FrameLogOptions) -> None:
        self.live = options.pace == "realtime"
        self.gaps = 0
        self._options = options
        self._pace = Pace()
        self._reader: FrameLogReader | None = None
        self._next = 0
        self._failed = False
        self._last_ns = 0
        self._chunk: Frame | None = None  # of samples: the record at hand
        self._taken = 0  # rows of it that were delivered

    @property
    def yields(self) -> Literal["frames", "samples"]:
        """Read from the file. Raises SourceError."""
        return "samples" if isinstance(self.format(), SampleFormat) else "frames"

    def format(self) -> FrameFormat | SampleFormat:
        """From the file's header. Raises SourceError when it is no framelog."""
        with self._read() as reader:
            if isinstance(reader.format, WindowFormat):
                return SampleFormat(reader.format.channels, reader.rate)
            return reader.format

    def _read(self) -> FrameLogReader:
        try:
            return FrameLogReader(Path(self._options.path))
        except DataError as error:
            raise SourceError.of(error.faults) from error

    def open(self) -> None:
        """Raises SourceError when it is no framelog."""
        self.close()
        self._reader = self._read()
        if not self._failed:
            self._next = 0
        self._failed = False
        self._chunk = Frame(self._reader.format) if isinstance(self._reader.format, WindowFormat) else None
        self._taken = self._reader.format.length if isinstance(self._reader.format, WindowFormat) else 0
        self._pace.start()

    @overload
    def read_into(self, target: Frame) -> bool: ...
    @overload
    def read_into(self, target: Array) -> int: ...
    def read_into(self, target: Frame | Array) -> bool | int:
        """A frame (False at the end), or float32 samples (n, channels) (how many; 0 at the end). Raises SourceError."""
        return self._record(target) if isinstance(target, Frame) else self._samples(target)

    def _samples(self, samples: Array) -> int:
        assert self._chunk is not None
        assert self._reader is not None
        done = 0
        while done < len(samples):
            rows = self._chunk.view[self._taken : self._taken + len(samples) - done]
            np.copyto(samples[done : done + len(rows)], rows)
            done += len(rows)
            self._taken += len(rows)
            if done < len(samples):
                before = self._chunk.sequence
                first = self._next in (0, len(self._reader))  # also of another round
                if not self._record(self._chunk):
                    break
                self._taken = 0
                if not first and self._chunk.sequence > before + 1:
                    self.gaps += 1
                    break
        return done

    def _record(self, frame: Frame) -> bool:
        """The next record, at its time; False at the end, or when interrupted."""
        reader = self._reader
        assert reader is not None
        if self._next >= len(reader):
            if not self._options.loop or len(reader) == 0:
                return False
            self._next = 0
        self._failed = True
        index, self._next = self._next, self._next + 1
        try:
            reader.read_into(index, frame)
        except DataError as error:
            raise SourceError.of(error.faults) from error
        self._failed = False
        gap_s = (frame.monotonic_ns - self._last_ns) / 1e9 if index and self.live else 0.0
        self._last_ns = frame.monotonic_ns
        frame.monotonic_ns = time.monotonic_ns()
        return self._pace.wait(gap_s if 0 < gap_s <= _LONGEST_GAP_S else 0.0)

    def interrupt(self) -> None:
        self._pace.interrupt()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
