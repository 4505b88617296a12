"""SSD detectors: with the suppression inside the model (four outputs), or raw boxes and scores with anchors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeinfer.model.decoders.parameters import read, stricter
from edgeinfer.model.decoders.ssd_parameters import WHERE, Parameters
from edgeinfer.model.decoders.ssd_postprocessed import Postprocessed
from edgeinfer.model.decoders.ssd_raw import RawHead
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Parameters", "Ssd"]


class Ssd:
    """Scores at or over the threshold are found in the quantised domain, in both forms of the model."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self.own_threshold = chosen.threshold
        least = stricter(chosen.threshold, threshold)
        self._form: Postprocessed | RawHead
        if chosen.anchors is None:
            self._form = Postprocessed(chosen, outputs, labels, least)
        else:
            self._form = RawHead(chosen, outputs, labels, inputs, least)

    @property
    def nbytes(self) -> int:
        return self._form.nbytes

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        return self._form.decode(outputs, geometry)
