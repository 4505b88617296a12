"""Input drift: does what reaches the model still look like what it was calibrated on?

The manifest's ``calibration.inputs`` states mean, standard deviation and a histogram of each input of the network. The
device counts, of a frame now and then, how often each stored value occurs, and compares:

    saturated   the share of values at the ends of the tensor's range (of a float tensor: outside the calibrated range)
    mean_shift  (mean here - mean of the calibration) / standard deviation of the calibration
    psi         the population stability index over the calibration's histogram (``edgeinfer.counters``)

Older samples fade: of ``HALF_LIFE`` samples ago one counts half. Memory is fixed, and a frame that is no sample costs a
comparison of two integers (in ``Lane.infer``).
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from edgeinfer.counters import stability_index
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["GAP_NS", "Drift", "InputFacts", "facts_of"]

GAP_NS = 500_000_000  # between two samples: at most two a second
HALF_LIFE = 600  # samples: five minutes, where there are two a second
_LEVELS = 256
_MOST = 4096  # values of one sample
_FADE = 0.5 ** (1 / HALF_LIFE)


class InputFacts(msgspec.Struct, frozen=True):
    """What the manifest says of one input, in real values. ``counts`` (any sum) lie in equal bins from ``low`` to ``high``."""

    mean: float
    std: float
    low: float
    high: float
    counts: tuple[float, ...]


def facts_of(calibration: dict[str, Any], tensor: TensorSpec) -> InputFacts | None:
    """The calibration of this input (of the only one, whatever it is called: converters rename tensors); None where the
    manifest has none of that kind, as of a bundle that was packed without data or by an older toolkit."""
    inputs = calibration.get("inputs")
    if not isinstance(inputs, dict) or not inputs:
        return None
    found = inputs.get(tensor.name, next(iter(inputs.values())) if len(inputs) == 1 else None)
    histogram = found.get("histogram") if isinstance(found, dict) else None
    try:
        facts = msgspec.convert({**histogram, "mean": found["mean"], "std": found["std"]}, InputFacts)  # type: ignore[index,dict-item]  # whatever it is
    except (msgspec.ValidationError, TypeError, KeyError):
        return None
    numbers = (facts.mean, facts.std, facts.low, facts.high, *facts.counts)
    usable = all(map(math.isfinite, numbers)) and facts.std > 0 and facts.low < facts.high and 1 < len(facts.counts) <= _LEVELS
    return facts if usable and min(facts.counts) >= 0 and sum(facts.counts) > 0 else None


class Drift:
    """One lane's input against its calibration. ``see`` belongs to the inference thread, ``document`` to any: it is at most
    one sample behind."""

    def __init__(self, facts: InputFacts, tensor: TensorSpec) -> None:
        self.frames = 0  #: samples, ever
        self._facts = facts
        self._integer = tensor.dtype in ("uint8", "int8")
        quantization = tensor.quantization
        self._scale, self._zero = (quantization.scale[0], quantization.zero_point[0]) if quantization is not None else (1.0, 0)
        self._stride = max(1, -(-math.prod(tensor.shape) // _MOST) | 1)  # odd: it meets every channel
        self._counts = np.zeros(_LEVELS)
        levels = self._levels(tensor)
        bins = np.floor((levels - facts.low) / (facts.high - facts.low) * len(facts.counts))
        self._bins = np.clip(bins, 0, len(facts.counts) - 1).astype(np.intp)
        self._reals = levels
        self.nbytes = self._counts.nbytes + self._bins.nbytes + self._reals.nbytes

    def _levels(self, tensor: TensorSpec) -> Array:
        """(256,) the real value that each counter stands for."""
        if self._integer:
            stored = np.arange(_LEVELS).astype(np.uint8).view(tensor.dtype)
            return (stored.astype(np.float64) - self._zero) * self._scale
        inner = _LEVELS - 2  # the first counter and the last are for what lies outside
        self._width = (self._facts.high - self._facts.low) / inner
        return self._facts.low + (np.arange(_LEVELS) - 0.5) * self._width

    def see(self, tensor: Array) -> None:
        """Count one sample of the input tensor, which is not kept."""
        values = tensor.reshape(-1)[:: self._stride]
        if self._integer:
            counts = np.bincount(values.view(np.uint8), minlength=_LEVELS)
        else:
            reals = (values.astype(np.float64) - self._zero) * self._scale
            with np.errstate(invalid="ignore"):
                places = np.clip(np.floor((reals - self._facts.low) / self._width) + 1, 0, _LEVELS - 1)
            counts = np.bincount(np.nan_to_num(places, nan=0.0).astype(np.intp), minlength=_LEVELS)
        self._counts *= _FADE
        self._counts += counts
        self.frames += 1

    def clear(self) -> None:
        """Forget everything, in place."""
        self._counts[:] = 0
        self.frames = 0

    def document(self) -> dict[str, float | int]:
        """``saturated``, ``mean_shift``, ``psi`` and ``frames``, for health. Zeros before the first sample."""
        counts = self._counts.copy()
        total = float(counts.sum())
        if not total:
            return {"saturated": 0.0, "mean_shift": 0.0, "psi": 0.0, "frames": 0}
        ends = counts[self._reals.argmin()] + counts[self._reals.argmax()]
        shift = (float(counts @ self._reals) / total - self._facts.mean) / self._facts.std
        binned = np.bincount(self._bins, counts, len(self._facts.counts))
        return {"saturated": round(float(ends) / total, 4), "mean_shift": round(shift, 3),
                "psi": round(stability_index(self._facts.counts, binned.tolist()), 4), "frames": self.frames}
