"""The facts that a model file states, and the checks that both formats share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast, get_args

import msgspec
import numpy as np

from edgeinfer.errors import ModelError
from edgeinfer.model.tensor import DType, Quantization, TensorSpec

__all__ = ["ModelFile", "quantization_of", "tensor_spec"]


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one model file.

    ``inputs`` and ``outputs`` are in the file's order; a dynamic side is -1 there, and ``symbols`` has the file's own words
    for the sides of those tensors ("N", "3", "?"). ``operators`` counts by name over all subgraphs, ``custom_operators`` are
    those that the format does not define. ``metadata`` has ONNX's metadata_props, or TFLite's entries: the minimum runtime
    version as text, of others the size. ``opset`` is that of the ONNX domain, 0 for TFLite.
    """

    format: Literal["tflite", "onnx"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    symbols: dict[str, tuple[str, ...]] = {}
    operators: dict[str, int]
    custom_operators: tuple[str, ...] = ()
    tensors: int
    subgraphs: int = 1
    opset: int = 0
    description: str = ""
    metadata: dict[str, str] = {}


def tensor_spec(where: str, name: str, shape: Sequence[int], dtype: str, quantization: Quantization | None) -> TensorSpec:
    """A spec of an input or output. Raises ModelError for a dtype that cannot be fed or read."""
    known = get_args(DType)
    if dtype not in known:
        raise ModelError(f"{where}: {name}", f"one of {', '.join(known)}", dtype,
                         "convert the model anew with inputs and outputs of one of these types")
    return TensorSpec(name=name, shape=tuple(shape), dtype=cast("DType", dtype), quantization=quantization)


def quantization_of(where: str, dtype: str, shape: Sequence[int], *, scales: Sequence[float], zero_points: Sequence[int],
                    axis: int) -> Quantization | None:
    """The parameters of one tensor; None where there are none or the tensor is a float one. Raises ModelError where a scale
    is not a positive number, a zero point does not fit the dtype, or their numbers do not fit the shape."""
    if not scales or dtype not in ("uint8", "int8", "int16", "uint16", "int32", "uint32"):
        return None
    zero_points = zero_points or [0] * len(scales)
    wrong = [scale for scale in scales if not (math.isfinite(scale) and scale > 0)]
    if wrong:
        raise ModelError(where, "scales that are positive numbers", str(wrong[0]), "quantise the model anew")
    limits = np.iinfo(dtype)
    outside = [zero for zero in zero_points if not limits.min <= zero <= limits.max]
    if outside:
        raise ModelError(where, f"zero points of {limits.min} to {limits.max}", str(outside[0]), "quantise the model anew")
    sides = shape[axis] if 0 <= axis < len(shape) else 0
    if len(zero_points) != len(scales) or (len(scales) > 1 and len(scales) != sides):
        raise ModelError(where, f"one scale and zero point, or {sides} (axis {axis} of {list(shape)})",
                         f"{len(scales)} scales and {len(zero_points)} zero points", "quantise the model anew")
    return Quantization(scale=tuple(map(float, scales)), zero_point=tuple(map(int, zero_points)),
                        axis=axis if len(scales) > 1 else None)
