"""The best classes of one output of N scores."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.parameters import Count, Share, class_names, read, stricter
from edgeinfer.model.decoders.roles import describe, named, only, size_of
from edgeinfer.model.decoders.scores import Scores
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Classes, Label
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Classify", "Parameters"]

WHERE = "decoder classify"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``softmax`` or ``sigmoid`` when the model ends in logits. ``background``: a class that is never reported; a softmax
    still counts it, and so do the labels. ``scores`` names the output where there are several."""

    top_k: Count = 5
    threshold: Share = 0.0
    softmax: bool = False
    sigmoid: bool = False
    background: int | None = None
    scores: str = ""

    def __post_init__(self) -> None:
        if self.softmax and self.sigmoid:
            raise ValueError("expected softmax or sigmoid, got both")


class Classify:
    """Any output with N elements, of any dtype; the rows are the classes at or over the threshold, best first, of equal
    scores the lower class first. Scores that are not finite are passed over."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self._output = _find(chosen, outputs, labels)
        spec = outputs[self._output]
        count = size_of(WHERE, spec)
        self._names = class_names(labels, count, describe([spec]))
        self._background = chosen.background
        if chosen.background is not None and not 0 <= chosen.background < count:
            raise ManifestError(f"{WHERE}.background", f"a class from 0 to {count - 1}", str(chosen.background))
        self.own_threshold = chosen.threshold
        self._threshold = stricter(chosen.threshold, threshold)
        self._scores = Scores(spec, WHERE, self._threshold, chosen.sigmoid)
        self._softmax = chosen.softmax
        self._allocate(count)
        self._result = Classes(rows=[Label() for _ in range(min(chosen.top_k, count))])

    def _allocate(self, count: int) -> None:
        """A copy of the scores in a wider dtype, so that ``floor`` (what is already reported) is below every score."""
        stored = self._scores.dtype
        is_float = stored.kind == "f"
        wider = np.dtype(np.int16 if stored.itemsize == 1 else np.int64)
        self._copy = np.empty(count, stored if is_float else wider)
        self._floor: float = -np.inf if is_float else int(np.iinfo(self._copy.dtype).min)
        self._exponents = np.empty(count if self._softmax else 0)
        # exp of a difference of d steps from the best 8-bit logit: 256 values, computed once
        steps = np.arange(256 if self._softmax and stored.itemsize == 1 else 0)
        self._table = np.exp(-self._scores.scale * steps)
        self._steps = np.empty(count if len(steps) else 0, np.intp)

    @property
    def nbytes(self) -> int:
        rows = self._result.rows
        arrays = (self._copy, self._exponents, self._table, self._steps)
        return sum(array.nbytes for array in arrays) + len(rows) * (sys.getsizeof(rows[0]) + sys.getsizeof(0.0))

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Classes:
        """The same result each time."""
        copy = self._copy
        copy[:] = outputs[self._output].reshape(-1)
        if isinstance(self._floor, float) and not np.isfinite(copy).all():
            copy[~np.isfinite(copy)] = -np.inf
        total = self._sum_of_exponentials() if self._softmax else 0.0
        if self._background is not None:
            copy[self._background] = self._floor
        return self._fill(total)

    def _fill(self, total: float) -> Classes:
        copy, scores, count = self._copy, self._scores, 0
        limit = -np.inf if self._softmax else scores.limit
        for row in self._result.rows:
            index = int(copy.argmax())
            stored = copy.item(index)
            if stored < limit or stored == self._floor:
                break
            row.score = self._share(stored, total) if self._softmax else scores.one(stored)
            if self._softmax and row.score < self._threshold:
                break
            row.index, row.label = index, self._names[index]
            copy[index] = self._floor
            count += 1
        self._result.count = count
        return self._result

    def _sum_of_exponentials(self) -> float:
        """Sum of exp(logit - best logit); the background counts."""
        self._best = self._copy.max().item()
        if self._best == self._floor:
            return 1.0
        if len(self._table):
            np.subtract(self._best, self._copy, out=self._steps)
            self._table.take(self._steps, out=self._exponents, mode="clip")
        else:
            np.subtract(self._copy, self._best, out=self._exponents, dtype=np.float64)
            np.exp(np.multiply(self._exponents, self._scores.scale, out=self._exponents), out=self._exponents)
        return float(self._exponents.sum())

    def _share(self, stored: float, total: float) -> float:
        return float(np.exp(self._scores.scale * (stored - self._best))) / total


def _find(chosen: Parameters, outputs: Sequence[TensorSpec], labels: Sequence[str]) -> int:
    if chosen.scores:
        return named(f"{WHERE}.scores", chosen.scores, outputs)
    every = list(range(len(outputs)))
    fitting = every if len(outputs) == 1 else [i for i in every if size_of(WHERE, outputs[i]) == len(labels)]
    return only(WHERE, "one output of class scores", fitting, outputs, 'name it: decoder.parameters.scores: "NAME"')
