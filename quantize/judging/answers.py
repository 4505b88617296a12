"""How good a float model's answers look, without knowing the right ones, or with labels.

    truth       with labels: by how many deviations the right class's logit stands out
    peak        one output of many elements: by how many deviations the greatest stands out, and by how many more than in the
                mean answer. A net that sees what it was trained on is sure of few things, and of others with each sample;
                neither figure grows with the scale of the logits, as confidence does
    steadiness  few classes: sqrt(p q) where a picture and its mirror image get the same class, else 0 (W. Deng et al., "On
                the strong correlation between model invariance and generalization", 2022)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["Measure", "agreement", "centred_peaks", "logits", "measure_for", "peaks", "standardised", "steadiness", "variation"]

Measure = Literal["truth", "peak", "steadiness", "none"]
_MANY = 8  # elements from which a greatest one can stand out
_MOST_KEPT = 4096  # elements


def measure_for(outputs: Mapping[str, Array], task: str, pictures: bool, labelled: bool) -> Measure:
    """The measure for a model with such outputs."""
    largest = max((array.size for array in outputs.values()), default=0)
    if labelled and len(outputs) == 1 and largest >= 2:
        return "truth"
    if task in ("regress", "anomaly"):
        return "none"
    if largest >= _MANY:
        return "peak"
    return "steadiness" if pictures and len(outputs) == 1 and largest >= 2 and task in ("", "classify") else "none"


def logits(outputs: Mapping[str, Array]) -> Array:
    """All outputs as one flat float64 array; probabilities of classes as their logarithms."""
    parts = []
    for array in outputs.values():
        flat = np.clip(np.nan_to_num(array.astype(np.float64).ravel()), -1e30, 1e30)
        if flat.size > 1 and flat.min() >= 0 and abs(flat.sum() - 1) < 1e-3:
            flat = np.log(np.maximum(flat, 1e-9))
        parts.append(flat)
    return np.concatenate(parts)


def standardised(answer: Array) -> Array:
    """With mean 0 and deviation 1, float32; of neighbours the greatest, where there are too many to remember."""
    deviation = answer.std()
    values = (answer - answer.mean()) / deviation if deviation > 0 else np.zeros(answer.size)
    if values.size > _MOST_KEPT:
        values = np.maximum.reduceat(values, np.arange(_MOST_KEPT) * values.size // _MOST_KEPT)
    return np.asarray(values, np.float32)


def peaks(answers: Array) -> Array:
    """(samples, elements), standardised, to (samples,)."""
    greatest: Array = answers.max(1).astype(np.float64)
    return greatest


def centred_peaks(answers: Array) -> Array:
    """As ``peaks``, beyond the mean of the other samples' answers."""
    count = len(answers)
    others = (answers.sum(0) - answers) / max(count - 1, 1)
    greatest: Array = (answers - others).max(1).astype(np.float64)
    return greatest


def variation(answers: Array) -> float:
    """How much answers differ from sample to sample, beside how much the elements of their mean do."""
    spread = float(answers.mean(0).std())
    return float(np.median(answers.std(0))) / spread if spread > 0 else math.inf


def steadiness(answer: Array, mirrored: Array) -> float:
    """Of the logits for a picture and for its mirror image."""
    one, other = _probabilities(answer), _probabilities(mirrored)
    best = int(one.argmax())
    return float(np.sqrt(one[best] * other[best])) if best == other.argmax() else 0.0


def agreement(one: Sequence[Array], other: Sequence[Array]) -> float:
    """Of two lists of answers to the same samples: the share with the same greatest element."""
    return float(np.mean([a.argmax() == b.argmax() for a, b in zip(one, other, strict=True)])) if one else 1.0


def _probabilities(logits: Array) -> Array:
    raised = np.exp(logits - logits.max())
    probabilities: Array = raised / raised.sum()
    return probabilities
