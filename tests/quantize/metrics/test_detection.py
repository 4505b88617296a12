"""Mean average precision: COCO's rules one by one, on pictures small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from quantize.metrics.detection import COCO_THRESHOLDS, Found, MeanAveragePrecision, Truth, truth_of

SQUARE, FAR = [0, 0, 10, 10], [50, 50, 60, 60]


def truth(*boxes: ArrayLike, classes: list[int] | None = None, crowd: list[bool] | None = None) -> Truth:
    table = np.array(boxes, float).reshape(-1, 4)
    return Truth(table, np.array(classes or [0] * len(table), int), None if crowd is None else np.array(crowd))


def found(*rows: tuple[ArrayLike, float], classes: list[int] | None = None) -> Found:
    table = np.array([box for box, _ in rows], float).reshape(-1, 4)
    return Found(table, np.array(classes or [0] * len(table), int), np.array([score for _, score in rows]))


def mean_ap(pictures: list[tuple[Truth, Found]], thresholds: tuple[float, ...] = (0.5,)) -> float:
    metric = MeanAveragePrecision(thresholds)
    for expected, got in pictures:
        metric.add(expected, got)
    return metric.value()


@pytest.mark.parametrize(("expected", "got", "value"), [
    pytest.param(truth(SQUARE), found((SQUARE, 0.9)), 100.0, id="found exactly"),
    pytest.param(truth(SQUARE), found(), 0.0, id="not found"),
    pytest.param(truth(SQUARE), found((FAR, 0.9)), 0.0, id="found elsewhere"),
    pytest.param(truth(SQUARE), found(([0, 0, 10, 5], 0.9)), 100.0, id="overlap of exactly one half counts"),
    pytest.param(truth(SQUARE), found(([0, 0, 10, 4.9], 0.9)), 0.0, id="overlap of less does not"),
    pytest.param(truth(SQUARE), found((SQUARE, 0.9), (SQUARE, 0.8)), 100.0, id="a later duplicate costs no recall"),
    pytest.param(truth(SQUARE), found((FAR, 0.9), (SQUARE, 0.8)), 50.0, id="a false one before it halves the precision"),
    pytest.param(truth(SQUARE, FAR), found((SQUARE, 0.9)), 100 * 51 / 101, id="half of them: recalls 0 to 0.5"),
    pytest.param(truth(SQUARE, FAR), found((SQUARE, 0.9), (SQUARE, 0.8), (FAR, 0.7)), 100 * (51 + 50 * 2 / 3) / 101,
                 id="a duplicate is false: precision 1 to recall 0.5, then two thirds"),
    pytest.param(truth(SQUARE, FAR, classes=[0, 1]), found((SQUARE, 0.9)), 50.0, id="the mean over classes"),
    pytest.param(truth(SQUARE), found((SQUARE, 0.9), (FAR, 0.99), classes=[0, 7]), 100.0,
                 id="a class without objects does not count"),
    pytest.param(truth(SQUARE, FAR, crowd=[False, True]), found((SQUARE, 0.8), (FAR, 0.9), ([52, 52, 55, 55], 0.95)), 100.0,
                 id="in a crowd, neither right nor wrong"),
])
def test_average_precision_of_one_picture(expected: Truth, got: Found, value: float) -> None:
    """Threshold 0.5."""
    assert mean_ap([(expected, got)]) == pytest.approx(value)


def test_an_object_is_taken_by_the_best_score_and_a_detection_takes_the_nearest_object() -> None:
    """Two overlapping objects, two detections, each nearer to another one."""
    near = [3, 0, 13, 10]
    assert mean_ap([(truth(SQUARE, near), found((near, 0.9), (SQUARE, 0.8)))]) == pytest.approx(100.0)


def test_scores_of_all_pictures_are_ranked_together() -> None:
    """A sure false detection in one picture stands before a right one in another."""
    pictures = [(truth(), found((FAR, 0.9))), (truth(SQUARE), found((SQUARE, 0.8)))]
    assert mean_ap(pictures) == pytest.approx(50.0)


def test_ten_thresholds_are_meaned() -> None:
    """Overlap 0.72 is enough for 0.5, 0.55, 0.6, 0.65 and 0.7: half of the ten."""
    assert mean_ap([(truth(SQUARE), found(([0, 0, 10, 7.2], 0.9)))], COCO_THRESHOLDS) == pytest.approx(50.0)


def test_at_most_a_hundred_of_a_class_count() -> None:
    """The hundred and first detection is not looked at, the hundredth is."""
    false = [([20.0 + index, 20, 20.5 + index, 21], 0.9) for index in range(100)]
    assert mean_ap([(truth(SQUARE), found(*false, (SQUARE, 0.5)))]) == 0.0
    assert mean_ap([(truth(SQUARE), found(*false[1:], (SQUARE, 0.5)))]) == pytest.approx(1.0)


def test_float_s_detections_serve_as_truth() -> None:
    """Those that float is sure of; INT8 found one of two."""
    expected = truth_of(found((SQUARE, 0.9), (FAR, 0.7), ([1, 1, 2, 2], 0.2)))
    assert mean_ap([(expected, found((SQUARE, 0.85)))]) == pytest.approx(100 * 51 / 101)


def test_weights_of_the_bootstrap_give_what_the_drawn_pictures_give() -> None:
    """The first picture twice, the second not, the third once."""
    pictures = [(truth(SQUARE, FAR), found((SQUARE, 0.9), (FAR, 0.3))), (truth(SQUARE), found((FAR, 0.95))),
                (truth(SQUARE, classes=[1]), found((FAR, 0.5), (SQUARE, 0.4), classes=[1, 1]))]
    metric = MeanAveragePrecision()
    for picture in pictures:
        metric.add(*picture)
    drawn = [pictures[0], pictures[0], pictures[2]]
    assert metric.values(np.array([[2.0, 0.0, 1.0]]))[0] == pytest.approx(mean_ap(drawn, COCO_THRESHOLDS))
    assert metric.result().low is not None
