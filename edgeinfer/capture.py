"""The capture thread: reads a source into a ring for ever, and opens it anew when it fails."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from edgeinfer.errors import SourceError
from edgeinfer.log import log
from edgeinfer.ring import FrameRing
from edgeinfer.sources import FrameSource

__all__ = ["Backoff", "Capture"]

_LONGEST_S = 30.0  # between two attempts to open a source that says nothing of it (``retry_s``)


class Backoff:
    """Delays that double from ``first_s`` to ``last_s``, with jitter of a quarter so that devices do not march in step."""

    def __init__(self, first_s: float = 0.5, last_s: float = _LONGEST_S) -> None:
        self._first_s = first_s
        self._last_s = last_s
        self._next_s = first_s

    def delay_s(self) -> float:
        """The next delay, in seconds."""
        delay = self._next_s * random.uniform(0.75, 1.25)  # noqa: S311  jitter, not a secret
        self._next_s = min(self._next_s * 2, self._last_s)
        return delay

    def reset(self) -> None:
        """After a success."""
        self._next_s = self._first_s


class Capture:
    """One source, one ring, one thread. ``ended`` is set when the source's stream is over.

    A source that fails is counted in ``failures``, told once to the log for each outage, and opened anew with back-off (at
    most its ``retry_s`` long, where it has one): the daemon lives on without a camera. While it is paused (somebody switched
    it off) or rests (its schedule says so) the source is closed, which is no failure. ``start`` to ``join`` are for the main
    thread.
    """

    def __init__(self, name: str, source: FrameSource, ring: FrameRing) -> None:
        self.name = name
        self.ring = ring
        self.ended = threading.Event()
        self.failures = 0
        self.openings = 0  #: how often the source was opened
        self.last_error = ""
        self.working = False
        self._source = source
        self._stop = threading.Event()
        self._halt = threading.Event()  # stop or pause: leave the source
        self.paused = False
        self.rests = False
        self._go = threading.Event()  # neither paused nor resting
        self._go.set()
        self._backoff = Backoff(last_s=getattr(source, "retry_s", _LONGEST_S)) if source.live else Backoff(0.01, 1.0)
        self._thread = threading.Thread(target=self._run, name=f"capture {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def pause(self) -> None:
        """Close the source until ``resume``; frames that were captured are still inferred."""
        self.paused = True
        self._hold_or_go()

    def resume(self) -> None:
        """Open the source anew; a replay begins anew."""
        self.paused = False
        self._hold_or_go()

    def rest(self, rests: bool) -> None:
        """The same for a schedule, which does not matter to whether it is paused."""
        if rests != self.rests:
            self.rests = rests
            self._hold_or_go()

    def _hold_or_go(self) -> None:
        if not (self.paused or self.rests):
            self._go.set()
        elif self._go.is_set():
            self._go.clear()
            self._halt.set()
            self._source.interrupt()

    def counts(self) -> dict[str, int]:
        """What the source itself counts, of frames that never came whole; empty for one that counts nothing. Any thread."""
        count: Callable[[], dict[str, int]] | None = getattr(self._source, "counts", None)
        return count() if count is not None else {}

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._go.wait()
                self._halt.clear()  # here and nowhere else: a read that was interrupted sees it until it came back
                if not self._go.is_set() or self._stop.is_set():
                    continue
                if self._session():
                    return
                if not self._halt.is_set():
                    self._halt.wait(self._backoff.delay_s())
        finally:
            self.working = False
            self.ended.set()
            self.ring.wake()

    def _session(self) -> bool:
        """From opening to closing. True when the stream is over."""
        try:
            self._source.open()
            self.openings += 1
            return not self._halt.is_set() and self._read()  # a pause before it was open interrupted nothing
        except SourceError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  the outermost place of this thread: a plug-in's fault is a source's failure
            self._fail(_unexpected(error))
        finally:
            self.working = False
            self._source.close()
        return False

    def _read(self) -> bool:
        """Until the stream is over (True) or is to be left. This is the loop of every frame: nothing is logged or allocated."""
        ring, source, halted = self.ring, self._source, self._halt.is_set
        while not halted():
            try:
                if not source.read_into(ring.writing):
                    return not halted()
            except SourceError as error:
                if source.live:
                    raise
                self._fail(error)  # a replay goes on with the next picture
                self._halt.wait(self._backoff.delay_s())
                continue
            if not self.working:
                self._recover()
            ring.publish()
        return False

    def _fail(self, error: SourceError) -> None:
        if self._halt.is_set():
            return  # it was interrupted
        self.failures += 1
        self.last_error = str(error).encode("utf-8", "backslashreplace").decode()  # for who reads it: a name may be no UTF-8
        if self.working or self.failures == 1:
            log.warning("pipeline %s: %s", self.name, self.last_error)
        self.working = False

    def _recover(self) -> None:
        if self.failures:
            log.info("pipeline %s: the source delivers", self.name)
        self.working = True
        self._backoff.reset()

    def stop(self) -> None:
        """Ask the thread to end; any thread."""
        self._stop.set()
        self._halt.set()
        self._go.set()
        self._source.interrupt()
        self.ring.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False when it is still blocked in its source after the time."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()


def _unexpected(error: Exception) -> SourceError:
    return SourceError("source", "frames", f"{type(error).__name__}: {error}", "the source's plug-in has a fault: tell its maker")
