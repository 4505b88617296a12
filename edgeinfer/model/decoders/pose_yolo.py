"""YOLO v8 and v11 pose: a box, a score and K keypoints for each candidate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.decoders.dense import DenseHead
from edgeinfer.model.decoders.keypoints import BODY, Points, names_of
from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.decoders.pose_parameters import WHERE, Parameters
from edgeinfer.model.decoders.roles import describe
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Box, Detections
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["YoloPose"]


class YoloPose:
    """One class. Only the keypoints of boxes that survive suppression are dequantised."""

    def __init__(self, chosen: Parameters, outputs: Sequence[TensorSpec], inputs: Sequence[TensorSpec], name: str,
                 threshold: float) -> None:
        names = {"boxes": chosen.boxes, "scores": chosen.scores, "keypoints": chosen.keypoints}
        self._head = DenseHead(WHERE, outputs, names, "keypoints", lambda columns, _: columns - 5, threshold, chosen.box_unit)
        columns, values = self._head.more.columns, chosen.point_values
        if self._head.scores.columns != 1 or columns < values or columns % values:
            raise ManifestError(WHERE, f"a box, one score and {values} values for each keypoint of each candidate",
                                describe(outputs), "keypoints without a score each: decoder.parameters.point_values: 2")
        self._values, self._in_pixels = values, chosen.box_unit == "pixel"
        nms = Nms(chosen.candidates, chosen.iou, class_aware=False)
        self._rows = BoxRows((name,), chosen.max_detections, nms, row=lambda: Box(keypoints=[]))
        self._points = Points(names_of(f"{WHERE}.names", chosen.names, columns // values, BODY), chosen.max_detections,
                              chosen.keypoint_threshold)

    @property
    def nbytes(self) -> int:
        return self._head.nbytes + self._rows.nbytes + self._points.nbytes

    def decode(self, outputs: Sequence[Array], geometry: Geometry) -> Detections:
        """The same result each time."""
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is dropped
            rows, classes, scores = self._head.find(outputs)
            if not len(rows):
                return self._rows.none()
            result = self._rows.fill(self._head.corners(outputs, rows, geometry), scores, classes, geometry)
            if result.count:
                self._put_points(self._head.extras(outputs, rows[self._rows.kept].tolist()), geometry)
            return result

    def _put_points(self, extras: Array, geometry: Geometry) -> None:
        points = extras.reshape(len(extras), -1, self._values)
        places = points[:, :, :2] / (geometry.input_width, geometry.input_height) if self._in_pixels else points[:, :, :2]
        for place, row in enumerate(self._rows.result.rows[: len(extras)]):
            self._points.put(place, row, places[place], points[place, :, 2] if self._values == 3 else None, geometry)
