"""The float model and its INT8 files on the same samples, in the engine that the device runs: who answers how well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from edgeinfer.errors import DataError
from edgeinfer.model.result import Classes
from edgeinfer.model.tensor import Array
from quantize.compare import Parity, ParityTally
from quantize.dataset.labels import ClassLabel, Label
from quantize.dataset.samples import Dataset, Sample
from quantize.metrics import Figure, drop
from quantize.progress import Progress
from quantize.scores import Scores
from quantize.subject import Answer, Subject

__all__ = ["Evaluation", "Standing", "Worst", "evaluate"]

_KEPT = 12  # worst samples


@dataclass(frozen=True)
class Standing:
    """How one subject did. ``drops``: what it lost against the float model, of each metric with labels; empty for float."""

    title: str
    figures: tuple[Figure, ...]
    drops: tuple[Figure, ...]
    latency: dict[str, Any]
    bytes: int
    runs_on: str

    @property
    def loss(self) -> float:
        """In points, less is better: of the leading metric against float where there are labels; else what is missing of
        agreement with float; else the error as a share of the signal."""
        if self.drops:
            return self.drops[0].value
        figure = self.figures[0]
        return 100 - figure.value if figure.unit == "%" else 100 * 10 ** (-figure.value / 20)


@dataclass(frozen=True)
class Worst:
    """A sample on which INT8 differs most from float: ``answers`` by title, in words."""

    sample: str
    index: int
    sqnr_db: float
    answers: dict[str, str]
    truth: str


@dataclass(frozen=True)
class Evaluation:
    """``standings``: float first. ``parity``: between the INT8 files where there are two. ``worst``: first the worst."""

    standings: tuple[Standing, ...]
    parity: Parity | None
    worst: tuple[Worst, ...]
    samples: int
    labelled: bool
    unreadable: dict[str, str] = field(default_factory=dict)


def evaluate(reference: Subject, others: Sequence[Subject], data: Dataset, progress: Progress,
             labels: Sequence[str] = ()) -> Evaluation:
    """All of ``data`` through all subjects. Raises ModelError, DataError (labels that do not go with the decoder)."""
    subjects = [reference, *others]
    scores = [Scores() for _ in subjects]
    tally = _parity_of(others)
    worst: list[Worst] = []
    count = 0
    for sample in progress.count(data.samples(), len(data), "samples"):
        answers = [subject.answer(sample) for subject in subjects]
        for one, answer in zip(scores, answers, strict=True):
            one.add(sample.label, answers[0], answer)
        if tally is not None:
            tally.add(answers[1].outputs, answers[2].outputs)
        if others:
            worst = _keep(worst, _worst(sample, subjects, answers, labels))
        count += 1
    if not count:
        raise DataError(str(data.path), "samples to judge on", "none", "--calibrate every:4 leaves three quarters of them")
    standings = tuple(_standing(subject, one, scores[0]) for subject, one in zip(subjects, scores, strict=True))
    alike = tally.result() if tally is not None else None
    return Evaluation(standings, alike, tuple(worst), count, bool(scores[0].true), dict(data.unreadable))


def _standing(subject: Subject, scores: Scores, reference: Scores) -> Standing:
    drops: list[Figure] = []
    if scores is not reference:
        for one, other in zip(reference.true, scores.true, strict=True):
            try:
                drops.append(drop(one, other))
            except DataError:  # as in Scores.figures
                continue
    return Standing(subject.title, tuple(scores.figures()), tuple(drops), subject.latency(), subject.bytes, subject.runs_on)


def _keep(worst: list[Worst], one: Worst) -> list[Worst]:
    return sorted([*worst, one], key=lambda item: (item.sqnr_db, item.index))[:_KEPT]


def _worst(sample: Sample, subjects: Sequence[Subject], answers: Sequence[Answer], labels: Sequence[str]) -> Worst:
    float_outputs = answers[0].outputs
    ratios = [_ratio(float_outputs, answer.outputs) for answer in answers[1:]]
    said = {subject.title: _words(answer) for subject, answer in zip(subjects, answers, strict=True)}
    return Worst(sample.name, sample.index, min(ratios), said, _truth(sample.label, labels))


def _ratio(true: dict[str, Array], got: dict[str, Array]) -> float:
    signal = sum(float(np.square(array.astype(np.float64)).sum()) for array in true.values())
    noise = sum(float(np.square(array.astype(np.float64) - got[name]).sum()) for name, array in true.items())
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else 200.0


def _words(answer: Answer) -> str:
    """The answer as a person reads it."""
    if isinstance(answer.result, Classes) and answer.result.count:
        best = answer.result.rows[0]
        return f"{best.label} {best.score:.2f}"
    state = answer.result.state()
    if state:
        return state
    flat = np.ravel(next(iter(answer.outputs.values())))
    return f"class {int(flat.argmax())}" if 1 < flat.size <= 4096 else f"{float(flat[0]):.4g}"


def _truth(label: Label | None, labels: Sequence[str]) -> str:
    if not isinstance(label, ClassLabel):
        return ""
    return label.name or (labels[label.index] if 0 <= label.index < len(labels) else str(label.index))


def _parity_of(others: Sequence[Subject]) -> ParityTally | None:
    """Between two INT8 files, in steps of the grid of that one which has integers at its outputs (TFLite's)."""
    if len(others) != 2:
        return None
    outputs = others[0].engine.session.outputs
    scales = {spec.name: others[1].scale(spec.name) or others[0].scale(spec.name) or 1.0 for spec in outputs}
    vector = len(outputs) == 1 and 1 < prod(outputs[0].shape) == max(outputs[0].shape)
    return ParityTally(scales, outputs[0].name if vector else None)
