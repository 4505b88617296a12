"""What a spec and an input tensor must agree on. Checked once, before the first frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgeinfer.errors import Fault, ManifestError
from edgeinfer.model.tensor import TensorSpec

__all__ = ["entries", "inputs", "refuse"]

QUANTISED = ("uint8", "int8", "int16")


def refuse(faults: Sequence[Fault]) -> None:
    """Raises one ManifestError that lists all faults; nothing where there are none."""
    if faults:
        raise ManifestError.of(faults)


def inputs(tensor: TensorSpec, pixels: bool = False) -> list[Fault]:
    """Faults of the input's dtype and quantisation. ``pixels``: a uint8 without quantisation takes them as they are."""
    where = f"input '{tensor.name}'"
    if tensor.dtype == "float32":
        return []
    if tensor.dtype not in QUANTISED:
        return [Fault(f"{where}: dtype", f"float32 or one of {', '.join(QUANTISED)}", tensor.dtype,
                      "export the model with a float32 or an INT8 input")]
    if tensor.quantization is None:
        if pixels and tensor.dtype == "uint8":
            return []
        return [Fault(f"{where}: quantization", f"a scale and a zero point ({tensor.dtype})", "none",
                      "a model that takes pixels as they are has scale 1 and zero point 0")]
    if tensor.quantization.per_axis:
        return [Fault(f"{where}: quantization", "one scale for the whole tensor", f"{len(tensor.quantization.scale)} scales",
                      "quantise the input per tensor: only weights may be quantised per axis")]
    return _scale_and_zero_point(where, tensor.dtype, tensor.quantization.scale, tensor.quantization.zero_point)


def _scale_and_zero_point(where: str, dtype: str, scale: tuple[float, ...], zero_point: tuple[int, ...]) -> list[Fault]:
    faults = []
    if len(scale) != 1 or not _divides(scale[0]) or scale[0] < 0:
        faults.append(Fault(f"{where}: scale", "one positive float32", str(scale)))
    limits = np.iinfo(dtype)
    if len(zero_point) != 1 or not limits.min <= zero_point[0] <= limits.max:
        faults.append(Fault(f"{where}: zero_point", f"one of {limits.min}..{limits.max}", str(zero_point)))
    return faults


def entries(where: str, values: tuple[float, ...], channels: int, divisor: bool = False) -> list[Fault]:
    """Faults of a mean, std, minimum or maximum: one entry, or one a channel, each a float32, and not 0 for a divisor."""
    faults = []
    if len(values) not in (1, channels):
        faults.append(Fault(where, f"1 entry or {channels} (one a channel)", f"{len(values)} entries"))
    if not all(map(_divides if divisor else _finite, values)):
        faults.append(Fault(where, "numbers other than 0" if divisor else "finite numbers", str(values)))
    return faults


def _finite(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= float(np.finfo(np.float32).max)


def _divides(value: float) -> bool:
    """Finite and a normal float32, of which 2**-126 is the smallest: 0, and what float32 cannot tell from it, is refused."""
    return _finite(value) and abs(value) >= 2.0**-126
