"""All outputs as they are, dequantised, for a consumer that decodes by itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from edgeinfer.errors import ConfigError, ManifestError
from edgeinfer.model.decoders.parameters import Count, read
from edgeinfer.model.decoders.roles import describe, size_of
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Raw
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Parameters", "RawTensors"]

WHERE = "decoder raw"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``max_elements``: of all outputs together, so that a payload stays small."""

    max_elements: Count = 2048


class RawTensors:
    """Not-a-number becomes 0 and an infinity the largest float (numpy.nan_to_num): JSON has neither."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        if threshold is not None:
            raise ConfigError("threshold", "none: raw tensors have no score", f"{threshold:g}", "remove threshold")
        sizes = [size_of(WHERE, spec) for spec in outputs]
        if sum(sizes) > chosen.max_elements:
            raise ManifestError(f"{WHERE}.max_elements", f"outputs of at most {chosen.max_elements} elements together",
                                f"{sum(sizes)} in {describe(outputs)}", "choose a decoder, or set max_elements higher")
        self._specs = tuple(outputs)
        self._result = Raw(names=tuple(spec.name for spec in outputs), shapes=tuple(spec.shape for spec in outputs),
                           values=[[0.0] * size for size in sizes])

    @property
    def nbytes(self) -> int:
        return sum(len(values) * (8 + sys.getsizeof(0.0)) for values in self._result.values)

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Raw:
        """The same result each time."""
        with np.errstate(over="ignore", invalid="ignore"):  # infinities in a float tensor
            for spec, stored, values in zip(self._specs, outputs, self._result.values, strict=True):
                real = spec.dequantize(stored.reshape(spec.shape))
                values[:] = np.nan_to_num(real).reshape(-1).tolist()
        return self._result
