"""The ring: three slots, the newest frame wins, every frame is accounted for."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.ring import Bell, FrameRing

GREY = FrameFormat("GREY", 2, 2)


def _ring(lossless: bool = False) -> FrameRing:
    return FrameRing(GREY, Bell(), lossless)


def _write(ring: FrameRing, value: int) -> None:
    ring.writing.view[...] = value
    ring.publish()


@given(st.lists(st.sampled_from(["publish", "take"]), max_size=60))
def test_the_newest_frame_wins_and_the_equation_holds(steps: list[str]) -> None:
    """For any order of publishing and taking: a take gives the newest frame, once, and captured = taken + overwritten + waiting."""
    ring = _ring()
    newest: int | None = None
    published = taken = overwritten = 0
    for step in steps:
        if step == "publish":
            overwritten += newest is not None
            newest = published % 256
            _write(ring, newest)
            published += 1
        else:
            frame = ring.take()
            assert (frame is None) == (newest is None)
            if frame is not None:
                assert frame.view[0, 0] == newest
                assert frame.sequence == published - 1
                taken += 1
                newest = None
        assert ring.counts() == (published, overwritten, published - taken - overwritten)


@given(st.lists(st.sampled_from(["publish", "take"]), max_size=60))
def test_a_taken_frame_is_never_written_to_until_the_next_take(steps: list[str]) -> None:
    """Whatever the writer does, the frame that the reader holds keeps its pixels."""
    ring = _ring()
    held: tuple[object, int] | None = None
    for count, step in enumerate(steps):
        if step == "publish":
            _write(ring, count % 256)
        elif (frame := ring.take()) is not None:
            held = (frame, int(frame.view[0, 0]))
        if held is not None:
            frame, value = held
            assert np.all(frame.view == value)  # type: ignore[attr-defined]
            assert frame is not ring.writing


def test_memory_is_three_slots_for_ever() -> None:
    """Publishing and taking a thousand frames uses the same three pieces of memory."""
    ring = _ring()
    seen = set()
    for value in range(1000):
        seen.add(ring.writing.memory.ctypes.data)
        _write(ring, value % 256)
        if value % 3 == 0:
            ring.take()
    assert len(seen) <= 3
    assert ring.nbytes == 3 * 4


def test_a_replay_of_small_windows_has_more_slots_than_a_camera() -> None:
    """Eight slots for a lossless ring of small windows, three for all else, and nbytes says so."""
    window, picture = WindowFormat(4, 2), FrameFormat("RGB", 480, 640)
    assert FrameRing(window, Bell(), lossless=True).nbytes == 8 * window.nbytes
    assert FrameRing(window, Bell()).nbytes == 3 * window.nbytes
    assert FrameRing(picture, Bell(), lossless=True).nbytes == 3 * picture.nbytes


def test_a_lossless_ring_loses_nothing_between_two_threads() -> None:
    """A replay through two threads arrives whole and in order though the reader is slow."""
    bell = Bell()
    ring = FrameRing(GREY, bell, lossless=True)
    writer = threading.Thread(target=lambda: [_write(ring, value % 256) for value in range(500)])
    writer.start()
    got = []
    while len(got) < 500:
        frame = ring.take()
        if frame is None:
            assert bell.wait(5.0)
            continue
        got.append(int(frame.view[0, 0]))
    writer.join()
    assert got == [value % 256 for value in range(500)]
    assert ring.overwritten == 0


def test_closing_lets_a_waiting_writer_go() -> None:
    """A lossless writer that waits for a reader ends when the ring is closed."""
    ring = _ring(lossless=True)
    writer = threading.Thread(target=lambda: [_write(ring, value) for value in range(8)])
    writer.start()
    writer.join(0.2)
    assert writer.is_alive()
    ring.close()
    writer.join(5.0)
    assert not writer.is_alive()


def test_ringing_a_bell_twice_wakes_once() -> None:
    """A bell holds one ring, not a count, and a wait without one times out."""
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait(0.01)
    assert not bell.wait(0.01)


def test_a_bell_rung_by_many_threads_never_raises() -> None:
    """Ringing from several threads at once is as good as ringing once."""
    bell = Bell()
    errors: list[BaseException] = []

    def ring_often() -> None:
        try:
            for _ in range(3000):
                bell.ring()
        except RuntimeError as error:
            errors.append(error)

    threads = [threading.Thread(target=ring_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        bell.wait(0.001)
    assert not errors
