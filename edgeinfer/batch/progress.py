"""How far a long run is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from edgeinfer.batch.piece import Piece
from edgeinfer.counters import Latency

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

__all__ = ["Pace", "Progress", "on"]

_LINE_EVERY_S = 10.0
_BAR_EVERY_S = 0.25


class Pace:
    """Figures of this run (what an earlier one did is only counted as done). ``tell`` each piece, ``tick`` as time goes by.

    ``within``: an earlier one was stopped within the first input."""

    def __init__(self, done: int, total: int, within: bool = False) -> None:
        self.done, self.total, self.failed, self.rows = done, total, 0, 0
        self.latency = Latency()
        self.busy_s = 0.0
        self.share = 0.0  # of the input that it is at
        self._begun, self._within, self._last = float(done), within, time.monotonic()

    def tick(self, working: bool = True) -> None:
        """Time went by."""
        now = time.monotonic()
        if working:
            self.busy_s += now - self._last
        self._last = now

    def tell(self, piece: Piece) -> None:
        """Rows came."""
        self.rows += len(piece.rows)
        self.done += piece.done
        self.failed += piece.failed
        self.share = 0.0 if piece.done else piece.share
        if self._within:  # how much of it there was before is known by now
            self._begun, self._within = max(self._begun, self.done - piece.done + piece.share), False
        for latency in piece.latencies:
            self.latency.record(latency)

    @property
    def rate(self) -> float:
        """Inputs a second of work."""
        return max(0.0, self.done + self.share - self._begun) / self.busy_s if self.busy_s > 0 else 0.0

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.total} inputs"]
        if self.rows > self.done - self._begun + 1:
            parts.append(f"{self.rows} rows, {self.rows / self.busy_s if self.busy_s > 0 else 0:.3g} a second")
        elif self.rate > 0:
            parts.append(f"{self.rate:.3g} a second")
        if self.latency.count:
            parts.append(f"p50 {self.latency.quantile(0.5) / 1e6:.3g} ms")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.rate > 0 and self.done < self.total:
            parts.append(f"about {_span((self.total - self.done - self.share) / self.rate)} to go")
        return ", ".join(parts)


class Progress(Protocol):
    """Told by the run's thread."""

    def show(self, pace: Pace, note: str = "") -> None:
        """How far it is, if it is time to say so."""
        ...

    def close(self) -> None: ...


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream, self._said, self._note = stream, time.monotonic(), ""

    def show(self, pace: Pace, note: str = "") -> None:
        if note != self._note or (not note and time.monotonic() - self._said >= _LINE_EVERY_S):
            print(note or pace, file=self._stream, flush=True)
            self._said, self._note = time.monotonic(), note

    def close(self) -> None: ...


class _Bar:
    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichBar

        self._bar: RichBar = RichBar(BarColumn(), TextColumn("{task.description}", markup=False), transient=True,
                                     console=Console(file=stream), auto_refresh=False)
        self._task: Any = self._bar.add_task("", total=1.0)
        self._bar.start()
        self._said = 0.0

    def show(self, pace: Pace, note: str = "") -> None:
        if time.monotonic() - self._said >= _BAR_EVERY_S:
            self._bar.update(self._task, completed=pace.done + pace.share, total=pace.total, description=note or str(pace),
                             refresh=True)
            self._said = time.monotonic()

    def close(self) -> None:
        self._bar.stop()


def on(stream: TextIO) -> Progress:
    """A bar where ``stream`` is a terminal and rich is installed, else lines."""
    if stream.isatty():
        try:
            return _Bar(stream)
        except ImportError:
            return _Lines(stream)
    return _Lines(stream)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
