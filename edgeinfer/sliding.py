"""Windows that slide over a stream of samples: a sensor becomes a source of frames."""

from __future__ import annotations

import time
from typing import Literal, cast

import numpy as np

from edgeinfer.errors import ConfigError, SourceError
from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.model.preprocess.spec import PreprocessSpec, WindowSpec
from edgeinfer.model.tensor import Array
from edgeinfer.sources import FrameSource, SampleSource

__all__ = ["SlidingWindow", "frame_source"]


def frame_source(source: FrameSource | SampleSource, spec: PreprocessSpec, where: str) -> FrameSource:
    """``source`` as a source of what a model takes: frames as they are, samples through a sliding window.

    Raises ConfigError where the one delivers what the other does not take.
    """
    wants = "samples" if isinstance(spec, WindowSpec) else "frames"
    if source.yields != wants:
        raise ConfigError(where, f"a source of {wants}, which the model takes", f"one of {source.yields}")
    if isinstance(spec, WindowSpec):
        return SlidingWindow(cast(SampleSource, source), spec, where)
    return cast(FrameSource, source)


class SlidingWindow:
    """A FrameSource whose frames are the last ``length`` samples, a new one each ``hop`` samples.

    Length, hop, channels and rate are the model's (the manifest's window spec). The stamp is the time of the newest sample.
    Used by the capture thread.
    """

    def __init__(self, source: SampleSource, spec: WindowSpec, where: str) -> None:
        self.live = source.live
        self.yields: Literal["frames", "samples"] = "frames"
        self._source = source
        self._spec = spec
        self._where = where
        self._window = np.zeros((spec.length, spec.channels), np.float32)
        self._skipped = np.zeros((max(spec.hop - spec.length, 0), spec.channels), np.float32)
        self._filled = False

    def format(self) -> WindowFormat:
        """Raises SourceError when the sensor's channels or rate are not the model's."""
        sensor = self._source.format()
        if sensor.channels != self._spec.channels:
            raise SourceError(self._where, f"{self._spec.channels} channels, as the model wants", f"{sensor.channels}")
        if self._spec.rate and sensor.rate and abs(sensor.rate - self._spec.rate) > 1e-3 * self._spec.rate:
            raise SourceError(self._where, f"{self._spec.rate:g} samples a second, as the model wants", f"{sensor.rate:g}",
                              "set the sensor's rate, or record and resample before training")
        return WindowFormat(self._spec.length, self._spec.channels)

    @property
    def nbytes(self) -> int:
        return self._window.nbytes + self._skipped.nbytes

    def open(self) -> None:
        self._filled = False
        self._source.open()

    def read_into(self, frame: Frame) -> bool:
        """One window; False at the end of the stream (a last, incomplete window is left out)."""
        if not self._advance():
            return False
        np.copyto(frame.view, self._window)
        frame.monotonic_ns = time.monotonic_ns()
        frame.wall_ns = time.time_ns()
        return True

    def _advance(self) -> bool:
        hop, window = self._spec.hop, self._window
        if not self._filled or hop >= len(window):
            if self._filled and len(self._skipped) and not self._fill(self._skipped):
                return False
            self._filled = self._fill(window)
            return self._filled
        window[:-hop] = window[hop:]
        return self._fill(window[-hop:])

    def _fill(self, samples: Array) -> bool:
        return self._source.read_into(samples) == len(samples)

    def interrupt(self) -> None:
        self._source.interrupt()

    def close(self) -> None:
        self._source.close()
