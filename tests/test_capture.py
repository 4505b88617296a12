"""The capture thread opens a source anew when it fails, and ends when the stream does."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgeinfer.capture import Backoff, Capture
from edgeinfer.log import log
from edgeinfer.model.frame import FrameFormat
from edgeinfer.ring import Bell, FrameRing
from edgeinfer.sources import FrameSource
from edgeinfer.sources.command import Command, CommandOptions
from edgeinfer.sources.images import Images, ImagesOptions
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


def test_a_fault_of_a_file_with_any_name_can_be_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Health is JSON, a log is UTF-8, and a name in another encoding is no text of them."""
    (tmp_path / "caf\udce9.png").write_bytes(b"no picture")
    capture = _capture(Images(ImagesOptions(path=str(tmp_path))))
    capture.start()
    assert capture.join(10)
    assert "caf" in capture.last_error
    assert json.loads(msgspec.json.encode(capture.last_error)) == capture.last_error
    assert "caf" in caplog.text.encode().decode()


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


def _camera(fps: float = 200) -> Synthetic:
    return Synthetic(SyntheticOptions(width=2, height=2, pixel_format="GREY", fps=fps))


def test_a_pause_closes_the_source_and_is_no_failure() -> None:
    """No frame comes while it is paused; they come again after; nothing is counted as failed, and the stream is not over."""
    capture = _capture(_camera())
    capture.start()
    for _ in range(3):
        before = capture.ring.captured
        until(lambda before=before: capture.ring.captured > before + 5, "frames")
        capture.pause()
        until(lambda: not capture.working, "the source to close")
        seen = capture.ring.captured
        assert not capture.ended.wait(0.1)
        assert capture.ring.captured == seen
        assert capture.paused
        capture.resume()
    until(lambda: capture.openings == 4, "it is open again")
    assert capture.failures == 0
    capture.stop()
    assert capture.join(10)


def test_a_pause_that_ends_at_once_does_not_end_the_stream() -> None:
    """A read that was interrupted comes back after the pause is over: that is not the end of the source."""
    capture = _capture(_camera(fps=20))
    capture.start()
    for _ in range(20):
        capture.pause()
        capture.resume()
    seen = capture.ring.captured
    until(lambda: capture.ring.captured > seen + 2, "frames")
    assert not capture.ended.is_set()
    capture.pause()
    capture.stop()
    assert capture.join(10)


class _Broken(Synthetic):
    """A third party's source with a fault."""

    retry_s = 0.02

    def read_into(self, target: object) -> bool:  # type: ignore[override]
        raise ZeroDivisionError("a fault on purpose")


def test_a_plug_ins_fault_is_a_failure_of_the_source(told: pytest.LogCaptureFixture) -> None:
    """Any exception is counted, told once and tried again: the thread lives on, and at most ``retry_s`` passes between."""
    capture = _capture(_Broken(SyntheticOptions(width=2, height=2, pixel_format="GREY", fps=20)))
    capture._backoff = Backoff(0.01, _Broken.retry_s)
    capture.start()
    until(lambda: capture.failures > 5, "several tries")
    assert not capture.ended.is_set()
    capture.stop()
    assert capture.join(10)
    assert len([record for record in told.records if record.levelno == logging.WARNING]) == 1
    assert "ZeroDivisionError: a fault on purpose" in capture.last_error


def test_a_source_says_how_long_its_back_off_may_get() -> None:
    """``retry_s`` is the longest delay; a source without it waits up to half a minute."""
    quick, slow = _capture(_Broken(SyntheticOptions(fps=20)))._backoff, _capture(_camera())._backoff
    assert max(quick.delay_s() for _ in range(20)) <= 1.25 * 0.5
    assert 20 < max(slow.delay_s() for _ in range(20)) <= 37.5


def test_a_schedule_closes_the_source_and_a_switch_keeps_its_own_word() -> None:
    """Who rests and is switched off delivers only when both are over."""
    capture = _capture(_command("import sys, time\nwhile True: sys.stdout.buffer.write(bytes(4)); sys.stdout.flush(); time.sleep(.01)"))
    capture.start()
    until(lambda: capture.ring.captured, "frames")
    capture.rest(True)
    until(lambda: not capture.working, "a closed source")
    capture.pause()
    capture.rest(False)
    assert (capture.paused, capture.rests) == (True, False)
    captured = capture.ring.captured
    capture.resume()
    until(lambda: capture.ring.captured > captured, "frames again")
    assert capture.failures == 0
    capture.stop()
    assert capture.join(5)
