"""Small valid bundles for tests that need no runtime: the "model" in them is a few bytes that nothing runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgeinfer.model import bundle
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.manifest import Manifest

__all__ = ["LABELS", "MODEL", "manifest_of", "write_bundle"]

MODEL = bytes(range(256)) * 5
LABELS: dict[str, Path | bytes] = {"model.tflite": MODEL, "labels.txt": b"red\ngreen\nblue\n"}


def manifest_of(scale: float = 1 / 255, zero_point: int = 0, **fields: Any) -> Manifest:
    """The mean colour of a picture, as uint8. ``fields`` take the place of the manifest's, as plain values."""
    quantization = {"scale": [scale], "zero_point": [zero_point]}
    document = {
        "edgeinfer": 1, "name": "colours", "version": "1", "task": "classify", "format": "tflite", "model": "model.tflite",
        "files": {"model.tflite": {"sha256": "0" * 64, "bytes": 1}, "labels.txt": {"sha256": "0" * 64, "bytes": 1}},
        "inputs": [{"name": "image", "shape": [1, 8, 8, 3], "dtype": "uint8", "quantization": quantization}],
        "outputs": [{"name": "means", "shape": [1, 3], "dtype": "uint8", "quantization": quantization}],
        "preprocess": {"kind": "image", "height": 8, "width": 8, "std": [255.0]}, "decoder": {"name": "classify"},
        "fingerprint": "0" * 64, "labels": "labels.txt",
        "probes": [{"seed": 1, "tolerance": 3.0,
                    "expected": [{"output": "means", "indices": [0, 2], "values": [7.0, 9.0]}]}],
        **fields,
    }
    return msgspec.convert(document, Manifest)


def write_bundle(folder: Path, members: dict[str, Path | bytes] | None = None, **fields: Any) -> Bundle:
    return bundle.write(folder, manifest_of(**fields), members or LABELS)
