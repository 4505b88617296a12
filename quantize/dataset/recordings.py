"""Windows of sensors' samples, from one file or a folder of files: csv, npy, wav, and framelogs of samples.

A file is a stream, from which windows of ``length`` samples are cut, one each ``hop`` samples as on the device; or it
(npy, csv) holds whole windows. Each file is opened when one of its windows is wanted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from edgeinfer.errors import DataError
from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.model.framelog import FrameLogReader
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array
from quantize.dataset.arrays import NpyStream, NpyWindows, is_stream, map_npy
from quantize.dataset.samples import Reader
from quantize.dataset.table import Table
from quantize.dataset.wav import Wav

__all__ = ["OPENERS", "Recordings", "Windows", "windows_of"]


class Windows(Protocol):
    """The windows of one file, ``count`` of them."""

    path: Path
    count: int

    def read(self, index: int, out: Array) -> None:
        """Fill float32 ``out`` (length, channels). Raises DataError."""
        ...


class Stream(Protocol):
    """A file of ``rows`` samples of ``channels`` values, ``rate`` a second (0: not stated)."""

    path: Path
    rows: int
    channels: int
    rate: float

    def read(self, start: int, out: Array) -> None: ...


class Sliding:
    """Windows cut from a stream."""

    def __init__(self, stream: Stream, spec: WindowSpec) -> None:
        """Raises DataError where the stream's channels or rate are not the model's, or it is shorter than a window."""
        self.path, self._stream, self._hop = stream.path, stream, spec.hop
        where = str(stream.path)
        if stream.channels != spec.channels:
            hint = f"ffmpeg -i '{where}' -ac {spec.channels} mixed.wav; a model of features (MFCC) takes those from an .npy"
            raise DataError(where, f"{spec.channels} channels, as the model takes", f"{stream.channels}",
                            hint if stream.rate else "")
        if spec.rate and stream.rate and abs(stream.rate - spec.rate) > 1e-3 * spec.rate:
            raise DataError(where, f"{spec.rate:g} samples a second, as the model takes", f"{stream.rate:g}",
                            f"ffmpeg -i '{where}' -ar {spec.rate:g} resampled.wav")
        if stream.rows < spec.length:
            raise DataError(where, f"at least one window of {spec.length} samples", f"{stream.rows} samples",
                            "record longer, or say a shorter --length if the model takes that")
        self.count = (stream.rows - spec.length) // spec.hop + 1

    def read(self, index: int, out: Array) -> None:
        self._stream.read(index * self._hop, out)


class LogStream:
    """The samples of a framelog, whose records are chunks of equal length."""

    def __init__(self, path: Path) -> None:
        """Raises DataError where it is no framelog of samples."""
        self.path = path
        with FrameLogReader(path) as reader:
            if not isinstance(reader.format, WindowFormat):
                raise DataError(str(path), "a framelog of samples", "one of pictures",
                                "give the recording of the sensor that the model is for")
            self._chunk, self.channels, self.rate = reader.format.length, reader.format.channels, reader.rate
            self.rows = len(reader) * self._chunk

    def read(self, start: int, out: Array) -> None:
        with FrameLogReader(self.path) as reader:
            frame, done = Frame(reader.format), 0
            while done < len(out):
                record, row = divmod(start + done, self._chunk)
                reader.read_into(record, frame)
                part = frame.view[row : row + len(out) - done]
                out[done : done + len(part)] = part
                done += len(part)


def _open_wav(path: Path, spec: WindowSpec) -> Windows:
    return Sliding(Wav(path), spec)


def _open_npy(path: Path, spec: WindowSpec) -> Windows:
    return windows_of(map_npy(path), path, spec)


def windows_of(array: Array, path: Path, spec: WindowSpec) -> Windows:
    """An array's own windows, or those cut from it. Raises DataError."""
    return Sliding(NpyStream(array, path), spec) if is_stream(array, spec) else NpyWindows(array, path, spec)


def _open_csv(path: Path, spec: WindowSpec) -> Windows:
    table = Table(path, spec.length, spec.channels, spec.hop)
    if not table.count:
        raise DataError(str(path), f"at least {spec.length} rows, one window", "fewer", f"wc -l '{path}'")
    return table


def _open_framelog(path: Path, spec: WindowSpec) -> Windows:
    return Sliding(LogStream(path), spec)


OPENERS: Mapping[str, Callable[[Path, WindowSpec], Windows]] = {
    "wav": _open_wav, "csv": _open_csv, "npy": _open_npy, "framelog": _open_framelog}


class Recordings(Reader):
    """A Reader (see there) of the windows of one or more files. A file that cannot be used is left out and named in
    ``refused``. A window is called by its file and number, "walk.csv#12", or by the file where that holds just one."""

    def __init__(self, path: Path, kind: str, files: Iterable[Path], spec: WindowSpec) -> None:
        """Raises DataError when no file can be used: what is wrong with the first."""
        folder = path if path.is_dir() else path.parent
        self.path, self.kind = path, kind
        self._format = WindowFormat(spec.length, spec.channels)
        self.refused: dict[str, str] = {}
        self.names: list[str] = []
        self._files: list[Windows] = []
        first: DataError | None = None
        for name, file in sorted((file.relative_to(folder).as_posix(), file) for file in files):
            try:
                windows = OPENERS[kind](file, spec)
            except DataError as error:
                self.refused[name] = f"expected {error.faults[0].expected}, got {error.faults[0].got}"
                first = first or error
                continue
            self._files.append(windows)
            self.names += [name] if windows.count == 1 else [f"{name}#{index}" for index in range(windows.count)]
        if not self._files:
            raise first or DataError(str(path), f"files of kind {kind}", "none", f"ls '{path}'")
        self._ends = list(accumulate(windows.count for windows in self._files))

    def _at(self, index: int) -> tuple[Windows, int]:
        file = bisect_right(self._ends, index)
        return self._files[file], index - (self._ends[file] - self._files[file].count)

    def largest(self) -> WindowFormat:
        return self._format

    def read(self, index: int, frame: Frame | None) -> Frame:
        windows, inner = self._at(index)
        frame = frame or Frame(self._format)
        windows.read(inner, frame.view)
        return frame

    def written(self, index: int) -> str | None:
        """The label in a csv's own column, as it is written there."""
        windows, inner = self._at(index)
        labels = windows.labels if isinstance(windows, Table) else None
        return labels[inner] if labels is not None else None

    def file(self, index: int) -> Path:
        return self._at(index)[0].path
