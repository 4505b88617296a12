"""Mean average precision as COCO defines it (https://cocodataset.org/#detection-eval, pycocotools' cocoeval.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.metrics.intervals import Z
from quantize.metrics.metric import Metric

__all__ = ["COCO_THRESHOLDS", "Found", "MeanAveragePrecision", "Truth", "truth_of"]

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
_RECALLS = np.linspace(0.0, 1.0, 101)


class Truth(NamedTuple):
    """The objects of a picture. ``boxes`` (n, 4): left, top, right, bottom, in any one unit; ``classes`` (n,); ``crowd``
    (n,): boxes around many objects, in which detections are neither right nor wrong."""

    boxes: Array
    classes: Array
    crowd: Array | None = None


class Found(NamedTuple):
    """The detections of a picture: ``boxes`` (n, 4) in the truth's unit, ``classes`` (n,), ``scores`` (n,)."""

    boxes: Array
    classes: Array
    scores: Array


def truth_of(found: Found, least: float = 0.5) -> Truth:
    """Float's detections of at least that score as the truth: with it the mAP of INT8 says how well the two agree."""
    sure = np.asarray(found.scores) >= least
    return Truth(np.asarray(found.boxes)[sure], np.asarray(found.classes)[sure])


class _Class:
    """What the pictures so far said of one class."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.pictures: list[int] = []
        self.right: list[Array] = []  # for each detection, at each threshold
        self.ignored: list[Array] = []
        self.objects: dict[int, int] = {}  # picture to number of objects


class MeanAveragePrecision(Metric):
    """The area under precision over recall, at 101 recalls, meaned over classes that have an object and over thresholds of
    overlap, in percent; at most ``most`` detections of a class in a picture. Pictures are matched when added; a bit for each
    detection and threshold is kept.

    The interval is 1.96 standard errors of a bootstrap over pictures to either side. Its percentiles would lie too high:
    pictures drawn twice make the classes of a resample look easier than they are."""

    unit = "%"
    needs = "an object"
    draws = 200  # each draw goes through all detections of all classes

    def __init__(self, thresholds: Sequence[float] = COCO_THRESHOLDS, most: int = 100) -> None:
        """``thresholds``: of intersection over union; (0.5,) for mAP50."""
        super().__init__()
        self.name = f"mAP{round(100 * thresholds[0])}" if len(thresholds) == 1 else "mAP"
        self._thresholds, self._most = tuple(thresholds), most
        self._classes: dict[int, _Class] = {}
        self._pictures = 0

    @property
    def count(self) -> int:
        return self._pictures

    def add(self, expected: Truth, got: Found) -> None:
        truth, found = np.ravel(expected.classes), np.ravel(got.classes)
        crowd = np.zeros(len(truth), bool) if expected.crowd is None else np.asarray(expected.crowd, bool)
        for label in np.unique(np.concatenate([truth, found])):
            known = self._classes.setdefault(int(label), _Class())
            ours, theirs = truth == label, found == label
            objects = int((ours & ~crowd).sum())
            if objects:
                known.objects[self._pictures] = objects
            scores = np.asarray(got.scores, np.float64)[theirs]
            order = np.argsort(-scores, kind="stable")[: self._most]
            overlaps = _overlaps(np.asarray(got.boxes, np.float64).reshape(-1, 4)[theirs][order],
                                 np.asarray(expected.boxes, np.float64).reshape(-1, 4)[ours], crowd[ours])
            right, ignored = _match(overlaps, crowd[ours], self._thresholds)
            known.scores += scores[order].tolist()
            known.pictures += [self._pictures] * len(order)
            known.right += list(right)
            known.ignored += list(ignored)
        self._pictures += 1

    def values(self, weights: Array) -> Array:
        columns = [column for known in self._classes.values() if known.objects for column in [self._of(known, weights)]]
        if not columns:
            return np.full(len(weights), np.nan)
        table = np.stack(columns, axis=1)
        present = np.isfinite(table)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(100.0 * np.where(present, table, 0.0).sum(axis=1) / present.sum(axis=1))

    def interval(self) -> tuple[float | None, float | None]:
        low, high = self.span(self.value(), self.resampled())
        return max(low, 0.0), min(high, 100.0)

    def span(self, value: float, resampled: Array) -> tuple[float, float]:
        half = Z * float(np.nanstd(resampled))
        return value - half, value + half

    def _of(self, known: _Class, weights: Array) -> Array:
        """(draws,) average precision of one class, the mean over thresholds; NaN where no object was drawn."""
        objects = weights[:, list(known.objects)] @ np.array(list(known.objects.values()), np.float64)
        if not known.scores:
            return np.where(objects > 0, 0.0, np.nan)
        order = np.argsort(-np.array(known.scores), kind="stable")
        right = np.stack(known.right)[order].T
        counts = ~np.stack(known.ignored)[order].T
        pictures = np.array(known.pictures)[order]
        means = np.full(len(weights), np.nan)
        for index in np.flatnonzero(objects > 0):
            weight = weights[index, pictures]
            hits = np.cumsum(weight * (right & counts), axis=1)
            all = np.cumsum(weight * counts, axis=1)
            precision = hits / np.maximum(all, 1e-9)
            precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            means[index] = np.mean([_area(rise / objects[index], height)
                                    for rise, height in zip(hits, precision, strict=True)])
        return means


def _area(recall: Array, precision: Array) -> float:
    """The mean of precision at the 101 recalls; 0 where a recall is never reached."""
    places = np.searchsorted(recall, _RECALLS, side="left")
    reached = places < len(precision)
    return float(precision[places[reached]].sum() / len(_RECALLS))


def _overlaps(found: Array, truth: Array, crowd: Array) -> Array:
    """(found, truth) intersection over union; over the found box's own area where the truth is a crowd."""
    sides = np.minimum(found[:, None, 2:], truth[None, :, 2:]) - np.maximum(found[:, None, :2], truth[None, :, :2])
    shared = np.prod(np.maximum(sides, 0.0), axis=2)
    own, theirs = _areas(found)[:, None], _areas(truth)[None, :]
    whole = np.where(crowd[None, :], own, own + theirs - shared)
    return np.where(whole > 0, shared / np.where(whole > 0, whole, 1.0), 0.0)


def _areas(boxes: Array) -> Array:
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1))


def _match(overlaps: Array, crowd: Array, thresholds: Sequence[float]) -> tuple[Array, Array]:
    """(found, thresholds) of whether each detection, best score first, takes an object, and whether it is ignored because it
    lies in a crowd. Each takes the free object that it overlaps most; a crowd takes any number."""
    right = np.zeros((len(overlaps), len(thresholds)), bool)
    ignored = np.zeros_like(right)
    if not overlaps.shape[1]:
        return right, ignored
    for column, threshold in enumerate(thresholds):
        free = ~crowd
        for row, line in enumerate(overlaps):
            best = np.where(free, line, -1.0)
            taken = int(np.argmax(best))
            if best[taken] >= threshold - 1e-10:
                right[row, column], free[taken] = True, False
            elif np.any(line[crowd] >= threshold - 1e-10):
                ignored[row, column] = True
    return right, ignored
