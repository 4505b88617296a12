"""Top-k accuracy, and how often INT8 gives float's first answer. Shares of samples, so Wilson's interval."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.metrics.intervals import wilson
from quantize.metrics.metric import Metric

__all__ = ["Agreement", "Share", "Top"]


class Share(Metric):
    """A share of samples, in percent. ``parts`` of a subclass is one number, 0 or 1."""

    unit = "%"

    def statistic(self, sums: Array) -> Array:
        return 100.0 * sums[:, 0] / sums[:, 1]

    def add(self, expected: object, got: object) -> None:
        self._rows.append(np.array([float(self.parts(expected, got)), 1.0]))

    def interval(self) -> tuple[float | None, float | None]:
        low, high = wilson(float(self.hits.sum()), self.count)
        return 100 * low, 100 * high

    @property
    def hits(self) -> Array:
        """(samples,) of 0.0 and 1.0."""
        return np.array([row[0] for row in self._rows])


class Top(Share):
    """Whether the label is among the ``k`` best scores. Of equal scores, common in INT8, the one of lower index is better,
    as in ``argmax`` and on the device."""

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        self.k, self.name = k, f"top-{k}"

    def parts(self, expected: int, got: Array) -> bool:
        """``expected``: index of the label. ``got``: scores or logits, any shape, one for each class."""
        scores = np.ravel(got)
        own = scores[int(expected)]
        better = np.count_nonzero(scores > own) + np.count_nonzero(scores[: int(expected)] == own)
        return bool(better < self.k) and bool(np.isfinite(own))


class Agreement(Share):
    """Whether INT8's best class is float's: the accuracy that can be told without labels."""

    name = "top-1 agreement"

    def parts(self, expected: Array, got: Array) -> bool:
        """``expected``: float's scores or logits. ``got``: INT8's."""
        return bool(np.argmax(expected) == np.argmax(got))
