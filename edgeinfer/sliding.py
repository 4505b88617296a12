"""Windows that slide over a stream of samples: a sensor becomes a source of frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

import numpy as np

from edgeinfer.errors import ConfigError, SourceError
from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.model.preprocess.resampling import MOST, Resampler, ratio
from edgeinfer.model.preprocess.spec import PreprocessSpec, WindowSpec
from edgeinfer.model.tensor import Array
from edgeinfer.requests import Desk
from edgeinfer.rows import RowSamples
from edgeinfer.sources import FrameSource, RowSource, SampleSource

__all__ = ["SlidingWindow", "frame_source"]


def frame_source(source: FrameSource | SampleSource | RowSource, spec: PreprocessSpec, where: str,
                 resample: bool = False, folder: Path | None = None) -> FrameSource:
    """``source`` as a source of what a model takes: frames as they are, samples through a sliding window, rows by its table.

    ``resample``: a sensor of another rate than the model's is resampled, not refused. ``folder``: of the bundle, for a model of
    texts. Raises ConfigError where the one delivers what the other does not take.
    """
    if source.yields == "rows":
        source = _samples(source, spec, where, folder)
    wants = "samples" if isinstance(spec, WindowSpec) else "frames"
    if source.yields != wants:
        raise ConfigError(where, f"a source of {wants}, which the model takes", f"one of {source.yields}")
    if isinstance(spec, WindowSpec):
        return SlidingWindow(cast(SampleSource, source), spec, where, resample)
    return cast(FrameSource, source)


def _samples(source: RowSource, spec: PreprocessSpec, where: str, folder: Path | None) -> SampleSource:
    if not isinstance(spec, WindowSpec):
        raise ConfigError(where, "a source of frames, which the model takes", "one of rows")
    return RowSamples(source, spec, where, folder)


class SlidingWindow:
    """A FrameSource whose frames are the last ``length`` samples, a new one each ``hop`` samples.

    Length, hop, channels and rate are the model's (the manifest's window spec). The stamp is the time of the newest sample.
    Where the source says that samples were lost (``gaps``), fails, or is opened anew, the window begins anew: none has a hole.
    Used by the capture thread; ``counts`` by any.
    """

    def __init__(self, source: SampleSource, spec: WindowSpec, where: str, resample: bool = False) -> None:
        self.live = source.live
        if hasattr(source, "retry_s"):
            self.retry_s: float = source.retry_s
        if hasattr(source, "desk"):
            self.desk: Desk = source.desk
        self.yields: Literal["frames", "samples"] = "frames"
        self.gaps = 0
        self._source = source
        self._spec = spec
        self._where = where
        self._resample = resample
        self._resampler: Resampler | None = None
        self._window = np.zeros((spec.length, spec.channels), np.float32)
        self._skipped = np.zeros((max(spec.hop - spec.length, 0), spec.channels), np.float32)
        self._filled = False
        self._torn = False  # samples were lost behind those that were read last
        self._gaps_of_source = 0
        self._position = 0
        self._breaks = 0
        self._opened = False

    def format(self) -> WindowFormat:
        """Raises SourceError when the sensor's channels or rate are not the model's."""
        sensor, spec = self._source.format(), self._spec
        if sensor.channels != spec.channels:
            raise SourceError(self._where, f"{spec.channels} channels, as the model wants", f"{sensor.channels}",
                              "the source's columns, or channels, say which")
        self._resampler = None
        if spec.rate and sensor.rate and abs(sensor.rate - spec.rate) > 1e-3 * spec.rate:
            self._resampler = self._made_resampler(sensor.rate)
        return WindowFormat(spec.length, spec.channels)

    def _made_resampler(self, rate: float) -> Resampler:
        expected = f"{self._spec.rate:g} samples a second, as the model wants"
        if not self._resample:
            raise SourceError(self._where, expected, f"{rate:g}",
                              "set the sensor's rate, or resample: true in the pipeline; "
                              f"a file: ffmpeg -i IN -ar {self._spec.rate:g} OUT")
        share = ratio(self._spec.rate, rate)
        if share is None:
            raise SourceError(self._where, f"{expected}, or a ratio of numbers up to {MOST} to it", f"{rate:g}",
                              "set the sensor's rate")
        return Resampler(share.numerator, share.denominator, self._spec.channels, self._read)

    @property
    def nbytes(self) -> int:
        return self._window.nbytes + self._skipped.nbytes + (self._resampler.nbytes if self._resampler is not None else 0)

    def counts(self) -> dict[str, int]:
        """For health: gaps, and what the source counts itself."""
        count: Callable[[], dict[str, int]] | None = getattr(self._source, "counts", None)
        return {"gaps": self.gaps, **(count() if count is not None else {})}

    def open(self) -> None:
        """Raises SourceError as the source does, and where its format is no longer one that fits."""
        self.format()
        self._source.open()
        if self._opened:
            self._break()
        self._opened = True
        self._gaps_of_source = getattr(self._source, "gaps", 0)

    def read_into(self, frame: Frame) -> bool:
        """One window; False at the end of the stream (a last, incomplete window is left out)."""
        while not self._advance():
            if not self._torn:  # the end, or interrupted
                return False
            self._break()
        np.copyto(frame.view, self._window)
        frame.position, frame.breaks = self._position, self._breaks
        frame.monotonic_ns = time.monotonic_ns()
        frame.wall_ns = time.time_ns()
        return True

    def _break(self) -> None:
        """What comes now has nothing to do with what came before."""
        self._filled = self._torn = False
        self._position += self._spec.length
        self._breaks += 1
        if self._resampler is not None:
            self._resampler.forget()

    def _advance(self) -> bool:
        hop, window = self._spec.hop, self._window
        if not self._filled or hop >= len(window):
            if self._filled:
                self._position += hop
                if len(self._skipped) and not self._fill(self._skipped):
                    return False
            self._filled = self._fill(window)
            return self._filled
        window[:-hop] = window[hop:]
        self._position += hop
        return self._fill(window[-hop:])

    def _fill(self, samples: Array) -> bool:
        read = self._read if self._resampler is None else self._resampler.read_into
        return read(samples) == len(samples)

    def _read(self, samples: Array) -> int:
        """From the source, up to a gap: what lies behind it is for the next window."""
        if self._torn:
            return 0
        try:
            count = self._source.read_into(samples)
        except SourceError:
            self._break()  # a replay is read on, and what it could not read is a hole
            raise
        gaps: int = getattr(self._source, "gaps", 0)
        if gaps != self._gaps_of_source:
            self.gaps += gaps - self._gaps_of_source
            self._gaps_of_source = gaps
            self._torn = True
        return count

    @property
    def share(self) -> float:
        """How much was read, from 0 to 1; 0 where the source does not know."""
        return getattr(self._source, "share", 0.0)

    def interrupt(self) -> None:
        self._source.interrupt()

    def close(self) -> None:
        self._source.close()
