"""The integer grid that a tensor is rounded to, and what is stored on it: the one idea that both file formats share."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph

__all__ = ["LIMITS", "Grid", "Quantized", "Stored"]

LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "int32": (-(2**31), 2**31 - 1)}


@dataclass(frozen=True)
class Grid:
    """real = scale * (stored - zero_point). ``scale`` (float32) and ``zero_point`` (int64) are (1,) for the whole tensor, or
    have an entry for each index of ``axis``. The formula is that of LiteRT's quantisation specification and of ONNX's
    DequantizeLinear; scales are float32 because both files hold them so."""

    dtype: str
    scale: Array
    zero_point: Array
    axis: int | None = None

    @staticmethod
    def of_range(low: float, high: float, dtype: str = "int8", symmetric: bool = False) -> Grid:
        """The grid that covers [low, high] and 0. ``symmetric``: zero point 0 (int8 uses -127 to 127)."""
        low, high = min(float(low), 0.0), max(float(high), 0.0)
        least, most = LIMITS[dtype]
        if symmetric:
            largest = max(-low, high)
            scale = np.float32(largest / most if largest > 0 else 1.0)
            return Grid(dtype, np.array([max(scale, np.float32(1e-12))]), np.zeros(1, np.int64))
        scale = np.float32((high - low) / (most - least) if high > low else 1.0)
        scale = max(scale, np.float32(1e-12))
        zero_point = int(np.clip(np.rint(least - low / float(scale)), least, most))
        return Grid(dtype, np.array([scale], np.float32), np.array([zero_point], np.int64))

    @staticmethod
    def of_weights(weights: Array, axis: int | None, dtype: str = "int8", most: int = 127) -> Grid:
        """The symmetric grid of a constant: per index of ``axis``, or of the whole. ``most`` 63 is the reduced range that
        x86 without VNNI needs."""
        others = None if axis is None else tuple(side for side in range(weights.ndim) if side != axis)
        largest = np.atleast_1d(np.abs(weights.astype(np.float64)).max(axis=others, initial=0.0))
        scale = np.where(largest > 0, largest / most, 1.0 / most).astype(np.float32)
        return Grid(dtype, np.maximum(scale, np.float32(1e-12)), np.zeros(scale.shape, np.int64), axis)

    @property
    def low(self) -> float:
        """The least real value on a grid of the whole tensor."""
        return float(self.scale[0]) * (LIMITS[self.dtype][0] - int(self.zero_point[0]))

    @property
    def high(self) -> float:
        return float(self.scale[0]) * (LIMITS[self.dtype][1] - int(self.zero_point[0]))

    def quantize(self, reals: Array) -> Array:
        """Stored integers of reals: rounded half to even, saturated."""
        scale, zero_point = self._broadcast(reals.ndim)
        least, most = LIMITS[self.dtype]
        steps = np.rint(reals.astype(np.float64) / scale) + zero_point
        stored: Array = np.clip(steps, least, most).astype(self.dtype)
        return stored

    def dequantize(self, stored: Array) -> Array:
        """Reals (float32) of stored integers."""
        scale, zero_point = self._broadcast(stored.ndim)
        reals: Array = ((stored.astype(np.float64) - zero_point) * scale).astype(np.float32)
        return reals

    def _broadcast(self, rank: int) -> tuple[Array, Array]:
        sides = [1] * rank
        if self.axis is not None and self.scale.size > 1:
            sides[self.axis] = -1
        elif rank:
            sides[0] = -1
        return self.scale.astype(np.float64).reshape(sides), self.zero_point.reshape(sides)


@dataclass(frozen=True)
class Stored:
    """A constant as integers on a grid."""

    values: Array
    grid: Grid


@dataclass
class Quantized:
    """A float graph and the grids of its values: what both writers turn into a file, so that both hold the same numbers.

    ``activations``: graph inputs and node outputs that are stored as integers. A value without a grid is float, or lies
    inside a fused operator: between a Conv, Gemm, ConvTranspose, Add, Sub or Mul and the Relu or Clip that alone reads it.
    ``constants``: weights (int8), biases (int32, scale = input scale x weight scale), constant operands (int8). A constant
    that is absent here stays float. A node of whose inputs or outputs one is float is computed in float, and so are those
    named in ``excluded``, whatever grids their values have: float islands.
    """

    graph: Graph
    activations: dict[str, Grid] = field(default_factory=dict)
    constants: dict[str, Stored] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
