"""Cases as data: tests/cases/decoders/<decoder>/<case>/case.json.

An output is {"name", "values" (real, nested), "range" (the reals that its 8 bits span)}; "stored" values of one dtype
are made from it, so that one case serves float32, uint8 and int8; one with a "dtype" of its own is always of that.
"turned" names outputs that also come with their first side last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.tensor import Array, DType, Quantization, TensorSpec

CASES = Path(__file__).resolve().parents[2] / "cases" / "decoders"


def tensor(name: str, shape: tuple[int, ...], dtype: DType = "float32", scale: float = 0.0,
           zero_point: int = 0) -> TensorSpec:
    """A specification; quantised where there is a scale."""
    quantization = Quantization(scale=(scale,), zero_point=(zero_point,)) if scale else None
    return TensorSpec(name=name, shape=shape, dtype=dtype, quantization=quantization)


@dataclass
class Case:
    """One case in one dtype: what a decoder is given, and the real values that it must see."""

    document: dict[str, Any]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    given: list[Array]
    stored: list[Array]

    @property
    def geometry(self) -> Geometry:
        return Geometry(**self.document.get("geometry", {}))

    @property
    def real(self) -> list[Array]:
        """Dequantised in float64, by the formula of the specification, batch removed."""
        return [_real(spec, stored)[0] for spec, stored in zip(self.outputs, self.stored, strict=True)]


def names(decoder: str) -> list[str]:
    return sorted(folder.name for folder in (CASES / decoder).iterdir())


def load(decoder: str, name: str, dtype: DType, turned: bool = False) -> Case:
    document = json.loads((CASES / decoder / name / "case.json").read_text())
    made = [_made(one, dtype, turned and one["name"] in document.get("turned", [])) for one in document["outputs"]]
    fed = [_made(one, dtype, False) for one in document.get("inputs", [])]
    return Case(document, [spec for spec, _ in fed], [spec for spec, _ in made], [a for _, a in fed], [a for _, a in made])


def _made(one: dict[str, Any], dtype: DType, turned: bool) -> tuple[TensorSpec, Array]:
    values = np.array(one["values"], np.float64) if "values" in one else np.zeros(one["shape"])
    values = (np.moveaxis(values, 0, -1) if turned else values)[np.newaxis] if values.ndim else values.reshape(1)
    if "dtype" in one:
        spec = tensor(one["name"], values.shape, one["dtype"])
    elif dtype == "float32" or "range" not in one:
        spec = tensor(one["name"], values.shape, "float32")
    else:
        low, high = one["range"]
        scale = (high - low) / 255
        spec = tensor(one["name"], values.shape, dtype, scale, int(np.rint(-low / scale)) + int(np.iinfo(dtype).min))
    return spec, np.ascontiguousarray(spec.quantize(values))


def _real(spec: TensorSpec, stored: Array) -> Array:
    if spec.quantization is None:
        return stored.astype(np.float64)
    return (stored.astype(np.float64) - spec.quantization.zero_point[0]) * spec.quantization.scale[0]
