"""Ranges: each method does what its name says."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.model.tensor import Array
from quantize.grid import Grid
from quantize.ranges import METHODS, Histogram, Observer, choose, chosen
from tests.quantize.graphs import chain, weights

RNG = np.random.default_rng(0)
DATA: dict[str, Array] = {
    "normal": RNG.normal(size=50_000),
    "laplace": RNG.laplace(size=50_000),
    "relu": np.maximum(RNG.normal(size=50_000), 0),
    "relu6": np.clip(3 * RNG.normal(size=50_000), 0, 6),
    "outlier": np.append(RNG.normal(size=50_000), [60.0]),
    "uniform": RNG.uniform(-1, 3, size=50_000),
}


def histogram(name: str) -> Histogram:
    made = Histogram()
    made.add(DATA[name].astype(np.float32))
    return made


def square_error(name: str, limits: tuple[float, float], symmetric: bool = False) -> float:
    grid = Grid.of_range(*limits, symmetric=symmetric)
    values = DATA[name].astype(np.float32)
    return float(np.mean((grid.dequantize(grid.quantize(values)) - values) ** 2))


@pytest.mark.parametrize("name", DATA)
def test_minmax_is_all_that_was_seen(name: str) -> None:
    """To the last bit."""
    values = DATA[name].astype(np.float32)
    assert choose(histogram(name), "minmax") == (values.min(), values.max())


def test_percentile_cuts_an_outlier_off() -> None:
    """One value in fifty thousand does not count."""
    assert choose(histogram("outlier"), "percentile")[1] < 6


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("name", DATA)
def test_mse_is_as_good_as_any_range_that_was_not_tried(name: str, symmetric: bool) -> None:
    """Its error on the values themselves is within 3 % of the best of forty ranges found by trying them out."""
    found = square_error(name, choose(histogram(name), "mse", symmetric), symmetric)
    values = DATA[name]
    best = min(square_error(name, (share * values.min(), share * values.max()), symmetric) for share in np.linspace(0.1, 1, 40))
    assert found <= 1.03 * best


@pytest.mark.parametrize("name", DATA)
def test_entropy_searches(name: str) -> None:
    """It is no min-max by another name, and it never throws two thirds of a range away that is not one outlier's."""
    low, high = choose(histogram(name), "entropy")
    least, most = choose(histogram(name), "minmax")
    assert high - low > 0.3 * (most - least) or name == "outlier"
    if name in ("outlier", "laplace"):
        assert high - low < 0.99 * (most - least)


@pytest.mark.parametrize("method", METHODS)
def test_a_value_that_never_varied_has_a_range(method: str) -> None:
    """A constant, and nothing at all."""
    constant = Histogram()
    constant.add(np.full(100, 2.5, np.float32))
    low, high = choose(constant, method)
    assert min(low, 0.0) <= 2.5 <= max(high, 0.0) + 0.01
    assert choose(Histogram(), method) == (0.0, 0.0)


def test_an_output_keeps_its_whole_range() -> None:
    """The largest logit is the answer, not an outlier."""
    limits = chosen({"y": histogram("outlier")}, "percentile", whole=["y"])
    assert limits["y"][1] == 60.0


def test_observing_is_resumable() -> None:
    """Stopped after three samples and gone on from what was stored: the same ranges as in one go."""
    net = chain((1, 3, 8, 8), ("Conv", weights(4, 3, 3, 3), weights(4)), ("Relu",))
    samples = [{"input": np.random.default_rng(seed).normal(size=(1, 3, 8, 8)).astype(np.float32)} for seed in range(6)]
    whole, first, second = (Observer(net, ["input", "relu1"], expected=6) for _ in range(3))
    for sample in samples:
        whole.add(sample)
    for sample in samples[:3]:
        first.add(sample)
    second.resume(first.state())
    for sample in samples[3:]:
        second.add(sample)
    assert second.seen == 6
    assert second.before == whole.before
    assert chosen(second.histograms, "mse") == chosen(whole.histograms, "mse")
