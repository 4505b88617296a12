"""Float against INT8, tensor by tensor, and one INT8 file against another: what quantising did, and where.

Samples stream through; what is kept of a tensor is a dozen numbers, so memory does not depend on how many samples there are.
The errors are those that a tensor has in the running network: what earlier tensors lost is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from edgeinfer.errors import DataError, ModelError
from edgeinfer.model.tensor import Array
from quantize.grid import Grid, Quantized
from quantize.metrics.classification import Agreement
from quantize.metrics.fidelity import decibels
from quantize.metrics.metric import Figure

__all__ = ["OutputParity", "Parity", "ParityTally", "Run", "TensorComparison", "Value", "compare", "parity", "values_of"]

Feeds = Mapping[str, Array]
Run = Callable[[Feeds], Mapping[str, Array]]  # one sample through a model: real values by name


class Value(NamedTuple):
    """A tensor to compare: the operator that makes it ("Input" for an input), its grid (None where INT8 keeps it float)."""

    name: str
    op: str
    grid: Grid | None


class TensorComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of the float graph against the tensor of the same name in the INT8 model, over all samples.

    ``sqnr_db``: 10 log10(sum x² / sum (x - q)²), within ±200 (200: identical). ``cosine``: sum xq / sqrt(sum x² sum q²).
    ``max_lsb``: the largest |x - q| in steps of the grid. ``float_low``, ``float_high``: the least and largest x.
    ``grid_low``, ``grid_high``: what the grid can hold. ``saturated``: share 0..1 of x further outside it than half a step.
    Grid fields are None for a tensor that INT8 keeps float; ``dtype`` then is "float32".
    """

    name: str
    op: str
    sqnr_db: float
    cosine: float
    max_lsb: float | None
    float_low: float
    float_high: float
    grid_low: float | None
    grid_high: float | None
    saturated: float
    dtype: str = "int8"


class OutputParity(msgspec.Struct, frozen=True, kw_only=True):
    """One output of two INT8 files: the largest and mean difference in steps (LSB), and the share 0..1 of equal values."""

    name: str
    max_lsb: float
    mean_lsb: float
    identical: float


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How alike two INT8 files answer. ``agreement``: of their best class; None where the model does not classify."""

    samples: int
    outputs: tuple[OutputParity, ...]
    agreement: Figure | None = None


def values_of(quantized: Quantized) -> list[Value]:
    """What can be compared in the INT8 model: every value with a grid, and every output, in order of computation."""
    graph = quantized.graph
    made = [(value, "Input") for value in graph.inputs]
    made += [(output, node.op) for node in graph.nodes for output in node.outputs]
    return [Value(name, op, quantized.activations.get(name)) for name, op in made
            if name in quantized.activations or name in graph.outputs]


def compare(reference: Run, quantized: Run, samples: Iterable[Feeds], values: Sequence[Value]) -> list[TensorComparison]:
    """Each of ``values`` in the float model (``reference``) and the INT8 model, in the order given.

    Both are called once with each sample and return at least ``values`` by name, INT8's dequantised. Raises DataError when
    there is no sample, ModelError when a model does not return a value or returns another shape or
    values that are not finite.
    """
    tallies = [_Tally(value) for value in values]
    count = 0
    for feeds in samples:
        expected, got = reference(feeds), quantized(feeds)
        for tally in tallies:
            tally.add(*_pair(tally.value.name, expected, got))
        count += 1
    if not count:
        raise DataError("compare", "at least one sample", "none")
    return [tally.comparison() for tally in tallies]


def parity(first: Run, second: Run, samples: Iterable[Feeds], scales: Mapping[str, float],
           scores: str | None = None) -> Parity:
    """How alike two INT8 models answer. Both return real values by output name; ``scales``: one step of each output's grid;
    ``scores``: the output whose largest value is the answer, if there is one. Raises as ``compare``."""
    tally = ParityTally(scales, scores)
    for feeds in samples:
        tally.add(first(feeds), second(feeds))
    return tally.result()


class ParityTally:
    """The sums behind ``parity``, sample by sample."""

    def __init__(self, scales: Mapping[str, float], scores: str | None = None) -> None:
        self._scales, self._scores = scales, scores
        self._largest, self._total, self._equal, self._size = (dict.fromkeys(scales, 0.0) for _ in range(4))
        self._agreement, self._count = Agreement(), 0

    def add(self, first: Mapping[str, Array], second: Mapping[str, Array]) -> None:
        """Both answers to one sample. Raises ModelError where an output is missing or has another shape."""
        for name, scale in self._scales.items():
            expected, got = _pair(name, first, second)
            steps = np.abs(expected.astype(np.float64) - got) / scale
            self._largest[name] = max(self._largest[name], float(np.max(steps, initial=0.0)))
            self._total[name] += float(steps.sum())
            self._equal[name] += float(np.count_nonzero(steps < 0.5))
            self._size[name] += steps.size
        if self._scores is not None:
            self._agreement.add(*_pair(self._scores, first, second))
        self._count += 1

    def result(self) -> Parity:
        """Raises DataError when there is no sample."""
        if not self._count:
            raise DataError("parity", "at least one sample", "none")
        outputs = [OutputParity(name=name, max_lsb=round(self._largest[name], 3),
                                mean_lsb=round(self._total[name] / max(self._size[name], 1.0), 6),
                                identical=self._equal[name] / max(self._size[name], 1.0)) for name in self._scales]
        agreement = self._agreement.result() if self._scores is not None else None
        return Parity(samples=self._count, outputs=tuple(outputs), agreement=agreement)


def _pair(name: str, expected: Mapping[str, Array], got: Mapping[str, Array]) -> tuple[Array, Array]:
    """The value in both models. Raises ModelError when one lacks it or their shapes differ."""
    for answers in (expected, got):
        if name not in answers:
            raise ModelError(f"tensor '{name}'", "a value in both models", "one of them has none of this name")
    one, other = np.asarray(expected[name]), np.asarray(got[name])
    if one.shape != other.shape:
        raise ModelError(f"tensor '{name}'", f"shape {one.shape} in both models", str(other.shape))
    return one, other


class _Tally:
    """The sums of one tensor."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self._signal = self._noise = self._cross = self._energy = self._largest = 0.0
        self._low, self._high = np.inf, -np.inf
        self._outside = self._size = 0
        grid = value.grid
        half = float(grid.scale[0]) / 2 if grid else 0.0
        self._bounds = (grid.low - half, grid.high + half) if grid else None

    def add(self, expected: Array, got: Array) -> None:
        if not expected.size:
            return
        true, answer = np.ravel(expected).astype(np.float64), np.ravel(got).astype(np.float64)
        error = true - answer
        if not np.isfinite(error).all():
            raise ModelError(f"tensor '{self.value.name}'", "finite values in both models", "infinity or NaN in one of them",
                             "see which samples and layers make them before you quantise: INT8 cannot hold them")
        self._signal += float(true @ true)
        self._energy += float(answer @ answer)
        self._cross += float(true @ answer)
        self._noise += float(error @ error)
        self._largest = max(self._largest, float(np.abs(error).max()))
        self._low, self._high = min(self._low, float(true.min())), max(self._high, float(true.max()))
        self._size += true.size
        if self._bounds:
            low, high = self._bounds
            self._outside += int(np.count_nonzero(true < low) + np.count_nonzero(true > high))

    def comparison(self) -> TensorComparison:
        grid, both = self.value.grid, (self._signal * self._energy) ** 0.5
        cosine = self._cross / both if both > 0 else float(self._signal == self._energy)
        return TensorComparison(
            name=self.value.name, op=self.value.op, cosine=min(max(cosine, -1.0), 1.0) if np.isfinite(cosine) else 0.0,
            sqnr_db=round(float(decibels(np.array(self._signal), np.array(self._noise))), 4),
            max_lsb=round(self._largest / float(grid.scale[0]), 3) if grid else None,
            float_low=self._low if self._size else 0.0, float_high=self._high if self._size else 0.0,
            grid_low=grid.low if grid else None, grid_high=grid.high if grid else None,
            saturated=self._outside / max(self._size, 1), dtype=grid.dtype if grid else "float32")
