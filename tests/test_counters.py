"""Latency histograms: fixed memory, known error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.counters import Latency


@given(st.integers(0, 10**12))
def test_a_bucket_is_at_most_a_sixteenth_wide(duration: int) -> None:
    """A single duration's quantile is itself; among others it is never off by more than 6.25 % (up to a minute)."""
    latency = Latency()
    latency.record(duration)
    assert latency.quantile(0.5) == duration or duration > 2**36
    latency.record(10**15)
    if duration < 2**35:
        assert duration <= latency.quantile(0.5) <= duration * 1.0625 + 1


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_quantiles_are_those_of_the_sorted_list(durations: list[int], fraction: float) -> None:
    """The quantile is within a bucket's width above the exact one."""
    latency = Latency()
    for duration in durations:
        latency.record(duration)
    ranked = sorted(durations)
    exact = ranked[min(max(-(-fraction * len(ranked) // 1), 1), len(ranked)).__int__() - 1]
    assert exact <= latency.quantile(fraction) <= exact * 1.0625 + 1


def test_memory_does_not_grow_and_clearing_forgets() -> None:
    """Ten thousand durations leave as many buckets as none; clear() brings every figure to zero."""
    latency = Latency()
    size = len(latency.buckets)
    for duration in range(10_000):
        latency.record(duration * 1_000_003)
    assert len(latency.buckets) == size
    assert latency.summary()["count"] == 10_000
    latency.clear()
    assert latency.summary() == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "mean": 0.0, "max": 0.0, "count": 0}
