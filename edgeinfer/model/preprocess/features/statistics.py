"""Figures of a frame of samples, as machines' vibration is judged by.

    peak max |x| · crest peak / rms · shape rms / mean |x| · impulse peak / mean |x|
    skewness m3 / m2**1.5 and kurtosis m4 / m2**2 (3 for noise), of central moments m (biased, as scipy.stats has them)
    zero_crossings changes of sign a sample

A ratio whose divisor is 0 is 0. The root mean square in a band is that of the samples with all other frequencies removed
(Parseval: sqrt(sum of c |X|**2) / n, where c is 1 for 0 Hz and half the rate, else 2).
"""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.model.preprocess.featurespec import StatisticsSpec
from edgeinfer.model.tensor import Array

__all__ = ["StatisticsRow"]


class StatisticsRow:
    """See ``Row``."""

    def __init__(self, spec: StatisticsSpec, rate: float) -> None:
        size = spec.frame
        self.width = spec.width
        self._spec, self._size = spec, size
        hertz = np.arange(size // 2 + 1) * rate / size  # in this order: 50 Hz is 50, and on the right side of an edge
        twice = np.full(len(hertz), 2.0)
        twice[0] = 1.0
        if size % 2 == 0:
            twice[-1] = 1.0
        self._bands = _weights(spec.bands, hertz, twice)
        self._envelope_bands = _weights(spec.envelope_bands, hertz, twice)
        high = spec.envelope_high or math.inf
        self._band = (hertz >= spec.envelope_low) & (hertz < high)
        self._smooth = hertz <= (spec.envelope_smooth or math.inf)
        self._analytic = twice * self._band
        self._x = np.empty(size)
        self._spectrum = np.zeros(size, np.complex128)
        self._enveloped = bool(spec.envelope_bands) or any(value.startswith("envelope") for value in spec.values)
        self.nbytes = sum(part.nbytes for part in (self._bands, self._envelope_bands, self._analytic, self._x, self._spectrum))

    def write(self, samples: Array, before: float, out: Array) -> None:
        x, spec = self._x, self._spec
        np.copyto(x, samples)
        mean = float(x.mean())
        if spec.centred:
            np.subtract(x, mean, out=x)
        figures = _figures(x, 0.0 if spec.centred else mean)
        figures["mean"] = mean
        transform = np.fft.rfft(x) if spec.bands or self._enveloped else None
        envelope = self._envelope(transform) if self._enveloped and transform is not None else None
        if envelope is not None:
            of_it = _figures(envelope, float(envelope.mean()))
            figures |= {f"envelope_{name}": of_it[name] for name in ("mean", "rms", "peak", "kurtosis")}
        count = len(spec.values)
        for index, name in enumerate(spec.values):
            out[index] = figures[name]
        if transform is not None and spec.bands:
            out[count : count + len(spec.bands)] = self._levels(transform, self._bands)
        if envelope is not None and spec.envelope_bands:
            out[count + len(spec.bands) :] = self._levels(np.fft.rfft(envelope - envelope.mean()), self._envelope_bands)

    def _envelope(self, transform: Array) -> Array:
        if self._spec.envelope == "hilbert":
            np.multiply(transform, self._analytic, out=self._spectrum[: len(transform)])
            analytic: Array = np.abs(np.fft.ifft(self._spectrum))
            return analytic
        rectified = np.fft.rfft(np.abs(np.fft.irfft(transform * self._band, self._size)))
        smooth: Array = np.fft.irfft(rectified * self._smooth, self._size)
        return smooth

    def _levels(self, transform: Array, weights: Array) -> Array:
        power = transform.real**2 + transform.imag**2
        levels: Array = np.sqrt(power @ weights) / self._size
        return levels


def _weights(pairs: tuple[tuple[float, float], ...], hertz: Array, twice: Array) -> Array:
    """float64 (bins, bands)"""
    made = [twice * ((hertz >= lower) & (hertz < upper)) for lower, upper in pairs]
    return np.ascontiguousarray(np.array(made).reshape(len(pairs), len(hertz)).T)


def _figures(x: Array, mean: float) -> dict[str, float]:
    size = len(x)
    magnitude = np.abs(x)
    away = x - mean if mean else x
    square = away * away
    second = float(square.mean())
    third, fourth = float((square * away).mean()), float((square * square).mean())
    rms, peak, average = math.sqrt(float(x @ x) / size), float(magnitude.max()), float(magnitude.mean())
    return {"mean": mean, "rms": rms, "std": math.sqrt(second), "peak": peak, "peak_to_peak": float(x.max() - x.min()),
            "crest": _ratio(peak, rms), "shape": _ratio(rms, average), "impulse": _ratio(peak, average),
            "skewness": _ratio(third, second**1.5), "kurtosis": _ratio(fourth, second**2),
            "zero_crossings": float(np.count_nonzero((x[1:] >= 0) != (x[:-1] >= 0))) / size}


def _ratio(value: float, divisor: float) -> float:
    return value / divisor if divisor > 0 else 0.0
