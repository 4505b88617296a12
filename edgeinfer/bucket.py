"""A cap on a rate: a bucket that begins full, loses one for each thing that is taken, and fills again evenly."""

from __future__ import annotations

__all__ = ["Bucket"]


class Bucket:
    """At most ``most`` at once, and ``per_second`` in the long run. One thread's; time is CLOCK_MONOTONIC in s."""

    def __init__(self, per_second: float, most: float) -> None:
        self._per_second, self._most = per_second, most
        self._left, self._at = most, 0.0

    def take(self, now: float) -> bool:
        """Whether there was one left."""
        self._left = min(self._left + (now - self._at) * self._per_second, self._most)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
