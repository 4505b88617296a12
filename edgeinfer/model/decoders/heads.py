"""Class scores of many candidates: which candidates have a class over the limit, in the quantised domain."""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.model.decoders.scores import Real, Scores, logit
from edgeinfer.model.tensor import Array

__all__ = ["ClassHead", "SoftmaxHead"]

_FEW = 200  # rows


class ClassHead:
    """One tensor of ``candidates`` rows; its columns from ``first`` on are the scores of classes.

    ``channels_first`` says that memory holds the transpose: (columns, candidates). Views passed in are always
    (candidates, columns). A candidate with a NaN among its scores may be dropped. Used by the inference thread.
    """

    def __init__(self, scores: Scores, candidates: int, columns: int, first: int, channels_first: bool) -> None:
        self.scores = scores
        self.first = first
        self._columns = columns
        self._channels_first = channels_first
        self._best = np.empty(candidates if channels_first else 0, scores.dtype)
        self._bytes = bytearray(candidates if channels_first else candidates * columns)
        self._mask = np.frombuffer(self._bytes, np.bool_)

    @property
    def nbytes(self) -> int:
        return self._best.nbytes + self._mask.nbytes

    def survivors(self, head: Array) -> Array:
        """Indices, rising, of the candidates of which at least one class reaches the limit."""
        if self._channels_first:  # the maximum over rows of contiguous memory is vectorised
            np.maximum.reduce(head.T[self.first :], axis=0, out=self._best)
            return np.flatnonzero(np.greater_equal(self._best, self.scores.limit, out=self._mask))
        # here a maximum per row is slow: compare the whole tensor at once, then see which rows were hit
        mask = self._mask.reshape(head.shape)
        np.greater_equal(head, self.scores.limit, out=mask)
        self._clear(mask)
        return self._hit_rows()

    def _clear(self, mask: Array) -> None:
        """No hits before the classes; by fours, where they fit, for it is five times faster."""
        if self.first % 4 or self._columns % 4:
            mask[:, : self.first] = False
        else:
            mask.view(np.uint32)[:, : self.first // 4] = 0

    def _hit_rows(self) -> Array:
        """Rows with a hit. Few are found by searching the bytes, which goes on at the next row; many by numpy."""
        rows, columns = list[int](), self._columns
        at = self._bytes.find(1)
        while at >= 0 and len(rows) < _FEW:
            rows.append(at // columns)
            at = self._bytes.find(1, (rows[-1] + 1) * columns)
        if at < 0:
            return np.array(rows, np.intp)
        every = np.flatnonzero(self._mask) // columns
        return every[np.flatnonzero(np.diff(every, prepend=-1))]

    def best(self, head: Array, rows: Array) -> tuple[Array, Array]:
        """Best class of each of ``rows`` (counted from ``first``) and its score in float64; the lower class wins a tie."""
        stored = head[rows, self.first :]
        classes = stored.argmax(axis=1)
        return classes, self.scores.many(stored[np.arange(len(rows)), classes])

    def find(self, head: Array) -> tuple[Array, Array, Array]:
        """Indices of the candidates that reach the threshold, their best classes and scores."""
        rows = self.survivors(head)
        return rows, *self.best(head, rows)


class SoftmaxHead:
    """The same for (candidates, columns) of logits under a softmax over all columns; class 0 may be the background, or the
    ``last`` columns may stand for nothing at all (DETR's last one).

    In the quantised domain a necessary condition finds the few rows of which a softmax is computed. A probability of p
    leaves 1 - p to the others: the best logit is at least log(p / (1 - p)) over the background's, and at least
    log(p * (columns - 1) / (1 - p)) over the least one.
    """

    def __init__(self, values: Real, candidates: int, columns: int, first: int, threshold: float, last: int = 0) -> None:
        self.first = first
        self._classes = slice(first, columns - last)
        self._values = values
        self._threshold = threshold
        margin = logit(min(threshold, 1 - 1e-12)) + (0.0 if first else math.log(max(columns - 1, 1)))
        self._steps = margin / values.scale - 1e-6  # less a little, for the rounding of the logarithm
        self._best = np.empty(candidates, values.dtype)
        self._least = np.empty(0 if first else candidates, values.dtype)
        self._margins = np.empty(candidates)

    @property
    def nbytes(self) -> int:
        return self._best.nbytes + self._least.nbytes + self._margins.nbytes

    def find(self, head: Array) -> tuple[Array, Array, Array]:
        """Indices of the candidates that reach the threshold, their best classes (from ``first``) and probabilities."""
        np.maximum.reduce(head[:, self._classes], axis=1, out=self._best)
        against = head[:, 0] if self.first else np.minimum.reduce(head, axis=1, out=self._least)
        np.subtract(self._best, against, out=self._margins, dtype=np.float64)
        rows = np.flatnonzero(self._margins >= self._steps)
        exponents = self._values.many(head[rows])
        np.exp(exponents - exponents.max(axis=1, keepdims=True), out=exponents)
        exponents /= exponents.sum(axis=1, keepdims=True)
        classes = exponents[:, self._classes].argmax(axis=1)
        scores = exponents[np.arange(len(rows)), classes + self.first]
        passed = np.flatnonzero(scores >= self._threshold)
        return rows[passed], classes[passed], scores[passed]
