"""Mean, deviation, least and greatest of each channel, in one pass and constant memory."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec
from edgeinfer.model.tensor import Array

__all__ = ["Channels", "affine", "by_channel"]


class Channels:
    """Adds up arrays (elements, channels). T. F. Chan et al., "Updating formulae and a pairwise algorithm for computing
    sample variances" (1979), in float64."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean = np.zeros(channels)
        self._squares = np.zeros(channels)
        self.least = np.full(channels, np.inf)
        self.greatest = np.full(channels, -np.inf)

    def add(self, elements: Array) -> None:
        count, mean = len(elements), elements.mean(0, dtype=np.float64)
        total, moved = self.count + count, mean - self.mean
        self._squares += np.square(elements - mean, dtype=np.float64).sum(0) + moved * moved * (self.count * count / total)
        self.mean += moved * (count / total)
        self.count = total
        np.minimum(self.least, elements.min(0), out=self.least)
        np.maximum(self.greatest, elements.max(0), out=self.greatest)

    @property
    def deviation(self) -> Array:
        deviation: Array = np.sqrt(self._squares / max(self.count, 1))
        return deviation

    def scaled(self, offset: Array, divisor: Array) -> Channels:
        """The same of value * divisor + offset, for each channel: what was before (value - offset) / divisor."""
        other = Channels(len(self.mean))
        other.count, other.mean = self.count, self.mean * divisor + offset
        other._squares = self._squares * divisor * divisor
        ends = self.least * divisor + offset, self.greatest * divisor + offset
        other.least, other.greatest = np.minimum(*ends), np.maximum(*ends)
        return other

    def document(self) -> dict[str, list[float]]:
        figures = {"mean": self.mean, "deviation": self.deviation, "min": self.least, "max": self.greatest}
        return {name: [float(f"{value:.6g}") for value in values] for name, values in figures.items()}


def by_channel(tensor: Array, spec: PreprocessSpec) -> Array:
    """An input tensor as (elements, channels), channels as the spec has them."""
    if isinstance(spec, ImageSpec):
        return tensor.reshape(3, -1).T if spec.layout == "NCHW" and spec.channels == 3 else tensor.reshape(-1, spec.channels)
    sides = (spec.columns, spec.rows)
    turned = len(set(sides)) == 2 and tuple(side for side in tensor.shape if side != 1) == sides  # as preprocess.window has it
    return tensor.reshape(sides).T if turned else tensor.reshape(-1, spec.columns)


def affine(spec: PreprocessSpec) -> tuple[Array, Array]:
    """What is subtracted from each channel, and what divides it."""
    if isinstance(spec, ImageSpec) or spec.normalize == "standardize":
        offset, divisor = np.array(spec.mean), np.array(spec.std)
    elif spec.normalize == "minmax":
        offset, divisor = np.array(spec.minimum), np.array(spec.maximum) - np.array(spec.minimum)
    else:
        offset, divisor = np.zeros(1), np.ones(1)
    count = spec.channels if isinstance(spec, ImageSpec) else spec.columns
    return np.broadcast_to(offset, count).astype(np.float64), np.broadcast_to(divisor, count).astype(np.float64)
