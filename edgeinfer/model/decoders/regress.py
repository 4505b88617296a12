"""Named real values from one output."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from edgeinfer.errors import ConfigError, ManifestError
from edgeinfer.model.decoders.parameters import read
from edgeinfer.model.decoders.roles import describe, named, only, size_of
from edgeinfer.model.decoders.scores import Real
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Regression
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Parameters", "Regress"]

WHERE = "decoder regress"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """value = real * scale + offset, each with one entry for all or one for each value. ``names``: else the labels are the
    names, else "value 0", … ``output`` names the tensor where there are several."""

    names: tuple[str, ...] = ()
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    output: str = ""


class Regress:
    """Not-a-number becomes 0 and an infinity the largest float (numpy.nan_to_num): JSON has neither."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        if threshold is not None:
            raise ConfigError("threshold", "none: a regression has no score", f"{threshold:g}", "remove threshold")
        if chosen.output:
            self._output = named(f"{WHERE}.output", chosen.output, outputs)
        else:
            self._output = only(f"{WHERE}.output", "one output", range(len(outputs)), outputs,
                                'name it: decoder.parameters.output: "NAME"')
        spec = outputs[self._output]
        count = size_of(WHERE, spec)
        self._real = Real(spec, WHERE)
        self._scale, self._offset = _each("scale", chosen.scale, count), _each("offset", chosen.offset, count)
        self._values = np.empty(count)
        self.names = _names(chosen.names or tuple(labels), count, spec)
        self._result = Regression(names=self.names, values=[0.0] * count)

    @property
    def nbytes(self) -> int:
        arrays = (self._values, self._scale, self._offset)
        return sum(array.nbytes for array in arrays) + len(self._values) * (8 + sys.getsizeof(0.0))

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Regression:
        """The same result each time."""
        with np.errstate(over="ignore", invalid="ignore"):  # infinities in a float tensor
            values = self._real.many(outputs[self._output].reshape(-1), out=self._values)
            values *= self._scale
            values += self._offset
        if self._real.dtype.kind == "f":
            np.nan_to_num(values, copy=False)
        self._result.values[:] = values.tolist()
        return self._result


def _each(parameter: str, given: tuple[float, ...], count: int) -> Array:
    if len(given) not in (1, count):
        raise ManifestError(f"{WHERE}.{parameter}", f"1 or {count} entries", f"{len(given)} entries")
    return np.array(given, np.float64)


def _names(given: tuple[str, ...], count: int, spec: TensorSpec) -> tuple[str, ...]:
    if not given:
        return tuple(f"value {index}" for index in range(count))
    if len(given) != count or len(set(given)) != count:
        wanted = f"{count} different names, one for each element of {describe([spec])}"
        raise ManifestError(f"{WHERE}.names", wanted, f"{len(set(given))} different names")
    return given
