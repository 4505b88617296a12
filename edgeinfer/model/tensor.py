"""Tensor specifications: shape, dtype and quantisation, as the model file states them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "DType", "Quantization", "TensorSpec"]

Array = NDArray[Any]
DType = Literal["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float16", "float32", "float64", "bool"]


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """real = scale * (quantised - zero_point), per tensor (one scale) or per axis (one scale for each index of ``axis``).

    The formula is that of the LiteRT quantisation specification and of ONNX DequantizeLinear.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    @property
    def per_axis(self) -> bool:
        return len(self.scale) > 1


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output of a model. A dynamic dimension is -1 and must be fixed before a session opens."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor; dynamic dimensions count as 1."""
        return int(np.prod([max(side, 1) for side in self.shape], dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def dequantize(self, values: Array) -> Array:
        """Real values (float32, same shape) of quantised ones of this whole tensor; a copy of float tensors as they are."""
        if self.quantization is None:
            return np.asarray(values, np.float32)
        scale, zero_point = self._broadcast(self.quantization)
        return np.asarray((values.astype(np.float64) - zero_point) * scale, np.float32)

    def quantize(self, values: Array) -> Array:
        """Quantised values of real ones: rounded half to even, saturated at the dtype's limits. An integer tensor without
        quantisation (scale 1, zero point 0) takes numbers as they are."""
        if self.quantization is None and np.dtype(self.dtype).kind == "f":
            return np.asarray(values, self.dtype)
        scale, zero_point = self._broadcast(self.quantization) if self.quantization else (1.0, 0.0)
        limits = np.iinfo(np.dtype(self.dtype))
        steps = np.rint(np.asarray(values, np.float64) / scale) + zero_point
        clipped: Array = np.clip(steps, limits.min, limits.max).astype(self.dtype)
        return clipped

    def _broadcast(self, quantization: Quantization) -> tuple[Array | float, Array | float]:
        scale, zero_point = np.array(quantization.scale), np.array(quantization.zero_point, np.float64)
        if quantization.axis is None or not quantization.per_axis:
            return scale[0], zero_point[0]
        sides = [1] * len(self.shape)
        sides[quantization.axis] = -1
        return scale.reshape(sides), zero_point.reshape(sides)
