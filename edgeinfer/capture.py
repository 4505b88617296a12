"""The capture thread: reads a source into a ring for ever, and opens it anew when it fails."""

from __future__ import annotations

import random
import threading

from edgeinfer.errors import SourceError
from edgeinfer.log import log
from edgeinfer.ring import FrameRing
from edgeinfer.sources import FrameSource

__all__ = ["Backoff", "Capture"]


class Backoff:
    """Delays that double from ``first_s`` to ``last_s``, with jitter of a quarter so that devices do not march in step."""

    def __init__(self, first_s: float = 0.5, last_s: float = 30.0) -> None:
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

    A source that fails is counted in ``failures``, told once to the log for each outage, and opened anew with back-off: the
    daemon lives on without a camera.
    """

    def __init__(self, name: str, source: FrameSource, ring: FrameRing) -> None:
        self.name = name
        self.ring = ring
        self.ended = threading.Event()
        self.failures = 0
        self.last_error = ""
        self.working = False
        self._source = source
        self._stop = threading.Event()
        self._backoff = Backoff() if source.live else Backoff(0.01, 1.0)
        self._thread = threading.Thread(target=self._run, name=f"capture {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._source.open()
                    self._read()
                    return
                except SourceError as error:
                    self._fail(error)
                self._source.close()
                self._stop.wait(self._backoff.delay_s())
        finally:
            self._source.close()
            self.working = False
            self.ended.set()
            self.ring.wake()

    def _read(self) -> None:
        """Until the stream is over or the daemon stops. This is the loop of every frame: nothing is logged or allocated."""
        ring, source, stopped = self.ring, self._source, self._stop.is_set
        while not stopped():
            try:
                if not source.read_into(ring.writing):
                    return
            except SourceError as error:
                if source.live:
                    raise
                self._fail(error)  # a replay goes on with the next picture
                self._stop.wait(self._backoff.delay_s())
                continue
            if not self.working:
                self._recover()
            ring.publish()

    def _fail(self, error: SourceError) -> None:
        self.failures += 1
        self.last_error = str(error)
        if (self.working or self.failures == 1) and not self._stop.is_set():
            log.warning("pipeline %s: %s", self.name, error)
        self.working = False

    def _recover(self) -> None:
        if self.failures:
            log.info("pipeline %s: the source delivers", self.name)
        self.working = True
        self._backoff.reset()

    def stop(self) -> None:
        """Ask the thread to end; any thread."""
        self._stop.set()
        self._source.interrupt()
        self.ring.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False when it is still blocked in its source after the time."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()
