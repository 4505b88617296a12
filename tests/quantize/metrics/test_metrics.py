"""Figures against cases worked out by hand, and what every metric promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import DataError
from quantize.metrics import Figure, Metric
from quantize.metrics.auc import AUC
from quantize.metrics.classification import Agreement, Top
from quantize.metrics.detection import Found, MeanAveragePrecision, Truth
from quantize.metrics.fidelity import LIMIT_DB, SQNR, Cosine, KLDivergence, LargestError
from quantize.metrics.intervals import wilson
from quantize.metrics.keypoints import COCO_SIGMAS, NME, OKS, PCK, Pose
from quantize.metrics.regression import MAE, R2, RMSE
from quantize.metrics.segmentation import MeanIoU

A_POSE = Pose(np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]]), np.array([1, 1, 0]), 10.0)
ONE_BOX = Truth(np.array([[0, 0, 10, 10]]), np.array([1]))
EVERY: dict[str, tuple[Callable[[], Metric], list[tuple[Any, Any]]]] = {
    "top-1": (Top, [(1, [0.1, 0.9]), (0, [0.2, 0.8]), (1, [0.3, 0.7])]),
    "agreement": (Agreement, [([0, 1], [0, 2]), ([1, 0], [0, 1]), ([3, 1], [3, 0])]),
    "SQNR": (SQNR, [(np.ones(4), np.full(4, 0.9)), (np.ones(4), np.full(4, 1.2)), (np.ones(4), np.ones(4))]),
    "cosine": (Cosine, [(np.array([1.0, 0.0]), np.array([1.0, 1.0])), (np.ones(2), np.ones(2))]),
    "KL": (KLDivergence, [(np.array([0.0, 1.0]), np.array([0.0, 0.5])), (np.zeros(2), np.ones(2))]),
    "LSB": (lambda: LargestError(0.5), [(np.zeros(3), np.array([0.0, -1.0, 0.5])), (np.zeros(3), np.zeros(3))]),
    "MAE": (MAE, [(np.array([1.0]), np.array([2.0])), (np.array([1.0]), np.array([1.5]))]),
    "RMSE": (RMSE, [(np.array([1.0]), np.array([2.0])), (np.array([1.0]), np.array([1.5]))]),
    "R2": (R2, [(np.array([float(x)]), np.array([x + 0.25])) for x in range(6)]),
    "AUC": (AUC, [(1, 0.9), (0, 0.1), (1, 0.4), (0, 0.5)]),
    "mIoU": (lambda: MeanIoU(2), [(np.array([[0, 1]]), np.array([[1, 1]])), (np.array([[0, 0]]), np.array([[0, 0]]))]),
    "NME": (NME, [(A_POSE, A_POSE.points), (A_POSE, A_POSE.points + 1)]),
    "PCK": (PCK, [(A_POSE, A_POSE.points), (A_POSE, A_POSE.points + 5)]),
    "OKS": (lambda: OKS(COCO_SIGMAS[:3]), [(A_POSE, A_POSE.points), (A_POSE, A_POSE.points + 0.1)]),
    "mAP": (MeanAveragePrecision, [(ONE_BOX, Found(ONE_BOX.boxes, ONE_BOX.classes, np.array([0.9]))),
                                   (ONE_BOX, Found(np.array([[0, 0, 10, 6]]), np.array([1]), np.array([0.8])))]),
}


def figure_of(metric: Metric, samples: list[tuple[Any, Any]]) -> Figure:
    for expected, got in samples:
        metric.add(expected, got)
    return metric.result()


@pytest.mark.parametrize("name", EVERY)
def test_a_figure_lies_in_its_interval_and_comes_out_the_same_twice(name: str) -> None:
    """low <= value <= high, all finite, and a second run gives the same numbers to the last bit."""
    make, samples = EVERY[name]
    figure = figure_of(make(), samples)
    assert figure == figure_of(make(), samples)
    assert figure.count == len(samples)
    assert math.isfinite(figure.value)
    if figure.low is not None and figure.high is not None:
        assert figure.low <= figure.value <= figure.high


@pytest.mark.parametrize("name", EVERY)
def test_no_samples_is_an_error_that_names_the_metric(name: str) -> None:
    """An accuracy of nothing is not 0 and not 100."""
    metric = EVERY[name][0]()
    with pytest.raises(DataError, match=f"{metric.name}: expected at least one sample, got none"):
        metric.result()


@pytest.mark.parametrize(("hits", "count", "low", "high"), [
    (81, 263, 0.2553, 0.3662),  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611),
    (1, 29, 0.0061, 0.1718),
])
def test_wilson_s_interval_is_that_of_the_published_table(hits: int, count: int, low: float, high: float) -> None:
    """Four rows of a paper."""
    assert wilson(hits, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("label", "scores", "k", "right"), [
    (2, [1, 5, 9], 1, True), (1, [1, 5, 9], 1, False), (1, [1, 5, 9], 2, True), (0, [1, 5, 9], 2, False),
    (0, [7, 7, 1], 1, True),  # of equal scores the first, as argmax
    (1, [7, 7, 1], 1, False), (1, [7, 7, 1], 2, True), (0, [float("nan"), 7, 1], 3, False),
])
def test_top_k_counts_better_scores_and_earlier_equal_ones(label: int, scores: list[float], k: int, right: bool) -> None:
    """INT8 scores are often equal; what the device answers is the first of them."""
    assert figure_of(Top(k), [(label, np.array(scores))]).value == 100.0 * right


def test_top_k_takes_any_shape_of_scores() -> None:
    """A model's output is (1, classes) or (1, classes, 1, 1)."""
    assert figure_of(Top(), [(1, np.array([[[0.1]], [[0.9]]]))]).value == 100.0


def test_agreement_is_of_the_first_answers() -> None:
    """Two of three, with Wilson's interval."""
    figure = figure_of(Agreement(), EVERY["agreement"][1])
    low, high = wilson(2, 3)
    assert figure == Figure(name="top-1 agreement", value=pytest.approx(200 / 3), low=pytest.approx(100 * low),
                            high=pytest.approx(100 * high), unit="%", count=3)


def test_signal_to_noise_is_of_the_sums_over_all_samples() -> None:
    """Signal 4 + 16 = 20, noise 0.04 + 0.16 = 0.2: 20 dB; each sample alone is 20 dB too."""
    metric = SQNR()
    figure = figure_of(metric, [(np.array([2.0, 0.0]), np.array([2.2, 0.0])), (np.array([4.0]), np.array([4.4]))])
    assert figure.value == pytest.approx(20.0)
    assert metric.per_sample() == pytest.approx([20.0, 20.0])


@pytest.mark.parametrize(("expected", "got", "decibels"), [
    ([1.0, 2.0], [1.0, 2.0], LIMIT_DB), ([0.0], [0.0], LIMIT_DB), ([0.0], [1.0], -LIMIT_DB),
    ([1.0], [float("nan")], -LIMIT_DB), ([1.0], [0.0], 0.0),
])
def test_signal_to_noise_is_always_a_number(expected: list[float], got: list[float], decibels: float) -> None:
    """Identical, silent and broken outputs have a figure that can be written down."""
    assert figure_of(SQNR(), [(np.array(expected), np.array(got))]).value == decibels


def test_cosine_is_of_the_sums_over_all_samples() -> None:
    """(1·1 + 0·1 + 1) / sqrt(2 · 3)."""
    assert figure_of(Cosine(), [(np.array([1.0, 0.0]), np.array([1.0, 1.0])),
                                (np.array([1.0]), np.array([1.0]))]).value == pytest.approx(2 / math.sqrt(6))
    assert figure_of(Cosine(), [(np.zeros(2), np.zeros(2))]).value == 1.0
    assert figure_of(Cosine(), [(np.zeros(2), np.ones(2))]).value == 0.0


def test_kl_divergence_of_logits_and_of_probabilities() -> None:
    """p = (1/2, 1/2), q = (1/4, 3/4): 1/2 log 2 + 1/2 log 2/3. A probability of 0 counts as half a step of 1/256."""
    wanted = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    halves, quarters = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert figure_of(KLDivergence(), [(np.log(halves), np.log(quarters) + 7)]).value == pytest.approx(wanted)
    assert figure_of(KLDivergence(logits=False), [(halves, quarters)]).value == pytest.approx(wanted)
    assert math.isfinite(figure_of(KLDivergence(logits=False), [(halves, np.array([0.0, 1.0]))]).value)
    assert figure_of(KLDivergence(), [(np.array([1e4, 0.0]), np.array([1e4, 0.0]))]).value == 0.0


def test_the_largest_error_is_in_steps_of_the_grid_and_has_no_interval() -> None:
    """|0 - -1| / 0.5 = 2 steps."""
    figure = figure_of(LargestError(0.5), EVERY["LSB"][1])
    assert (figure.value, figure.low, figure.high, figure.unit) == (2.0, None, None, "LSB")


@pytest.mark.parametrize(("metric", "value"), [(MAE(), 1.0), (RMSE(), math.sqrt(2.0)), (R2(), 1 - 8 / 5)])
def test_errors_of_regression(metric: Metric, value: float) -> None:
    """Errors 0, 2, 0, 2 on 1, 2, 3, 4 (mean 2.5, sum of squares about it 5)."""
    got = [1.0, 4.0, 3.0, 6.0]
    assert figure_of(metric, [(np.array([x]), np.array([y])) for x, y in zip([1.0, 2.0, 3.0, 4.0], got, strict=True)]
                     ).value == pytest.approx(value)


def test_r2_is_the_mean_over_outputs_that_vary_and_does_not_mind_a_large_offset() -> None:
    """One output is answered exactly, one never varies, one is answered by its mean: (1 + 0) / 2."""
    true = [np.array([1e6 + x, 5.0, float(x)]) for x in range(5)]
    samples = [(row, np.array([row[0], 5.0, 2.0])) for row in true]
    assert figure_of(R2(), samples).value == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(DataError, match="expected an expected value that varies"):
        figure_of(R2(), samples[:1])


def test_mean_iou_over_classes_that_occur() -> None:
    """Class 0: 2 of 4 pixels, class 1: 1 of 3; class 2 never occurs; the label 255 does not count."""
    true, got = np.array([[0, 0, 0, 1], [1, 255, 255, 255]]), np.array([[0, 0, 1, 1], [0, 0, 1, 2]])
    assert figure_of(MeanIoU(3), [(true, got)]).value == pytest.approx(100 * (2 / 4 + 1 / 3) / 2)


def test_errors_of_keypoints() -> None:
    """Two labelled points, off by 0 and by 5 of a size of 10; the third is not labelled."""
    got = np.array([[0.0, 0.0], [3.0, 9.0], [0.0, 0.0]])
    assert figure_of(NME(), [(A_POSE, got)]).value == pytest.approx(25.0)
    assert figure_of(PCK(0.2), [(A_POSE, got)]).value == 50.0
    assert figure_of(PCK(0.5), [(A_POSE, got)]).value == 100.0
    falloff = math.exp(-25 / (2 * 100 * (2 * COCO_SIGMAS[1]) ** 2))
    assert figure_of(OKS(COCO_SIGMAS[:3]), [(A_POSE, got)]).value == pytest.approx(50 * (1 + falloff))
    nothing = A_POSE._replace(visible=np.zeros(3))
    assert figure_of(OKS(COCO_SIGMAS[:3]), [(A_POSE, got), (nothing, got)]).value == pytest.approx(50 * (1 + falloff))


def test_auc_counts_pairs_and_half_of_equal_ones() -> None:
    """Positives 0.9, 0.5; negatives 0.1, 0.5. Of the four pairs three are in order and one is equal."""
    figure = figure_of(AUC(), [(1, 0.9), (1, 0.5), (0, 0.1), (0, 0.5)])
    assert figure.value == 3.5 / 4


def test_auc_needs_both_labels() -> None:
    """With one label only there is no curve."""
    with pytest.raises(DataError, match="both a positive and a negative"):
        figure_of(AUC(), [(1, 0.9), (1, 0.5)])


def test_auc_s_interval_has_a_width_at_one_and_covers_the_truth() -> None:
    """Perfectly separated: the upper end is 1, the lower well below. Normal scores one deviation apart (area 0.7602): 95 of
    100 intervals should cover it; at least 90 do."""
    figure = figure_of(AUC(), [(index % 2, float(index % 2)) for index in range(20)])
    assert (figure.value, figure.high) == (1.0, 1.0)
    assert figure.low is not None
    assert 0.6 < figure.low < 0.95
    random, covered = np.random.default_rng(1), 0
    for _ in range(100):
        labels = np.arange(60) % 2
        metric = AUC()
        for label, score in zip(labels, random.normal(labels, 1.0), strict=True):
            metric.add(int(label), float(score))
        low, high = metric.interval()
        assert low is not None
        assert high is not None
        covered += low <= 0.7602 <= high
    assert covered >= 90


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=30))
@settings(max_examples=20, deadline=None)
def test_the_bootstrap_s_weights_give_what_the_resampled_samples_give(pairs: list[tuple[float, float]]) -> None:
    """Weighting samples 2, 0, 1, 1, … is the same as giving the first twice and the second not at all."""
    samples = [(np.array([x]), np.array([y])) for x, y in pairs]
    weights = np.ones((1, len(samples)))
    weights[0, 0], weights[0, 1] = 2, 0
    for make in (MAE, RMSE, SQNR, Cosine):
        whole, resampled = make(), make()
        for sample in samples:
            whole.add(*sample)
        for sample in [samples[0], samples[0], *samples[2:]]:
            resampled.add(*sample)
        assert whole.values(weights)[0] == pytest.approx(resampled.value(), rel=1e-9, abs=1e-9)


def test_a_bootstrap_interval_covers_the_true_mean() -> None:
    """Exponential errors of mean 1, 80 samples: 95 of 100 intervals should cover 1; at least 88 do."""
    random, covered = np.random.default_rng(0), 0
    for _ in range(100):
        metric = MAE()
        metric.draws = 400
        for value in random.exponential(1.0, 80):
            metric.add(np.zeros(1), np.array([value]))
        low, high = metric.interval()
        assert low is not None
        assert high is not None
        covered += low <= 1.0 <= high
    assert covered >= 88
