"""All answers of an INT8 file, in the device's session, as real numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edgeinfer.model.backends import RuntimeOptions, open_session

__all__ = ["answers"]


def answers(file: Path, feeds: Iterable[np.ndarray]) -> list[np.ndarray]:
    """One row of float64 for each feed. ``feeds``: float, pictures with channels second whatever the file has."""
    session = open_session(file, file.suffix[1:], RuntimeOptions())
    spec, out = session.inputs[0], session.outputs[0]
    found = []
    for feed in feeds:
        turned = feed.ndim == 4 and file.suffix == ".tflite"
        real = feed.transpose(0, 2, 3, 1) if turned else feed
        session.input(0)[...] = (spec.quantize(real) if spec.quantization else real).reshape(spec.shape)
        session.invoke()
        found.append(np.array(out.dequantize(session.output(0)), np.float64).ravel())
    session.close()
    return found
