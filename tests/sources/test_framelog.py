"""Replay of framelogs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.framelog import FrameLogWriter
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.framelog import FrameLogOptions, FrameLogReplay

GREY = FrameFormat("GREY", 4, 6)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Four pictures filled with 0, 1, 2, 3, a fiftieth of a second apart."""
    path = tmp_path / "frames.framelog"
    with FrameLogWriter(path, GREY, 10**6, source="camera") as writer:
        frame = Frame(GREY)
        for number in range(4):
            frame.memory[:] = number
            frame.monotonic_ns, frame.wall_ns = 10**12 + number * 20_000_000, 1_700_000_000_000_000_000 + number
            writer.append(frame)
    return path


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Twelve samples of two channels, 0 to 23, in records of four samples."""
    path, chunk = tmp_path / "samples.framelog", WindowFormat(4, 2)
    with FrameLogWriter(path, chunk, 10**6, rate=100.0) as writer:
        frame = Frame(chunk)
        for number in range(3):
            frame.view[:] = np.arange(8).reshape(4, 2) + 8 * number
            writer.append(frame)
    return path


def test_frames_come_back_with_the_time_they_were_taken(frames: Path) -> None:
    """``wall_ns`` is the recorded one; ``monotonic_ns`` is the present, since latency is measured from it."""
    source = FrameLogReplay(FrameLogOptions(path=str(frames), pace="fast"))
    assert (source.yields, source.format(), source.live) == ("frames", GREY, False)
    frame, start = Frame(GREY), time.monotonic_ns()
    source.open()
    for number in range(4):
        assert source.read_into(frame)
        assert (frame.view == number).all()
        assert frame.wall_ns == 1_700_000_000_000_000_000 + number
        assert start <= frame.monotonic_ns <= time.monotonic_ns()
    assert not source.read_into(frame)
    source.close()


def test_the_recorded_pace_is_kept(frames: Path) -> None:
    """Four frames a fiftieth apart take at least three fiftieths."""
    source = FrameLogReplay(FrameLogOptions(path=str(frames)))
    assert source.live
    start = time.monotonic()
    source.open()
    frame = Frame(GREY)
    for _ in range(4):
        assert source.read_into(frame)
    source.close()
    assert time.monotonic() - start >= 0.06


def test_a_loop_goes_round(frames: Path) -> None:
    """The sixth of four frames is the second."""
    source = FrameLogReplay(FrameLogOptions(path=str(frames), pace="fast", loop=True))
    source.open()
    frame = Frame(GREY)
    for _ in range(6):
        assert source.read_into(frame)
    assert (frame.view == 1).all()
    source.close()


@pytest.mark.parametrize("piece", [1, 3, 4, 5, 12, 20])
def test_samples_flow_over_the_borders_of_records(samples: Path, piece: int) -> None:
    """Reads of any size make up the same stream; the last one is short."""
    source = FrameLogReplay(FrameLogOptions(path=str(samples), pace="fast"))
    assert (source.yields, source.format()) == ("samples", SampleFormat(2, 100.0))
    target, parts = np.zeros((piece, 2), np.float32), []
    source.open()
    while count := source.read_into(target):
        parts.append(target[:count].copy())
    source.close()
    assert np.array_equal(np.concatenate(parts), np.arange(24).reshape(12, 2))


def test_records_that_do_not_follow_each_other_have_a_gap_between(tmp_path: Path) -> None:
    """The source lost samples while it was recorded: the read ends before the gap, the next begins behind it. A new round is none."""
    path, chunk = tmp_path / "samples.framelog", WindowFormat(4, 1)
    with FrameLogWriter(path, chunk, 10**6) as writer:
        frame = Frame(chunk)
        for sequence in (0, 1, 3, 4):
            frame.view[:, 0] = np.arange(4) + 4 * sequence
            frame.sequence = sequence
            writer.append(frame)
    source = FrameLogReplay(FrameLogOptions(path=str(path), pace="fast", loop=True))
    source.open()
    out, found = np.zeros((10, 1), np.float32), []
    for _ in range(3):
        count = source.read_into(out)
        found.append((out[:count, 0].tolist(), source.gaps))
    assert found == [([0, 1, 2, 3, 4, 5, 6, 7], 1), ([*range(12, 20), 0, 1], 1), ([2, 3, 4, 5, 6, 7], 2)]
    source.close()


@pytest.mark.parametrize("pace", ["fast", "realtime"])
def test_a_damaged_record_is_named_and_the_next_one_follows(frames: Path, fails: Callable[..., str], pace: str) -> None:
    """On reading on, and on opening anew, as a live replay is."""
    content = bytearray(frames.read_bytes())
    record = 32 + GREY.nbytes + 4
    content[-record - 10] ^= 1
    frames.write_bytes(content)
    source = FrameLogReplay(FrameLogOptions(path=str(frames), pace=pace))  # type: ignore[arg-type]
    frame = Frame(GREY)
    source.open()
    assert source.read_into(frame)
    assert source.read_into(frame)
    fails(lambda: source.read_into(frame), "record 2", "checksum")
    if source.live:
        source.close()
        source.open()
    assert source.read_into(frame)
    assert (frame.view == 3).all()
    source.close()


def test_what_is_no_framelog_is_refused(tmp_path: Path, fails: Callable[..., str]) -> None:
    """At ``format``, ``yields`` and ``open``."""
    path = tmp_path / "no.framelog"
    path.write_bytes(b"something else")
    source = FrameLogReplay(FrameLogOptions(path=str(path)))
    for action in (source.format, lambda: source.yields, source.open):
        fails(action, "no.framelog", "expected a file that starts with 'edgeinfer-framelog 1'")
