"""Which metrics tell how good a model's answers are: by what its decoder gives, and by what is known of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeinfer.errors import DataError
from edgeinfer.model.result import Anomaly, Classes, Detections, Regression, Result
from edgeinfer.model.tensor import Array
from quantize.dataset.labels import Boxes, ClassLabel, Label, Mask, Values
from quantize.metrics import Figure, Metric
from quantize.metrics.auc import AUC
from quantize.metrics.classification import Agreement, Top
from quantize.metrics.detection import Found, MeanAveragePrecision, Truth, truth_of
from quantize.metrics.fidelity import SQNR, Cosine, KLDivergence
from quantize.metrics.regression import MAE, R2, RMSE
from quantize.metrics.segmentation import MeanIoU
from quantize.subject import Answer

__all__ = ["Scores", "found_of"]


class Scores:
    """The metrics of one subject. ``true``: against labels, the leading one first; ``fidelity``: against the float model."""

    def __init__(self) -> None:
        self.true: list[Metric] = []
        self.fidelity: list[Metric] = []
        self._begun = False

    def add(self, label: Label | None, reference: Answer, answer: Answer) -> None:
        """One sample. ``reference`` is the float model's answer; a label of another task than the decoder's is an error."""
        if not self._begun:
            self.true, self.fidelity, self._begun = _true(label, answer), _fidelity(answer.result, reference), True
        for metric in self.true:
            expected, got = _against(label, metric, answer)
            metric.add(expected, got)
        for metric in self.fidelity:
            expected, got = _beside(metric, reference, answer)
            metric.add(expected, got)

    def leading(self) -> Metric | None:
        """What decides: accuracy where there are labels, else agreement with the float model, else the signal to noise."""
        return next(iter([*self.true, *self.fidelity]), None)

    def figures(self) -> list[Figure]:
        """All of them that there are samples for."""
        found = []
        for metric in [*self.true, *self.fidelity]:
            try:
                found.append(metric.result())
            except DataError:  # say an AUC of samples that are all normal
                continue
        return found


def found_of(result: Detections) -> Found:
    """A decoder's detections as metrics take them, in fractions of the source picture."""
    rows = result.rows[: result.count]
    return Found(np.array([(row.left, row.top, row.right, row.bottom) for row in rows], np.float64).reshape(-1, 4),
                 np.array([row.index for row in rows], np.int64), np.array([row.score for row in rows], np.float64))


def _true(label: Label | None, answer: Answer) -> list[Metric]:
    if label is None:
        return []
    result = answer.result
    if isinstance(label, ClassLabel) and isinstance(result, Anomaly):
        return [AUC()]
    if isinstance(label, ClassLabel):
        classes = _flat(answer).size
        return [Top(1), Top(5)] if classes > 5 else [Top(1)]
    if isinstance(label, Boxes) and isinstance(result, Detections):
        return [MeanAveragePrecision(), MeanAveragePrecision((0.5,))]
    if isinstance(label, Values):
        return [MAE(), RMSE(), R2()]
    if isinstance(label, Mask):
        return [MeanIoU(max(_first(answer).shape[1], 2))]
    raise DataError("labels", f"labels that a decoder giving {type(result).__name__.lower()} can be judged by",
                    type(label).__name__, "--decoder says what the outputs mean")


def _against(label: Label | None, metric: Metric, answer: Answer) -> tuple[Any, Any]:
    result = answer.result
    if isinstance(label, ClassLabel):
        return label.index, result.score() if isinstance(metric, AUC) else _flat(answer)
    if isinstance(label, Boxes):
        assert isinstance(result, Detections)
        return Truth(label.corners, label.classes, label.crowd), found_of(result)
    if isinstance(label, Values):
        return np.array(label.values), np.array(result.values) if isinstance(result, Regression) else _flat(answer)
    if isinstance(label, Mask):
        got = _map(answer)
        return _shrunk(label.classes, got.shape), got
    raise DataError("labels", "a label for each sample, of one kind", type(label).__name__)


def _fidelity(result: Result, reference: Answer) -> list[Metric]:
    if isinstance(result, Classes):
        return [Agreement(), SQNR(), KLDivergence(logits=not _probabilities(_flat(reference)))]
    if isinstance(result, Detections):
        return [_Likeness((0.5,)), SQNR()]
    vector = len(reference.outputs) == 1 and 1 < _flat(reference).size == max(_first(reference).shape)
    if vector and not isinstance(result, Anomaly | Regression):
        return [Agreement(), SQNR(), Cosine()]
    return [SQNR(), Cosine()]


class _Likeness(MeanAveragePrecision):
    """The mAP of a model's detections with the float model's sure ones as the truth."""

    def __init__(self, thresholds: Sequence[float]) -> None:
        super().__init__(thresholds)
        self.name = "agreement of detections"


def _beside(metric: Metric, reference: Answer, answer: Answer) -> tuple[Any, Any]:
    if isinstance(metric, _Likeness):
        assert isinstance(reference.result, Detections)
        assert isinstance(answer.result, Detections)
        return truth_of(found_of(reference.result), 0.0), found_of(answer.result)
    if isinstance(metric, Agreement | KLDivergence):
        return _flat(reference), _flat(answer)
    return (np.concatenate([np.ravel(array) for array in reference.outputs.values()]),
            np.concatenate([np.ravel(answer.outputs[name]) for name in reference.outputs]))


def _first(answer: Answer) -> Array:
    return next(iter(answer.outputs.values()))


def _flat(answer: Answer) -> Array:
    return np.ravel(_first(answer))


def _probabilities(values: Array) -> bool:
    return bool(values.min() >= -1e-3 and abs(float(values.sum()) - 1) < 0.05)


def _map(answer: Answer) -> Array:
    """(height, width) classes: the arg-max of (1, classes, height, width), or where one probability is over a half."""
    output = _first(answer)
    if output.ndim != 4:
        raise DataError("labels", "an output of 1 x classes x height x width to compare with masks", str(list(output.shape)))
    found: Array = (output[0, 0] > 0.5).astype(np.int64) if output.shape[1] == 1 else output[0].argmax(axis=0)
    return found


def _shrunk(mask: Array, shape: tuple[int, ...]) -> Array:
    """A mask of the source's size at the size of the model's map, each pixel that of the source under its middle."""
    rows = ((np.arange(shape[0]) + 0.5) * mask.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * mask.shape[1] / shape[1]).astype(int)
    shrunk: Array = mask[rows][:, columns]
    return shrunk
