"""Another sample rate: the published formula, in whatever pieces the stream comes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.model.preprocess.resampling import MOST, Resampler, ratio, taps
from edgeinfer.model.tensor import Array

RATIOS = [(160, 441), (1, 3), (2, 1), (3, 2), (147, 160), (1, 1)]


def by_formula(x: Array, up: int, down: int) -> Array:
    """y[n] = up * sum of x[i] h[n down - i up]."""
    h = np.pad(taps(up, down), len(x) * up)
    middle, places = len(h) // 2, np.arange(len(x)) * up
    return np.array([up * h[middle + n * down - places] @ x for n in range(-(-len(x) * up // down))])


def resampled(x: Array, up: int, down: int, pieces: list[int]) -> Array:
    at = 0

    def read(samples: Array) -> int:
        nonlocal at
        count = min(len(samples), len(x) - at)
        samples[:count] = x[at : at + count]
        at += count
        return count

    resampler, made, index = Resampler(up, down, x.shape[1], read), [], 0
    while True:
        block = np.empty((pieces[index % len(pieces)], x.shape[1]), np.float32)
        count = resampler.read_into(block)
        made.append(block[:count])
        index += 1
        if count < len(block):
            return np.concatenate(made)


@pytest.mark.parametrize(("up", "down"), RATIOS)
@settings(max_examples=5, deadline=None)
@given(pieces=st.lists(st.integers(1, 700), min_size=1, max_size=3), length=st.integers(1, 700), channels=st.integers(1, 2))
def test_the_formula_holds_in_pieces_of_any_size(up: int, down: int, pieces: list[int], length: int, channels: int) -> None:
    """All samples of the stream, its end included."""
    x = np.random.default_rng(length).uniform(-1, 1, (length, channels)).astype(np.float32)
    wanted = by_formula(x, up, down)
    got = resampled(x, up, down, pieces)
    assert len(got) == -(-length * up // down) == len(wanted)
    assert np.abs(got - wanted).max() < 1e-6


def test_tones_pass_and_what_would_alias_does_not() -> None:
    """48 kHz to 16 kHz: 6.7 kHz is as loud as before, 8 kHz is gone."""
    time = np.arange(48_000) / 48_000
    for hertz, low, high in ((100, 0.999, 1.001), (6700, 0.999, 1.001), (8010, 0.0, 2e-4), (20_000, 0.0, 2e-4)):
        tone = np.sin(2 * np.pi * hertz * time).astype(np.float32)[:, None]
        loudness = float(np.sqrt(2 * np.mean(resampled(tone, 1, 3, [640])[2000:14_000] ** 2)))
        assert low <= loudness <= high, hertz


def test_ratios_of_small_whole_numbers_alone() -> None:
    """44.1 kHz is 441 to 160; a rate that was measured is refused."""
    assert ratio(16_000, 44_100) == Fraction(160, 441)
    assert ratio(800.0, 1600.0) == Fraction(1, 2)
    assert ratio(16_000, 44_099.7) is None
    assert ratio(16_000, 16_000 * MOST + 1) is None
