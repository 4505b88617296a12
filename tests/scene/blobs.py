"""A detector without a mistake: the bounding boxes of red, green and blue blocks in the model's own input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from edgeinfer.model.bundle import Bundle
from edgeinfer.model.decoders.boxes import BoxRows
from edgeinfer.model.manifest import DecoderSpec
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array, TensorSpec
from quantize.pack import Given, pack
from tests.bundles import with_manifest
from tests.models import tiny_tflite

__all__ = ["Blobs", "blobs"]

_STRONG, _WEAK = 150, 90  # of a block's own colour, and of the others


class Blobs:
    """A decoder of uint8 pictures (1, height, width, 3), RGB, whose outputs do not matter."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        self._rows = BoxRows(labels, 16, None)
        self.nbytes = self._rows.nbytes

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Detections:
        height, width, channels = inputs[0].shape[-3:]
        picture = np.asarray(inputs[0]).reshape(height, width, channels)
        found = [(*box, channel) for channel in range(3) for box in _boxes(picture, channel)]
        if not found:
            return self._rows.none()
        corners = np.array([(left / width, top / height, right / width, bottom / height) for left, top, right, bottom, _ in found])
        scores = 0.95 - 0.01 * np.arange(len(found))
        return self._rows.fill(corners, scores, np.array([channel for *_, channel in found]), geometry)


def _boxes(picture: Array, channel: int) -> Iterator[tuple[int, int, int, int]]:
    others = [other for other in range(3) if other != channel]
    mask = (picture[:, :, channel] > _STRONG) & (picture[:, :, others] < _WEAK).all(axis=2)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    for left, top, width, height, area in stats[1:count]:
        if area > 8:
            yield left, top, left + width, top + height


def blobs(folder: Path, height: int = 120, width: int = 160) -> Bundle:
    """Its bundle, around a real model of that input; ``DECODERS.entries["blobs"]`` must name the decoder."""
    labels = folder / "blobs.txt"
    labels.write_text("red\ngreen\nblue\n")
    model = tiny_tflite(folder / "blobs.tflite", height=height, width=width)
    made = pack(model, folder / "blobs-classify", Given(decoder="classify", labels=str(labels))).bundle
    manifest = msgspec.structs.replace(made.manifest, name="blobs", decoder=DecoderSpec("blobs", {}), task="detection", probes=())
    return with_manifest(made, folder / "blobs", manifest)
