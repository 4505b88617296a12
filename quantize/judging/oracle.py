"""The float model as a witness: does it answer better when its input is normalised in another way?

Two kinds of evidence are added up, as logarithms of odds against the recipe: how the first layer's biases stand beside its
signal (``firstlayer``), and how good the answers look (``answers``), sample by sample against the recipe's. A way that
changes few answers does no harm, whatever the odds. The number of runs is bounded: all ways get a few samples, then the
recipe and the two likeliest the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.tensor import Array
from quantize.dataset.labels import ClassLabel
from quantize.dataset.tensors import Tensors
from quantize.judging import answers as measures
from quantize.judging.answers import Measure
from quantize.judging.channels import Channels
from quantize.judging.conventions import Convention
from quantize.judging.firstlayer import FirstLayer, deviation_from_usual

__all__ = ["Comparison", "Run", "Witness", "compare"]

Run = Callable[[dict[str, Array]], Mapping[str, Array]]

_AT_FIRST = 4  # samples for each way
_SPREAD = 0.6  # of a net's quotient around the usual one, in factors of e
_MOST = 8.0  # log odds of one kind of evidence: none is beyond doubt
_LIVELIER, _MOST_LIVELIER = 2 * math.log(2), 3.0
_MOST_STEADY = 4.5  # of steadiness, which a net that answers nothing but one class has, too


@dataclass
class Witness:
    """One way to normalise, and what the model said to it, sample by sample."""

    convention: Convention
    scores: list[float] = field(default_factory=list)
    answers: list[Array] = field(default_factory=list)
    first: Channels | None = None
    quotient: float | None = None
    odds: float = 0.0
    agreement: float = 1.0

    @property
    def name(self) -> str:
        return self.convention.name

    @property
    def variation(self) -> float:
        return measures.variation(np.array(self.answers))


@dataclass(frozen=True)
class Comparison:
    """``recipe`` and its ``rivals``, likeliest first; ``right``: with labels, the share that the model gets right of each."""

    measure: Measure
    recipe: Witness
    rivals: tuple[Witness, ...]
    runs: int
    right: dict[str, float]
    labelled: int

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        ways = [{"name": one.name, "log_odds": round(one.odds, 3), "same_answers": round(one.agreement, 4),
                 "samples": len(one.answers), "first_layer_bias": None if one.quotient is None else float(f"{one.quotient:.4g}")}
                for one in (self.recipe, *self.rivals)]
        return {"measure": self.measure, "runs": self.runs, "ways": ways,
                "right": {name: round(share, 4) for name, share in self.right.items()}}


def compare(tensors: Tensors, recipe: Convention, others: Sequence[Convention], run: Run, first: FirstLayer | None, task: str,
            budget: int, indices: Sequence[int]) -> Comparison | None:
    """At most ``budget`` runs of the model, on samples spread evenly over those at ``indices``. None where the runs are too few
    to compare anything."""
    if _at_first(budget, len(others)) < 2 or len(indices) < 2:
        return None
    return _Trial(tensors, recipe, others, run, first, task, budget, indices).decide()


class _Trial:
    def __init__(self, tensors: Tensors, recipe: Convention, others: Sequence[Convention], run: Run, first: FirstLayer | None,
                 task: str, budget: int, indices: Sequence[int]) -> None:
        self._tensors, self._run, self._first, self._task, self._budget = tensors, run, first, task, budget
        self._recipe, self._rivals = Witness(recipe), [Witness(other) for other in others]
        self._measure: Measure | None = None
        self._runs = 0
        self._truths: list[int | None] = []
        most = min(len(indices), budget)
        self._order = [indices[number * len(indices) // most] for number in _scattered(most)]

    def decide(self) -> Comparison:
        everyone = [self._recipe, *self._rivals]
        at_first = _at_first(self._budget, len(self._rivals))
        self._hear(everyone, self._order[:at_first])
        self._weigh(self._rivals)
        likeliest = sorted(self._rivals, key=lambda witness: -witness.odds)
        finalists = [witness for witness in likeliest[:2] if witness.odds > -3]
        cost = (1 + len(finalists)) * (2 if self._measure == "steadiness" else 1)
        more = max(self._budget - self._runs, 0) // cost if finalists else 0
        self._hear([self._recipe, *finalists], self._order[at_first : at_first + more])
        self._weigh(finalists)
        right = {witness.name: self._share_right(witness) for witness in everyone} if self._measure == "truth" else {}
        ranked = sorted(self._rivals, key=lambda witness: -witness.odds)
        labelled = sum(truth is not None for truth in self._truths)
        return Comparison(self._measure or "none", self._recipe, tuple(ranked), self._runs, right, labelled)

    def _hear(self, witnesses: Sequence[Witness], indices: Sequence[int]) -> None:
        if not indices:
            return
        for witness in witnesses:
            tensors = Tensors(self._tensors.dataset, witness.convention.spec, self._tensors.inputs, indices)
            for sample, feeds in tensors:
                truth = sample.label.index if isinstance(sample.label, ClassLabel) else None
                self._listen(witness, feeds, truth)

    def _listen(self, witness: Witness, feeds: dict[str, Array], truth: int | None) -> None:
        outputs = self._answer(feeds)
        if witness is self._recipe:
            self._truths.append(truth)
        if self._first is not None and self._first.name in outputs:
            value = outputs.pop(self._first.name)
            columns = self._first.channels(value)
            witness.first = witness.first or Channels(columns.shape[1])
            witness.first.add(columns)
        if self._measure is None:
            pictures = isinstance(self._tensors.spec, ImageSpec)
            self._measure = measures.measure_for(outputs, self._task, pictures, truth is not None)
        answer = measures.logits(outputs)
        kept = measures.standardised(answer)
        witness.answers.append(kept)
        if self._measure == "steadiness":
            witness.scores.append(measures.steadiness(answer, self._mirrored(feeds)))
        elif self._measure == "truth":
            witness.scores.append(float(kept[truth]) if truth is not None and truth < kept.size else 0.0)

    def _answer(self, feeds: dict[str, Array]) -> dict[str, Array]:
        self._runs += 1
        return dict(self._run(feeds))

    def _mirrored(self, feeds: dict[str, Array]) -> Array:
        input, spec = self._tensors.inputs[0], self._tensors.spec
        assert isinstance(spec, ImageSpec)
        axis = -1 if spec.layout == "NCHW" else -2
        outputs = self._answer({**feeds, input.name: np.ascontiguousarray(np.flip(feeds[input.name], axis))})
        if self._first is not None:
            outputs.pop(self._first.name, None)
        return measures.logits(outputs)

    def _weigh(self, witnesses: Sequence[Witness]) -> None:
        if self._first is not None:
            for witness in [self._recipe, *witnesses]:
                witness.quotient = None if witness.first is None else self._first.quotient(witness.first)
        for witness in witnesses:
            witness.agreement = measures.agreement(self._recipe.answers[: len(witness.answers)], witness.answers)
            witness.odds = self._odds_by_first_layer(witness) + self._odds_by_answers(witness)

    def _odds_by_first_layer(self, witness: Witness) -> float:
        if witness.quotient is None or self._recipe.quotient is None or witness.convention.swapped:
            return 0.0
        closer = deviation_from_usual(self._recipe.quotient) - deviation_from_usual(witness.quotient)
        return min(max(closer / _SPREAD, -_MOST), _MOST)

    def _odds_by_answers(self, witness: Witness) -> float:
        count = len(witness.answers)
        if self._measure == "none" or count < 2:
            return 0.0
        if self._measure != "peak":
            most = _MOST_STEADY if self._measure == "steadiness" else _MOST
            return _odds(np.array(self._recipe.scores[:count]), np.array(witness.scores), most)
        own, its = np.array(self._recipe.answers[:count]), np.array(witness.answers)
        sure = _odds(measures.peaks(own), measures.peaks(its), _MOST)
        distinct = _odds(measures.centred_peaks(own), measures.centred_peaks(its), _MOST)
        agreed = min(abs(sure), abs(distinct)) if sure * distinct > 0 else 0.0  # a net that always says the same is sure, too
        livelier = 2 * math.log(max(measures.variation(its), 1e-6) / max(measures.variation(own), 1e-6))
        beyond = math.copysign(min(max(abs(livelier) - _LIVELIER, 0.0), _MOST_LIVELIER), livelier)
        return math.copysign(agreed, sure) + beyond

    def _share_right(self, witness: Witness) -> float:
        hits = [int(answer.argmax()) == truth for answer, truth in zip(witness.answers, self._truths, strict=False)
                if truth is not None]
        return float(np.mean(hits)) if hits else 0.0


def _at_first(budget: int, rivals: int) -> int:
    """Samples for everyone: each may cost two runs, with its mirror image."""
    return min(_AT_FIRST, budget // (2 * (1 + rivals)))


def _odds(own: Array, its: Array, most: float) -> float:
    """z * |z| / 2 of the paired differences: the logarithm of a likelihood ratio of normal means."""
    gained = its - own
    count = len(gained)
    variance = (count * gained.var() + 2 * own.var()) / (count + 2)  # two samples' worth of doubt
    if variance == 0.0:
        return 0.0
    z = float(gained.mean() / math.sqrt(variance / count))
    return min(max(z * abs(z) / 2, -most), most)


def _scattered(count: int) -> list[int]:
    """0 to count - 1 so that any first few are spread over all: bit-reversed order (J. G. van der Corput, 1935)."""
    bits = max(count - 1, 1).bit_length()
    return [index for index in (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits)) if index < count]
