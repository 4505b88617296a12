"""Samples from a WAVE file: PCM of 8, 16, 24 or 32 bits, or floats, of any number of channels."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, ClassVar, Literal

import msgspec
import numpy as np

from edgeinfer.errors import DataError, SourceError
from edgeinfer.model.tensor import Array
from edgeinfer.model.wavefile import Wav
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.pacing import Pace

__all__ = ["WavSource"]


class WavOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str
    channels: tuple[int, ...] = ()  # which of the file's, from 0; empty: all
    pace: Literal["realtime", "fast"] = "realtime"  # at the file's rate, or as fast as the reader
    loop: bool = False

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("expected path to name a .wav file, got an empty one")
        if any(not 0 <= channel < 65536 for channel in self.channels):
            raise ValueError(f"expected channels from 0, got {list(self.channels)}")


class WavSource:
    """float32, -1 to 1 of full scale (floats as they are). The rate is the file's own: a model that wants another refuses it, or
    has it resampled where the pipeline says so."""

    Options = WavOptions
    yields: ClassVar[Literal["frames", "samples"]] = "samples"

    def __init__(self, options: WavOptions) -> None:
        self.live = options.pace == "realtime"
        self._options = options
        self._pace = Pace()
        self._wav: Wav | None = None
        self._file: BinaryIO | None = None
        self._next = 0
        self._all = np.empty((0, 1), np.float32)

    def format(self) -> SampleFormat:
        """From the file's header. Raises SourceError."""
        wav = self._header()
        return SampleFormat(len(self._options.channels) or wav.channels, wav.rate)

    def open(self) -> None:
        """Raises SourceError when the file is no such WAVE."""
        self.close()
        self._wav = self._header()
        try:
            self._file = self._wav.path.open("rb")
        except OSError as error:
            raise SourceError(self._options.path, "a WAVE file", error.strerror or str(error)) from error
        self._next = 0
        self._pace.start()

    def _header(self) -> Wav:
        options = self._options
        try:
            wav = Wav(Path(options.path))
        except DataError as error:
            raise SourceError.of(error.faults) from error
        if wav.rows == 0:
            raise SourceError(options.path, "a WAVE file with samples", "none")
        if any(channel >= wav.channels for channel in options.channels):
            raise SourceError(options.path, f"channels {list(options.channels)}", f"a file of {wav.channels}")
        return wav

    def read_into(self, samples: Array) -> int:
        """Fill float32 (n, channels) from the front, at the file's pace; fewer at its end, 0 when interrupted.

        Raises SourceError."""
        assert self._wav is not None
        done = 0
        while done < len(samples):
            rows = min(len(samples) - done, self._wav.rows - self._next)
            if rows == 0:
                if not self._options.loop:
                    break
                self._next = 0
                continue
            self._read(self._wav, samples[done : done + rows])
            done += rows
            self._next += rows
        return done if self._pace.wait(done / self._wav.rate if self.live else 0.0) else 0

    def _read(self, wav: Wav, samples: Array) -> None:
        chosen = self._options.channels
        if chosen and len(self._all) < len(samples):
            self._all = np.empty((len(samples), wav.channels), np.float32)
        target = self._all[: len(samples)] if chosen else samples
        try:
            wav.read(self._next, target, self._file)
        except DataError as error:
            raise SourceError.of(error.faults) from error
        for index, channel in enumerate(chosen):
            samples[:, index] = target[:, channel]

    def interrupt(self) -> None:
        self._pace.interrupt()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
