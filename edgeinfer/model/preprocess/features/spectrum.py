"""One frame's spectrum, and what is summed of it: the row that is remembered while windows overlap."""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.model.preprocess.features.filters import bands, triangles
from edgeinfer.model.preprocess.featurespec import BandsSpec, Levelled, MelSpec, Spectral, SpectrumSpec
from edgeinfer.model.tensor import Array

__all__ = ["SpectrumRow", "window_function"]

_COSINES = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08), "rectangular": (1.0,)}


def window_function(name: str, size: int, periodic: bool) -> Array:
    """float64 (size,): a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N), where N is ``size``, or size - 1 of a symmetric one."""
    if size == 1:
        return np.ones(1)
    angle = 2 * math.pi * np.arange(size) / (size if periodic else size - 1)
    window: Array = sum((term * (-1) ** order * np.cos(order * angle) for order, term in enumerate(_COSINES[name])), np.zeros(size))
    return window


class SpectrumRow:
    """|X|**power of a frame, through the filters that the spec names. See ``Row``."""

    def __init__(self, spec: Levelled, rate: float) -> None:
        points = spec.points
        self._points, self._power = points, spec.power
        first = (points - spec.frame) // 2 if spec.align == "centre" else 0
        self._window = np.zeros(spec.support)
        self._window[first : first + spec.frame] = window_function(spec.window, spec.frame, spec.periodic)
        self._filters = _filters(spec, rate)
        self.width = self._filters.shape[1] if self._filters is not None else spec.width
        self._emphasis, self._alone = spec.preemphasis, spec.preemphasis_of == "frame"
        self._first = first if spec.preemphasis_of == "frame" else 0
        self._buffer = np.zeros(points)
        self._frame = self._buffer[: spec.support]
        self._emphasised = np.empty(spec.support if self._emphasis else 0)
        self._squares = np.empty(points // 2 + 1)
        self._other = np.empty(points // 2 + 1)
        self._sums = np.empty(self.width)  # in one place: where a row lies must not change how it is summed
        held = [self._window, self._buffer, self._emphasised, self._squares, self._other, self._sums]
        self.nbytes = sum(part.nbytes for part in held) + (self._filters.nbytes if self._filters is not None else 0)

    def write(self, samples: Array, before: float, out: Array) -> None:
        if self._emphasis and (self._alone or not math.isnan(before)):  # NaN: emphasised already
            samples = self._emphasise(samples, before)
        np.multiply(samples, self._window, out=self._frame)
        spectrum = np.fft.rfft(self._buffer)
        np.multiply(spectrum.real, spectrum.real, out=self._squares)
        np.multiply(spectrum.imag, spectrum.imag, out=self._other)
        np.add(self._squares, self._other, out=self._squares)
        if self._power == 1:
            np.sqrt(self._squares, out=self._squares)
        if self._filters is None:
            np.copyto(out, self._squares[: len(out)])
        else:
            np.dot(self._squares, self._filters, out=self._sums)
            np.copyto(out, self._sums)

    def _emphasise(self, samples: Array, before: float) -> Array:
        made, first = self._emphasised, self._first
        np.multiply(samples[:-1], self._emphasis, out=made[1:], dtype=np.float64)
        made[first] = self._emphasis * (samples[first] if self._alone else before)
        np.subtract(samples, made, out=made)
        return made


def _filters(spec: Spectral, rate: float) -> Array | None:
    """float64 (fft // 2 + 1, filters), in C order; None where the spectrum itself is the row."""
    if isinstance(spec, MelSpec):
        return triangles(spec, rate)
    if isinstance(spec, BandsSpec):
        return bands(spec, rate)
    assert isinstance(spec, SpectrumSpec)
    return None
