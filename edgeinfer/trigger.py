"""A source that delivers only when a line of the machine says so: a light barrier, a push button, a motion sensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from edgeinfer.gpio import EdgeLine, GpioOptions
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.sources import FrameSource

__all__ = ["TriggerOptions", "Triggered"]


class TriggerOptions(GpioOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``frames`` are delivered from each edge on; an edge in the midst of them begins anew."""

    kind: Literal["gpio"] = "gpio"
    frames: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.frames <= 1_000_000:
            raise ValueError(f"expected frames from 1 to 1000000, got {self.frames}")


class Triggered:
    """A FrameSource. The camera stays open, so that the first frame is there at once: one that was taken after the edge. What comes
    without an edge is let go of before the ring, and counted."""

    yields: Literal["frames", "samples"] = "frames"

    def __init__(self, source: FrameSource, options: TriggerOptions) -> None:
        self.live = source.live
        if hasattr(source, "retry_s"):
            self.retry_s: float = source.retry_s
        self.edges = 0
        self.untriggered = 0
        self._source = source
        self._options = options
        self._line: EdgeLine | None = None
        self._left = 0
        self._edge_ns = 0

    def format(self) -> FrameFormat | WindowFormat:
        return self._source.format()

    @property
    def nbytes(self) -> int:
        return int(getattr(self._source, "nbytes", 0))

    def counts(self) -> dict[str, Any]:
        """For health; any thread."""
        count: Callable[[], dict[str, Any]] | None = getattr(self._source, "counts", None)
        return {"edges": self.edges, "untriggered": self.untriggered, **(count() if count is not None else {})}

    def open(self) -> None:
        """Raises SourceError, of the source or of the line."""
        self.close()
        self._line = EdgeLine(self._options)
        self._left = 0
        self._source.open()

    def read_into(self, frame: Frame) -> bool:
        """The next frame of those that an edge let through; False at the end of the stream. Raises SourceError."""
        assert self._line is not None
        while self._source.read_into(frame):
            count, newest_ns = self._line.edges()
            if count:
                self.edges += count
                self._left, self._edge_ns = self._options.frames, newest_ns
            if self._left and frame.monotonic_ns >= self._edge_ns:  # else a driver's buffer held it since before
                self._left -= 1
                return True
            self.untriggered += 1
        return False

    def interrupt(self) -> None:
        self._source.interrupt()

    def close(self) -> None:
        self._source.close()
        if self._line is not None:
            self._line.close()
            self._line = None
