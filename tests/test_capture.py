"""The capture thread opens a source anew when it fails, and ends when the stream does."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest

from edgeinfer.capture import Backoff, Capture
from edgeinfer.log import log
from edgeinfer.model.frame import FrameFormat
from edgeinfer.ring import Bell, FrameRing
from edgeinfer.sources import FrameSource
from edgeinfer.sources.command import Command, CommandOptions
from edgeinfer.sources.synthetic import Synthetic, SyntheticOptions
from tests.broker import until

GREY = FrameFormat("GREY", 2, 2)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What goes to the log."""
    log.propagate = True
    with caplog.at_level(logging.INFO, logger="edgeinfer"):
        yield caplog
    log.propagate = False


def _command(script: str, live: bool = True) -> Command:
    return Command(CommandOptions(command=(sys.executable, "-c", script), width=2, height=2, pixel_format="GREY", live=live))


def _capture(source: FrameSource) -> Capture:
    return Capture("door", source, FrameRing(GREY, Bell(), lossless=not source.live))


def test_a_source_that_dies_is_opened_anew_and_told_once(told: pytest.LogCaptureFixture) -> None:
    """A child that delivers two frames and dies is started again and again; each outage is one warning, not one a try."""
    capture = _capture(_command("import sys; sys.stdout.buffer.write(bytes(8)); sys.stdout.flush(); sys.exit(3)"))
    capture.start()
    until(lambda: capture.ring.captured >= 4, "frames of a second life", 30)
    capture.stop()
    assert capture.join(10)
    warnings = [record for record in told.records if record.levelno == logging.WARNING]
    assert capture.failures >= 1
    assert 1 <= len(warnings) <= capture.failures
    assert capture.ended.is_set()


def test_a_source_that_never_comes_is_told_once(told: pytest.LogCaptureFixture) -> None:
    """A missing program is retried with back-off, silently after the first warning."""
    capture = _capture(Command(CommandOptions(command=("no-such-program",), width=2, height=2, pixel_format="GREY")))
    capture._backoff = Backoff(0.01, 0.02)
    capture.start()
    until(lambda: capture.failures > 5, "several tries")
    capture.stop()
    assert capture.join(10)
    assert len([record for record in told.records if record.levelno == logging.WARNING]) == 1
    assert "no-such-program" in capture.last_error


def test_the_end_of_a_stream_ends_the_thread() -> None:
    """A finite source's frames are all published, then ``ended`` is set."""
    source = Synthetic(SyntheticOptions(width=2, height=2, pixel_format="GREY", count=3, pace="fast"))
    capture = Capture("door", source, FrameRing(GREY, Bell(), lossless=True))
    capture.start()
    taken = 0
    while taken < 3:
        taken += capture.ring.take() is not None
    assert capture.ended.wait(10)
    assert capture.join(10)
    assert capture.ring.counts() == (3, 0, 0)


def test_stopping_interrupts_a_source_that_blocks() -> None:
    """A child that delivers nothing does not keep the daemon from ending."""
    capture = _capture(_command("import time; time.sleep(600)"))
    capture.start()
    assert not capture.ended.wait(0.5)
    capture.stop()
    assert capture.join(10)


def test_delays_double_up_to_the_last_with_jitter() -> None:
    """Back-off starts at the first delay, doubles, stays at the last, and each delay is within a quarter of its own."""
    backoff = Backoff(1.0, 8.0)
    for nominal in (1, 2, 4, 8, 8, 8):
        assert 0.75 * nominal <= backoff.delay_s() <= 1.25 * nominal
    backoff.reset()
    assert backoff.delay_s() <= 1.25
