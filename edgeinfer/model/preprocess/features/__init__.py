"""Features of windows: samples in, rows of numbers out, in float64 and each row by itself.

    frames      which samples a row is computed from, and which rows are there already because windows overlap
    spectrum    window function, Fourier transform, magnitude or power
    filters     mel filter banks and bands
    levels      logarithms, decibels, cosine transform: what is done to all rows of a window
    statistics  root mean square, crest, kurtosis, envelope, …
    frontend    the audio frontend of TensorFlow Lite Micro, in its integers

A row is computed alone, by the same operations whether its window is the first or one of a stream: so a row that is reused is the
row that would have been computed.
"""

from __future__ import annotations

from typing import Protocol

from edgeinfer.model.frame import Frame
from edgeinfer.model.preprocess.featurespec import MicroFrontendSpec
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array

__all__ = ["Features", "features_of"]


class Features(Protocol):
    """Features of one stream of windows. It owns all its scratch and is used by one thread at a time."""

    nbytes: int

    def of(self, frame: Frame) -> Array:
        """float32 (rows, columns) of the window in ``frame``: the same array each time. Rows that the window before had are
        reused where the frame's position says that both are of one stream."""
        ...

    def forget(self) -> None:
        """The next window has nothing to do with those before it."""
        ...


def features_of(spec: WindowSpec) -> Features:
    """``spec`` has features, and no faults."""
    if isinstance(spec.features, MicroFrontendSpec):
        from edgeinfer.model.preprocess.features.frontend import MicroFrontend

        return MicroFrontend(spec, spec.features)
    from edgeinfer.model.preprocess.features.frames import Framewise

    return Framewise(spec)
