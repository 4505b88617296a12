"""Lines of text: one score for each character, and for a blank, at each step of the line.

Greedy decoding of Graves et al. 2006, section 3.2: the best class of each step, runs taken together, the blank left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.parameters import Count, Share, class_names, read, stricter
from edgeinfer.model.decoders.roles import describe, named, only, shape_of, size_of
from edgeinfer.model.decoders.scores import Real
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Text
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Ctc", "Parameters"]

WHERE = "decoder ctc"
_SPACE = "\N{OPEN BOX}"  # a label cannot be a space; this one is read as one
_MOST = 1024  # characters that a payload takes


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``blank``: its class, -1: the last. The labels are the other classes, in their order; ``space``: one more after them.

    ``layout``: (steps, classes) or (classes, steps), where the sides do not tell. ``softmax``: the model ends in logits, or in
    logarithms of probabilities. A text of less than ``threshold`` or ``min_length`` characters is none.
    """

    threshold: Share = 0.0
    min_length: Count = 1
    blank: Annotated[int, msgspec.Meta(ge=-1)] = 0
    space: bool = False
    softmax: bool = False
    layout: Literal["", "TC", "CT"] = ""
    output: str = ""


class Ctc:
    """Scores of any dtype, compared as they are stored. The text's score is the mean of the steps that gave a character; a step
    whose best score is not finite gives none."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self._chosen, self.own_threshold = chosen, chosen.threshold
        self._least = stricter(chosen.threshold, threshold)
        texts = [" " if label == _SPACE else label for label in labels] + [" "] * chosen.space
        self._output, steps, classes, self._classes_first = _find(chosen, outputs, len(texts))
        spec = outputs[self._output]
        if not labels:
            raise ManifestError("labels", f"one label for each class of {describe([spec])}, but for the blank", "no labels",
                                "give the characters, one on each line")
        self._blank = _blank(chosen, classes)
        texts.insert(self._blank, "")
        self._texts = class_names(texts, classes, f"{describe([spec])}, the blank and the space among them")
        self._real = Real(spec, WHERE)
        self._turned = np.empty((steps, classes) if self._classes_first else (0, 0), spec.dtype)
        self._starts = np.arange(steps) * classes
        self._best, self._places = np.empty((2, steps), np.intp)
        self._scores = np.empty(steps, spec.dtype)
        self._kept = np.empty(steps, np.bool_)
        self._result = Text()

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in (self._turned, self._starts, self._best, self._places, self._scores, self._kept))

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Text:
        """The same result each time."""
        table = self._table(outputs[self._output])
        best, kept = self._best, self._kept
        table.argmax(axis=1, out=best)
        np.take(table, np.add(self._starts, best, out=self._places), out=self._scores, mode="clip")
        if self._real.dtype.kind == "f":
            best[~np.isfinite(self._scores)] = self._blank
        np.not_equal(best, self._blank, out=kept)
        kept[1:] &= best[1:] != best[:-1]
        steps = np.flatnonzero(kept)
        text = "".join([self._texts[index] for index in best[steps].tolist()])[:_MOST]
        score = self._score(table, steps) if len(steps) else 0.0
        told = len(text) >= self._chosen.min_length and score >= self._least
        self._result.text, self._result.confidence = (text, score) if told else ("", 0.0)
        return self._result

    def _table(self, stored: Array) -> Array:
        """(steps, classes), contiguous: only so is the search for the best class fast."""
        steps = len(self._starts)
        if not self._classes_first:
            table: Array = stored.reshape(steps, -1)
            return table
        np.copyto(self._turned, stored.reshape(-1, steps).T)
        return self._turned

    def _score(self, table: Array, steps: Array) -> float:
        if self._chosen.softmax:
            with np.errstate(over="ignore", invalid="ignore"):  # -inf is a class that cannot be, a NaN counts as none
                shares = np.subtract(table[steps], self._scores[steps, np.newaxis], dtype=np.float32)
                np.exp(np.multiply(shares, self._real.scale, out=shares), out=shares)
            return float((1 / np.nansum(shares, axis=1)).mean())
        return float((self._real.many(self._scores[steps]) / len(steps)).sum())


def _blank(chosen: Parameters, classes: int) -> int:
    if chosen.blank >= classes:
        raise ManifestError(f"{WHERE}.blank", f"a class from 0 to {classes - 1}, or -1, the last", str(chosen.blank))
    return chosen.blank if chosen.blank >= 0 else classes - 1


def _find(chosen: Parameters, outputs: Sequence[TensorSpec], texts: int) -> tuple[int, int, int, bool]:
    """The output, its steps and classes, and whether the classes come first."""
    for spec in outputs:
        size_of(WHERE, spec)
    fitting = [index for index, spec in enumerate(outputs) if len(_sides(spec)) == 2]
    if chosen.output:
        index = named(f"{WHERE}.output", chosen.output, outputs)
        fitting = [i for i in fitting if i == index]
    wanted = "one output of scores by step, (1, steps, classes) or (1, classes, steps)"
    index = only(f"{WHERE}.output", wanted, fitting, outputs, 'name it: decoder.parameters.output: "NAME"')
    sides = _sides(outputs[index])
    first = chosen.layout == "CT" or (not chosen.layout and sides[0] == texts + 1 != sides[1])
    return (index, sides[1], sides[0], True) if first else (index, sides[0], sides[1], False)


def _sides(spec: TensorSpec) -> tuple[int, ...]:
    """Without the batch, which may be the second side, as in (steps, 1, classes)."""
    sides = shape_of(spec)
    return (sides[0], sides[2]) if len(sides) == 3 and sides[1] == 1 else sides
