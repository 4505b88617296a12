"""From output tensors to a typed result. A decoder knows arrays only; plug-ins do not know each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Result
from edgeinfer.model.tensor import Array, TensorSpec
from edgeinfer.registry import Table

__all__ = ["DECODERS", "Decoder"]


class Decoder(Protocol):
    """Made once for each pipeline, then called by the inference thread for each frame.

    The constructor validates everything and allocates everything: it raises ManifestError (where="decoder …") when
    ``parameters`` are unknown or do not fit ``outputs``, naming the tensors that there are. ``threshold`` may only be
    stricter than the manifest's own; None leaves the manifest's. A decoder that has one says which it is in an attribute
    ``own_threshold``.
    """

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None: ...

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Result:
        """The same Result object each time, filled anew. ``outputs`` are views of the session's memory in the order and
        dtype of the specs (quantised ones not dequantised) and must not be kept. Raises nothing on any values."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of rows and scratch arrays, for the memory bill."""
        ...


DECODERS = Table("decoders", {
    "classify": "edgeinfer.model.decoders.classify:Classify",
    "yolo": "edgeinfer.model.decoders.yolo:Yolo",
    "ssd": "edgeinfer.model.decoders.ssd:Ssd",
    "grid": "edgeinfer.model.decoders.grid:Grid",
    "end_to_end": "edgeinfer.model.decoders.end_to_end:EndToEnd",
    "detr": "edgeinfer.model.decoders.detr:Detr",
    "instances": "edgeinfer.model.decoders.instances:Instances",
    "segment": "edgeinfer.model.decoders.segment:Segment",
    "pose": "edgeinfer.model.decoders.pose:Pose",
    "landmarks": "edgeinfer.model.decoders.landmarks:Landmarks",
    "embed": "edgeinfer.model.decoders.embed:Embed",
    "ctc": "edgeinfer.model.decoders.ctc:Ctc",
    "anomaly": "edgeinfer.model.decoders.anomaly:AnomalyScore",
    "regress": "edgeinfer.model.decoders.regress:Regress",
    "raw": "edgeinfer.model.decoders.raw:RawTensors",
})
