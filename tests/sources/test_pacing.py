"""The pace of a replay."""

from __future__ import annotations

import threading
import time

from edgeinfer.sources.pacing import Pace


def test_the_first_wait_returns_at_once() -> None:
    """A stream begins without a gap: an hour would pass the test's time limit."""
    pace = Pace()
    pace.start()
    assert pace.wait(3600)


def test_deadlines_add_up() -> None:
    """Eleven waits take at least ten gaps."""
    pace = Pace()
    pace.start()
    start = time.monotonic()
    for _ in range(11):
        assert pace.wait(0.01)
    assert time.monotonic() - start >= 0.1


def test_a_late_reader_is_not_followed_by_a_burst() -> None:
    """After a pause much longer than a gap only one wait returns at once; the next ones take their gap again."""
    pace = Pace()
    pace.start()
    pace.wait(0.02)
    time.sleep(0.2)
    start = time.monotonic()
    for _ in range(3):
        pace.wait(0.02)
    assert time.monotonic() - start >= 0.04


def test_an_interruption_lasts_until_start() -> None:
    """A wait is ended by another thread, waits after it return False at once, and ``start`` forgets it."""
    pace = Pace()
    pace.start()
    pace.wait(0)
    threading.Timer(0.05, pace.interrupt).start()
    assert not pace.wait(3600)
    assert not pace.wait(3600)
    assert not pace.wait(0)
    pace.start()
    assert pace.wait(3600)
