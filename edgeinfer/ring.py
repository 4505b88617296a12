"""Slots between a capture thread and an inference thread. The newest frame wins; a camera never waits for a model."""

from __future__ import annotations

import threading
from collections import deque

from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat

__all__ = ["Bell", "FrameRing", "slots_for"]

_SMALL_BYTES = 64 * 1024


class Bell:
    """Wakes one waiting thread; ringing twice before it wakes is ringing once. A third the cost of a threading.Event."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Any thread."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:  # another thread rang between the two lines
                return

    def wait(self, timeout_s: float) -> bool:
        """True when rung, False after the time. One thread only."""
        return self._lock.acquire(timeout=timeout_s)


class FrameRing:
    """One writer (``writing``, ``publish``), one reader (``take``). All memory is allocated here.

    Live: three slots, the writer never waits, an unread frame is overwritten and counted. Lossless (a replay): the writer
    waits while all slots are full, and is woken when they are nearly empty, since waking a thread for each frame costs more
    than a small model. At any time captured = taken + overwritten + waiting.
    """

    def __init__(self, format: FrameFormat | WindowFormat, ready: Bell, lossless: bool = False) -> None:
        slots = slots_for(format, lossless)
        self.writing = Frame(format)
        self.captured = 0
        self.overwritten = 0
        self.closed = False
        self.nbytes = slots * format.nbytes
        self._spare = deque(Frame(format) for _ in range(slots - 1))
        self._fresh: deque[Frame] = deque()
        self._reading: Frame | None = None
        self._lock = threading.Lock()
        self._ready = ready
        self._lossless = lossless
        self._room = Bell()
        self._writer_waits = False
        self._nearly_empty = slots // 4

    @property
    def waiting(self) -> int:
        """Frames published and not yet taken."""
        return len(self._fresh)

    def publish(self) -> None:
        """Hand ``writing`` to the reader; ``writing`` is then another slot. The capture thread."""
        frame = self.writing
        with self._lock:
            frame.sequence = self.captured
            self.captured += 1
            if self._fresh and not self._lossless:
                self.overwritten += 1
                self._spare.append(self._fresh.popleft())
            self._fresh.append(frame)
        self._ready.ring()
        if not self._spare:
            self._wait_for_room()
        if self._spare:  # else it was closed, and nothing is written any more
            self.writing = self._spare.popleft()

    def _wait_for_room(self) -> None:
        self._writer_waits = True
        while (not self._spare or len(self._fresh) > self._nearly_empty) and not self.closed:
            self._room.wait(0.1)
        self._writer_waits = False

    def take(self) -> Frame | None:
        """The newest frame (the next one of a replay), valid until the next ``take``; None when there is none.

        The inference thread."""
        if not self._fresh:
            return None
        with self._lock:
            frame = self._fresh.popleft()
            if self._reading is not None:
                self._spare.append(self._reading)
            self._reading = frame
        if self._writer_waits and len(self._fresh) <= self._nearly_empty:
            self._room.ring()
        return frame

    def counts(self) -> tuple[int, int, int]:
        """(captured, overwritten, waiting) at one instant. Any thread."""
        with self._lock:
            return self.captured, self.overwritten, len(self._fresh)

    def wake(self) -> None:
        """Wake the reader though there is no new frame: the stream is over. Any thread."""
        self._ready.ring()

    def close(self) -> None:
        """Let a waiting writer go. Any thread."""
        self.closed = True
        self._room.ring()


def slots_for(format: FrameFormat | WindowFormat, lossless: bool) -> int:
    """Three; a replay of small windows has eight, so that its two threads seldom wake each other."""
    return 8 if lossless and format.nbytes <= _SMALL_BYTES else 3
