"""Keras files (.keras, .h5) and SavedModel folders, by way of TensorFlow's converter in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from quantize.converters import Loaded, tflite
from quantize.converters.apart import convert

__all__ = ["load"]


def load(path: Path, shapes: Mapping[str, Sequence[int]]) -> Loaded:
    """As ``converters.load``. Raises UnavailableError without TensorFlow."""
    with tempfile.TemporaryDirectory(prefix="quantize-") as scratch:
        out = Path(scratch) / f"{path.stem}.tflite"
        convert("quantize.converters.keras_to_tflite", path, out, packages=("tensorflow",), extra="tf", shapes=shapes,
                environment={"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"})
        return replace(tflite.load(out, {}), format="keras")
