"""People with keypoints: MoveNet, PoseNet and other heat maps, YOLO pose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.parameters import read, stricter
from edgeinfer.model.decoders.pose_heatmaps import HeatMaps
from edgeinfer.model.decoders.pose_movenet import MoveNet
from edgeinfer.model.decoders.pose_parameters import WHERE, Parameters
from edgeinfer.model.decoders.pose_yolo import YoloPose
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Parameters", "Pose"]


class _Form(Protocol):
    def __init__(self, chosen: Parameters, outputs: Sequence[TensorSpec], inputs: Sequence[TensorSpec], name: str,
                 threshold: float) -> None: ...

    def decode(self, outputs: Sequence[Array], geometry: Geometry) -> Detections: ...

    @property
    def nbytes(self) -> int: ...


_FORMS: dict[str, type[_Form]] = {"movenet": MoveNet, "heatmap": HeatMaps, "yolo": YoloPose}


class Pose:
    """Detections whose rows have keypoints; the box is the model's, or the one around the keypoints. One label at most: what
    all rows are called, else "person"."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self.own_threshold = chosen.threshold
        if len(labels) > 1:
            raise ManifestError("labels", "one label at most: what has the pose", f"{len(labels)} labels",
                                "names of keypoints are decoder.parameters.names")
        name = labels[0] if labels else "person"
        self._form = _FORMS[chosen.variant](chosen, outputs, inputs, name, stricter(chosen.threshold, threshold))

    @property
    def nbytes(self) -> int:
        return self._form.nbytes

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        return self._form.decode(outputs, geometry)
