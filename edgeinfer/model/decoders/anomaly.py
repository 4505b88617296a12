"""How far a window is from normal: a reconstruction error, or a score that the model gives by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.parameters import read, stricter
from edgeinfer.model.decoders.roles import describe, named, only, size_of
from edgeinfer.model.decoders.scores import Real
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Anomaly
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["AnomalyScore", "Parameters"]

WHERE = "decoder anomaly"
FARTHEST = float(np.finfo(np.float32).max)


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value above ``threshold`` is an anomaly. ``output`` names the reconstruction or score where there are several."""

    threshold: Annotated[float, msgspec.Meta(ge=0)]
    mode: Literal["reconstruction", "score"] = "reconstruction"
    output: str = ""


class AnomalyScore:
    """"reconstruction": mean of (input - output)^2 over all elements, each side with its own scale and zero point, as in the
    MLPerf Tiny anomaly detection benchmark. "score": one element. What is not finite is as far from normal as can be."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        compares = chosen.mode == "reconstruction"
        if compares and not inputs:
            raise ManifestError(WHERE, "an input to compare the reconstruction with", describe(inputs))
        size = size_of(WHERE, inputs[0]) if compares else 1
        self._output = _find(chosen, outputs, size)
        self._real = Real(outputs[self._output], WHERE)
        self._given = Real(inputs[0], WHERE) if compares else None
        self._values = np.empty(size)
        self._inputs = np.empty(size if compares else 0)
        self.own_threshold = chosen.threshold
        self._result = Anomaly(threshold=stricter(chosen.threshold, threshold, most=float("inf")))

    @property
    def nbytes(self) -> int:
        return self._values.nbytes + self._inputs.nbytes

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Anomaly:
        """The same result each time."""
        with np.errstate(over="ignore", invalid="ignore"):  # infinities in a float tensor
            values = self._real.many(outputs[self._output].reshape(-1), out=self._values)
            if self._given is None:
                value = values.item()
            else:
                values -= self._given.many(inputs[0].reshape(-1), out=self._inputs)
                value = values.dot(values).item() / len(values)
        self._result.value = value if abs(value) < FARTHEST else FARTHEST  # also when it is NaN
        return self._result


def _find(chosen: Parameters, outputs: Sequence[TensorSpec], size: int) -> int:
    fitting = [i for i, spec in enumerate(outputs) if size_of(WHERE, spec) == size]
    if chosen.output:
        fitting = [i for i in fitting if i == named(f"{WHERE}.output", chosen.output, outputs)]
    wanted = f"one output of {size} elements" + (", as many as the input has" if chosen.mode == "reconstruction" else "")
    return only(f"{WHERE}.output", wanted, fitting, outputs, 'name it: decoder.parameters.output: "NAME"')
