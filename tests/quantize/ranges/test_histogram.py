"""The streaming histogram: fixed memory, whatever the number of samples, their order and their batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.model.tensor import Array
from quantize.ranges.histogram import BINS, MOST, Histogram

PARTS = st.lists(st.tuples(st.integers(0, 200), st.floats(1e-3, 1e3), st.floats(-100, 100), st.integers(0, 99)), min_size=1, max_size=6)


def made(parts: list[tuple[int, float, float, int]]) -> list[Array]:
    return [np.random.default_rng(seed).normal(shift, scale, size).astype(np.float32) for size, scale, shift, seed in parts]


def filled(arrays: list[Array]) -> Histogram:
    histogram = Histogram()
    for array in arrays:
        histogram.add(array)
    return histogram


@settings(deadline=None, max_examples=40)
@given(PARTS)
def test_the_order_of_samples_does_not_matter(parts: list[tuple[int, float, float, int]]) -> None:
    """Counts, limits and bins depend on the values alone."""
    arrays = made(parts)
    one, other = filled(arrays), filled(arrays[::-1])
    assert (one.exponent, one.low, one.high, one.total) == (other.exponent, other.low, other.high, other.total)
    assert np.array_equal(one.counts, other.counts)


@settings(deadline=None, max_examples=40)
@given(PARTS)
def test_batches_do_not_matter(parts: list[tuple[int, float, float, int]]) -> None:
    """A ragged last batch is a batch."""
    arrays = made(parts)
    one, other = filled(arrays), filled([np.concatenate(arrays)])
    assert one.exponent == other.exponent
    assert np.array_equal(one.counts, other.counts)


@settings(deadline=None, max_examples=40)
@given(PARTS, st.floats(0.01, 0.99))
def test_quantiles_are_right_to_two_bins(parts: list[tuple[int, float, float, int]], share: float) -> None:
    """Against numpy's, which has all values in memory."""
    values = np.concatenate(made(parts))
    if values.size < 2:
        return
    histogram = filled([values])
    low, high = np.quantile(values, share, method="lower"), np.quantile(values, share, method="higher")
    assert low - 2 * histogram.width <= histogram.quantile(share) <= high + 2 * histogram.width


def test_memory_does_not_depend_on_the_number_of_samples() -> None:
    """The same number of bins after one array and after two hundred."""
    histogram = filled([np.full(1000, number, np.float32) for number in range(200)])
    assert histogram.counts.size == BINS
    assert histogram.state().size == BINS + 7


def test_limits_are_exact_though_a_large_array_is_sampled() -> None:
    """The one value that is the largest is found among a million."""
    values = np.zeros(1_000_003, np.float32)
    values[777_777], values[3] = 5.5, -2.25
    histogram = filled([values])
    assert (histogram.low, histogram.high) == (-2.25, 5.5)
    assert histogram.total <= MOST


@settings(deadline=None, max_examples=20)
@given(PARTS)
def test_what_is_stored_goes_on_as_if_nothing_happened(parts: list[tuple[int, float, float, int]]) -> None:
    """Interrupted after the first array and resumed: the same state."""
    arrays = made(parts)
    resumed = Histogram.of_state(filled(arrays[:1]).state())
    for array in arrays[1:]:
        resumed.add(array)
    assert np.array_equal(resumed.state(), filled(arrays).state(), equal_nan=True)


def test_values_that_are_not_finite_count_as_nothing() -> None:
    """A NaN neither widens a range nor poisons it."""
    histogram = filled([np.array([np.nan, np.inf, -np.inf, 1.0, -1.0], np.float32)])
    assert (histogram.low, histogram.high, histogram.total) == (-1.0, 1.0, 2)


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_an_empty_array_is_nothing(shape: tuple[int, ...]) -> None:
    """No values, no range."""
    histogram = filled([np.zeros(shape, np.float32)])
    assert histogram.total == 0
    assert histogram.quantile(0.5) == 0.0
