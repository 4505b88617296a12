"""Real-time pace of a replay: deadlines on CLOCK_MONOTONIC, and a wait that another thread can end."""

from __future__ import annotations

import math
import threading
import time

__all__ = ["Pace"]


class Pace:
    """Lets one thread go on at given distances in time. ``wait`` belongs to the reading thread, ``interrupt`` to any.

    Deadlines add up, so that a late wake-up does not slow the stream down; a reader that is later than a whole gap starts
    anew from the present instead of catching up in a burst.
    """

    def __init__(self) -> None:
        self._interrupted = threading.Event()
        self._deadline = -math.inf

    def start(self) -> None:
        """Begin anew: the next ``wait`` returns at once, and a former interruption is forgotten."""
        self._interrupted.clear()
        self._deadline = -math.inf

    def wait(self, gap_s: float) -> bool:
        """Sleep until ``gap_s`` seconds after the last deadline; 0 does not sleep. False when interrupted."""
        now = time.monotonic()
        self._deadline = max(self._deadline + gap_s, now)
        return not self._interrupted.wait(self._deadline - now) if self._deadline > now else not self._interrupted.is_set()

    def interrupt(self) -> None:
        """Make this wait and all that follow return False until ``start``."""
        self._interrupted.set()
