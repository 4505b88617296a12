"""Synthetic frames and samples."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from edgeinfer.model.frame import Frame, PixelFormat
from edgeinfer.sources.synthetic import Synthetic, SyntheticOptions


def _frames(options: SyntheticOptions, count: int) -> list[bytes]:
    """Each from a fresh slot, as rings hand them out."""
    source = Synthetic(options)
    source.open()
    made = []
    for _ in range(count):
        frame = Frame(source.format())
        assert source.read_into(frame)
        made.append(frame.memory.tobytes())
    return made


@pytest.mark.parametrize("pixel_format", get_args(PixelFormat))
@pytest.mark.parametrize("still", [False, True])
def test_frames_are_determined_by_their_number(pixel_format: PixelFormat, still: bool) -> None:
    """Two runs are the same bytes, and neighbours differ, in every pixel format."""
    options = SyntheticOptions(width=40, height=30, pixel_format=pixel_format, still=still)
    once, again = _frames(options, 70), _frames(options, 70)
    assert once == again
    assert all(first != second for first, second in pairwise(once))


def test_the_stream_ends_after_the_count() -> None:
    """``count`` frames come, and then the end, again and again."""
    source = Synthetic(SyntheticOptions(width=8, height=8, count=3))
    source.open()
    frame = Frame(source.format())
    assert [source.read_into(frame) for _ in range(5)] == [True, True, True, False, False]


def test_samples_do_not_depend_on_how_they_are_read() -> None:
    """Chunks of any size make up the same signal, over the end of its table, up to the count."""
    options = SyntheticOptions(yields="samples", channels=3, count=9000)
    whole = np.zeros((9500, 3), np.float32)
    source = Synthetic(options)
    source.open()
    assert source.read_into(whole) == 9000
    source.open()
    chunk, parts = np.zeros((777, 3), np.float32), []
    while count := source.read_into(chunk):
        parts.append(chunk[:count].copy())
    assert np.array_equal(np.concatenate(parts), whole[:9000])
    assert 0.9 < np.abs(whole).max() < 1.1


def test_a_source_without_a_rate_loses_nothing_and_one_with_a_rate_is_live() -> None:
    """``live`` follows the pace."""
    assert not Synthetic(SyntheticOptions()).live
    assert Synthetic(SyntheticOptions(fps=5)).live
    assert not Synthetic(SyntheticOptions(fps=5, pace="fast")).live
    assert Synthetic(SyntheticOptions(yields="samples", rate=5)).live
