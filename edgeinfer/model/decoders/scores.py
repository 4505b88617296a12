"""Scores are compared as they are stored; only what survives becomes a real number, with its own tensor's quantisation.

real = scale * (stored - zero_point), the formula of the LiteRT quantisation specification. It rises with the stored
value, and so does the sigmoid: one threshold is one stored value, found once.
"""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Real", "Scores", "logit", "sigmoid"]


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x)), by the tangent that never overflows: (1 + tanh(x / 2)) / 2."""
    scores: Array = 0.5 + 0.5 * np.tanh(0.5 * values)
    return scores


def logit(score: float) -> float:
    """The sigmoid's inverse, with the infinities at 0 and 1."""
    return math.log(score / (1 - score)) if 0 < score < 1 else math.copysign(math.inf, score - 0.5)


class Real:
    """Real values of one tensor's stored ones. A tensor without quantisation is as it is.

    Raises ManifestError (at ``where``) for an output that is quantised per axis: no runtime makes one.
    """

    def __init__(self, spec: TensorSpec, where: str) -> None:
        quantization = spec.quantization
        if quantization is not None and quantization.per_axis:
            raise ManifestError(where, "a tensor with one scale", f"'{spec.name}' with {len(quantization.scale)} scales")
        self.dtype = np.dtype(spec.dtype)
        self.scale = 1.0 if quantization is None else quantization.scale[0]
        self.zero_point = 0 if quantization is None else quantization.zero_point[0]

    def one(self, stored: float) -> float:
        """One value, as Python numbers."""
        return self.scale * (stored - self.zero_point)

    def many(self, stored: Array, out: Array | None = None) -> Array:
        """Values of any shape in float64; written into ``out`` where it is given."""
        real: Array = np.subtract(stored, self.zero_point, out=out, dtype=np.float64)
        return np.multiply(real, self.scale, out=real)


class Scores(Real):
    """Scores of one tensor, with or without a sigmoid to apply, and ``limit``: the least stored value whose score reaches
    ``threshold``; one above the dtype's maximum where none does.
    """

    def __init__(self, spec: TensorSpec, where: str, threshold: float, logits: bool = False) -> None:
        super().__init__(spec, where)
        self.logits = logits
        self.limit: float = self._float_limit(threshold) if self.dtype.kind == "f" else self._stored_limit(threshold)

    def one(self, stored: float) -> float:
        real = super().one(stored)
        return 0.5 + 0.5 * math.tanh(0.5 * real) if self.logits else real

    def many(self, stored: Array, out: Array | None = None) -> Array:
        real = super().many(stored, out)
        return sigmoid(real) if self.logits else real

    def _stored_limit(self, threshold: float) -> int:
        """The least stored value that reaches the threshold; a range of all int32 is too long for ``bisect`` on 32 bits."""
        limits = np.iinfo(self.dtype)
        low, high = int(limits.min), int(limits.max) + 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.one(middle) < threshold else (low, middle)
        return low

    def _float_limit(self, threshold: float) -> float:
        """The threshold in the tensor's own precision, so that float32(0.7) reaches 0.7."""
        if self.logits:
            threshold = logit(threshold)
        return float(self.dtype.type(threshold))
