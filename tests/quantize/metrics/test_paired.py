"""The drop from float to INT8 on the same samples."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.metrics import drop, mcnemar
from quantize.metrics.classification import Top
from quantize.metrics.fidelity import SQNR
from quantize.metrics.regression import MAE


def accuracy(hits: np.ndarray) -> Top:
    """Top-1 of samples of which those were right."""
    metric = Top()
    for hit in hits:
        metric.add(1, np.array([0.0, 1.0]) if hit else np.array([1.0, 0.0]))
    return metric


def test_the_drop_is_known_better_than_either_accuracy() -> None:
    """1000 samples, 93 % and 92 % right, of which 15 changed one way and 5 the other: 1 point, 0.1 to 1.9."""
    reference = np.arange(1000) < 930
    other = reference.copy()
    other[:15], other[930:935] = False, True
    figure = drop(accuracy(reference), accuracy(other))
    assert figure.value == pytest.approx(1.0)
    assert figure.unit == "points"
    assert (figure.low, figure.high) == pytest.approx((0.11, 1.88), abs=0.02)
    low, high = accuracy(reference).interval()
    assert high is not None
    assert low is not None
    assert high - low > 1.7 * (figure.high - figure.low) / 2  # type: ignore[operator]  # an interval is there


def test_agresti_and_min_s_interval_by_hand() -> None:
    """a = 7, b = 2, c = 1, d = 2 of 12: (2.5 - 1.5) / 14 ± 1.96 sqrt(4 - 1/14) / 14."""
    reference = np.array([1] * 7 + [1] * 2 + [0] + [0] * 2)
    other = np.array([1] * 7 + [0] * 2 + [1] + [0] * 2)
    figure = drop(accuracy(reference), accuracy(other))
    half = 1.959964 * np.sqrt(4 - 1 / 14) / 14
    assert (figure.low, figure.high) == pytest.approx((100 * (1 / 14 - half), 100 * (1 / 14 + half)), rel=1e-5)


def test_no_change_at_all_still_has_an_interval() -> None:
    """That none of a hundred changed does not prove that none would."""
    figure = drop(accuracy(np.ones(100)), accuracy(np.ones(100)))
    assert figure.value == 0.0
    assert figure.low == -figure.high < -1  # type: ignore[operator]  # an interval is there


@pytest.mark.parametrize(("lost", "won", "chance"), [
    (0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (8, 2, 2 * (1 + 10 + 45) / 1024), (4, 4, 1.0),
])
def test_mcnemar_s_exact_test(lost: int, won: int, chance: float) -> None:
    """Twice the binomial tail, at most 1."""
    reference = np.array([1] * lost + [0] * won + [1] * 3)
    other = np.array([0] * lost + [1] * won + [1] * 3)
    assert mcnemar(accuracy(reference), accuracy(other)) == pytest.approx(chance)


def test_an_error_that_grows_is_a_positive_drop() -> None:
    """Whichever way a metric points, positive is worse."""
    reference, other = MAE(), MAE()
    for index in range(20):
        reference.add(np.zeros(1), np.array([1.0 + index % 3]))
        other.add(np.zeros(1), np.array([1.5 + index % 3]))
    figure = drop(reference, other)
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.5, 0.5, 0.5))  # the same everywhere: known exactly
    assert figure.better == "lower"


@pytest.mark.parametrize("other", [SQNR(), Top(5), accuracy(np.ones(2))])
def test_two_metrics_that_did_not_see_the_same_samples_are_a_mistake_in_the_program(other: Top) -> None:
    """Their difference would be no paired one."""
    with pytest.raises(RuntimeError, match="top-1 of 3 samples against"):
        drop(accuracy(np.ones(3)), other)
