"""Mean intersection over union of label maps."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.metrics.metric import Metric

__all__ = ["MeanIoU"]


class MeanIoU(Metric):
    """For each class TP / (TP + FP + FN) over the pixels of all pictures, then the mean over classes that occur (expected or
    got), in percent: the measure of M. Everingham et al., "The PASCAL Visual Object Classes challenge", IJCV 88 (2010), 4.3.
    Two numbers for each class and picture are kept; the interval is a bootstrap over pictures."""

    name = "mean IoU"
    unit = "%"
    needs = "a labelled pixel"

    def __init__(self, classes: int, ignore: int | None = 255) -> None:
        """``ignore``: the label of pixels that do not count."""
        super().__init__()
        self._classes, self._ignore = classes, ignore

    def parts(self, expected: Array, got: Array) -> Array:
        """Both: (height, width) integers, the class of each pixel."""
        true, answer = np.ravel(expected).astype(np.int64), np.ravel(got).astype(np.int64)
        if self._ignore is not None:
            answer, true = answer[true != self._ignore], true[true != self._ignore]
        table = np.bincount(true * self._classes + answer, minlength=self._classes**2).reshape(self._classes, -1)
        intersection = np.diag(table)
        return np.concatenate([intersection, table.sum(axis=0) + table.sum(axis=1) - intersection])

    def statistic(self, sums: Array) -> Array:
        intersection, union = sums[:, : self._classes], sums[:, self._classes :]
        present = union > 0
        shares = np.where(present, intersection / np.where(present, union, 1.0), 0.0)
        return np.asarray(100.0 * shares.sum(axis=1) / present.sum(axis=1))
