"""What is done to all rows of a window at once: scale, logarithm, cosine transform."""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.model.preprocess.featurespec import Levelled, MfccSpec
from edgeinfer.model.tensor import Array

__all__ = ["Levels", "Plain", "cosines"]


def cosines(spec: MfccSpec) -> Array:
    """float64 (bands, coefficients): the discrete cosine transform, its norm and the lifter in one matrix.

    Types as scipy.fft.dct counts them: 1: x0 + (-1)^k x[N-1] + 2 sum x[n] cos(pi k n / (N - 1)); 2: 2 sum x[n] cos(pi k (2n + 1)
    / 2N); 3: x0 + 2 sum x[n] cos(pi (2k + 1) n / 2N).
    """
    size = spec.bands
    n, k = np.arange(size)[:, None], np.arange(spec.first, spec.first + spec.coefficients)[None, :]
    match spec.dct:
        case 1:
            matrix = 2 * np.cos(math.pi * k * n / (size - 1))
            matrix[[0, -1]] /= 2
        case 2:
            matrix = 2 * np.cos(math.pi * k * (2 * n + 1) / (2 * size))
        case _:
            matrix = 2 * np.cos(math.pi * (2 * k + 1) * n / (2 * size))
            matrix[0] /= 2
    if spec.dct_norm == "htk":
        matrix /= math.sqrt(2 * size)
    elif spec.dct_norm == "ortho":
        matrix = _orthonormal(matrix, spec)
    if spec.lifter:
        matrix = matrix * (1 + spec.lifter / 2 * np.sin(math.pi * (k + spec.lifter_from) / spec.lifter))
    return np.ascontiguousarray(matrix)


def _orthonormal(matrix: Array, spec: MfccSpec) -> Array:
    size, k = spec.bands, np.arange(spec.first, spec.first + spec.coefficients)
    if spec.dct == 1:
        matrix = matrix / math.sqrt(2 * (size - 1))
        matrix[[0, -1]] *= math.sqrt(2)
        return np.where((k == 0) | (k == size - 1), matrix / math.sqrt(2), matrix)
    matrix = matrix / math.sqrt(2 * size)
    if spec.dct == 2:
        return np.where(k == 0, matrix / math.sqrt(2), matrix)
    matrix[0] *= math.sqrt(2)
    return matrix


class Levels:
    """From rows of a spectrum to what the model takes, float32 (count, width)."""

    def __init__(self, spec: Levelled, count: int) -> None:
        self._spec = spec
        self._cosines = cosines(spec) if isinstance(spec, MfccSpec) else None
        wide = spec.bands if isinstance(spec, MfccSpec) else spec.width
        self._levels = np.empty((count, wide))
        self._made = np.empty((count, spec.width)) if self._cosines is not None else self._levels
        self._out = np.empty((count, spec.width), np.float32)
        self._level, self._sums = np.empty(wide), np.empty(spec.width)
        held: list[Array] = [self._levels, self._out, self._level, self._sums]
        self.nbytes = sum(part.nbytes for part in held)
        if self._cosines is not None:
            self.nbytes += self._cosines.nbytes + self._made.nbytes

    def of(self, rows: Array, window: Array) -> Array:
        spec, levels = self._spec, self._levels
        np.multiply(rows.reshape(levels.shape), self._gain(window), out=levels)
        if spec.offset:
            np.add(levels, spec.offset, out=levels)
        if spec.log != "none":
            np.maximum(levels, spec.floor, out=levels)
            self._logarithm(levels)
        if self._cosines is not None:
            for level, made in zip(levels, self._made, strict=True):  # each alone: a matrix product may sum in another order
                np.copyto(self._level, level)
                np.dot(self._level, self._cosines, out=self._sums)
                np.copyto(made, self._sums)
        np.copyto(self._out, self._made, casting="same_kind")
        return self._out

    def _gain(self, window: Array) -> float:
        """1 / the greatest of the window's samples, to the spectrum's power: a spectrum of scaled samples is a scaled one."""
        match self._spec.scale:
            case "max":
                greatest = float(window.max())
            case "peak":
                greatest = max(float(window.max()), -float(window.min()))
            case _:
                return 1.0
        usable = greatest > 0 and math.isfinite(greatest)
        return float(greatest ** -self._spec.power) if usable else 1.0

    def _logarithm(self, levels: Array) -> None:
        spec = self._spec
        if spec.log == "ln":
            np.log(levels, out=levels)
            return
        greatest = float(levels.max()) if spec.log == "db" and not spec.reference else 0.0
        np.log10(levels, out=levels)
        if spec.log == "db":
            reference = greatest or max(spec.reference, spec.floor)
            np.subtract(levels, math.log10(reference), out=levels)
            np.multiply(levels, 10.0 if spec.power == 2 else 20.0, out=levels)
            if spec.top_db:
                np.maximum(levels, float(levels.max()) - spec.top_db, out=levels)


class Plain:
    """Rows as they are, float32 (count, width)."""

    def __init__(self, count: int, width: int) -> None:
        self._out = np.empty((count, width), np.float32)
        self.nbytes = self._out.nbytes

    def of(self, rows: Array, window: Array) -> Array:
        np.copyto(self._out, rows.reshape(self._out.shape), casting="same_kind")
        return self._out
