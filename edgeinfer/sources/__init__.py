"""Sources of frames and samples. Plug-ins do not know each other."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from edgeinfer.errors import Fault
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.tensor import Array
from edgeinfer.registry import Table
from edgeinfer.requests import Row

__all__ = ["SOURCES", "FrameSource", "Row", "RowSource", "SampleFormat", "SampleSource"]


class SampleFormat(msgspec.Struct, frozen=True):
    """What a sensor delivers: ``channels`` values a sample, ``rate`` samples a second (0: not stated)."""

    channels: int
    rate: float = 0.0


class FrameSource(Protocol):
    """A source of pictures. Constructed from its options (a frozen msgspec Struct, class attribute ``Options``) without side
    effects; ``format`` may read a file's header; ``open`` may be called again after ``close`` or after a SourceError.
    All but ``format`` are called by the capture thread only; ``interrupt`` by any, to make a blocked read return.

    One that reads a file may have an attribute ``share``: how much of it was read, from 0 to 1. A batch reckons with it how long it
    will take. So may the other kinds of sources."""

    live: bool  # True: the newest frame wins. False: a replay, where the reader waits for a free slot and loses none

    @property
    def yields(self) -> Literal["frames", "samples"]: ...

    def format(self) -> FrameFormat | WindowFormat:
        """The largest frame that will come: it sizes the ring. Raises SourceError."""
        ...

    def open(self) -> None:
        """Raises SourceError where, expected, got, hint."""
        ...

    def read_into(self, frame: Frame) -> bool:
        """Write one picture into ``frame.view`` and stamp ``monotonic_ns`` and ``wall_ns``; False at the end of the stream.
        Raises SourceError when it cannot; the capture loop then counts it, backs off and opens anew."""
        ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


class SampleSource(Protocol):
    """A source of sensor samples; the same life as a FrameSource."""

    live: bool

    @property
    def yields(self) -> Literal["frames", "samples"]: ...

    def format(self) -> SampleFormat: ...

    def open(self) -> None: ...

    def read_into(self, samples: Array) -> int:
        """Fill float32 ``samples`` (n, channels) from the front; how many samples were written, 0 at the end of the stream.
        Blocks until all are there, or the stream ends.

        A source that knows of lost samples has an attribute ``gaps``: a read that meets lost samples returns what came before
        them (it may be all, or 0) and counts it in ``gaps``; the next read begins behind them. Windows then begin anew."""
        ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


class RowSource(Protocol):
    """A source of rows: named values, or texts, as JSON has them. What a model makes of one stands in its bundle. The same life
    as a FrameSource."""

    live: bool

    @property
    def yields(self) -> Literal["rows"]: ...

    def open(self) -> None: ...

    def read(self) -> Row | None:
        """The next one; None at the end of the stream. Raises SourceError."""
        ...

    def refuse(self, fault: Fault) -> None:
        """The model cannot use the row that was read last. May raise SourceError."""
        ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


SOURCES = Table("sources", {
    "camera": "edgeinfer.sources.camera:Camera",
    "video": "edgeinfer.sources.video:Video",
    "images": "edgeinfer.sources.images:Images",
    "command": "edgeinfer.sources.command:Command",
    "audio": "edgeinfer.sources.audio:Audio",
    "iio": "edgeinfer.sources.iio:Iio",
    "csv": "edgeinfer.sources.csv:Csv",
    "npy": "edgeinfer.sources.npy:Npy",
    "wav": "edgeinfer.sources.wav:WavSource",
    "serial": "edgeinfer.sources.serial:Serial",
    "mqtt": "edgeinfer.sources.mqtt_values:MqttValues",
    "jsonl": "edgeinfer.sources.jsonl:Jsonl",
    "requests": "edgeinfer.sources.requests:Requests",
    "framelog": "edgeinfer.sources.framelog:FrameLogReplay",
    "synthetic": "edgeinfer.sources.synthetic:Synthetic",
})
