"""Filter banks over the bins of a spectrum.

Mel scales: HTK Book 3.5, section 5.4 (2595 log10(1 + f / 700)), and M. Slaney, "Auditory Toolbox" (1998): 200 / 3 Hz a mel up
to 1 kHz, then 27 mels for a factor of 6.4.
"""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.model.preprocess.featurespec import BandsSpec, MelSpec
from edgeinfer.model.tensor import Array

__all__ = ["bands", "from_mel", "to_mel", "triangles"]

_LINEAR, _KNEE_HZ, _STEP = 200 / 3, 1000.0, math.log(6.4) / 27


def to_mel(hertz: Array, scale: str) -> Array:
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))
    above = _KNEE_HZ / _LINEAR + np.log(np.maximum(hertz, _KNEE_HZ) / _KNEE_HZ) / _STEP
    return np.where(hertz < _KNEE_HZ, hertz / _LINEAR, above)


def from_mel(mel: Array, scale: str) -> Array:
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    knee = _KNEE_HZ / _LINEAR
    return np.where(mel < knee, mel * _LINEAR, _KNEE_HZ * np.exp(_STEP * (np.maximum(mel, knee) - knee)))


def triangles(spec: MelSpec, rate: float) -> Array:
    """float64 (fft // 2 + 1, bands), C order. Filter i rises from edge i to i + 1 and falls to i + 2."""
    bins = np.arange(spec.points // 2 + 1) * (rate / spec.points)
    ends = to_mel(np.array([spec.low, spec.high or rate / 2]), spec.mel)
    mels = np.linspace(ends[0], ends[1], spec.bands + 2)
    hertz = from_mel(mels, spec.mel)
    edges, at = (hertz, bins) if spec.triangles == "hertz" else (mels, to_mel(bins, spec.mel))
    rise = (at[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - at[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rise, fall))
    if spec.norm == "slaney":
        weights *= 2.0 / (hertz[2:] - hertz[:-2])
    return np.ascontiguousarray(weights)


def bands(spec: BandsSpec, rate: float) -> Array:
    """float64 (fft // 2 + 1, bands), C order: ones between a band's edges, or 1 / their number."""
    bins = np.arange(spec.points // 2 + 1) * rate / spec.points  # in this order: 50 Hz is 50, and on the right side of an edge
    edges = np.array(spec.edges)
    weights = ((bins[:, None] >= edges[:-1]) & (bins[:, None] < edges[1:])).astype(np.float64)
    if spec.average:
        weights /= np.maximum(weights.sum(0), 1.0)
    return np.ascontiguousarray(weights)
