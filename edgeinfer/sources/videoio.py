"""OpenCV's videoio: open a capture, read a frame in place."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame

__all__ = ["open_capture", "read_in_place", "size_of"]


def open_capture(source: str | int, backend: int, parameters: Sequence[int] = ()) -> Any:
    """A ``cv2.VideoCapture`` by backend (``cv2.CAP_…``) and parameters (property, value, …); None when it does not open."""
    import cv2

    capture = cv2.VideoCapture(source, backend, list(parameters))
    return capture if capture.isOpened() else None


def size_of(capture: Any) -> tuple[int, int]:
    """(height, width) in pixels, as the capture states them."""
    import cv2

    return int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))


def read_in_place(capture: Any, frame: Frame, where: str) -> bool:
    """Decode the next picture into ``frame.view`` and stamp it; False when the capture delivers none.

    OpenCV writes into the array it is given where shape and dtype match, and otherwise answers with another one: that is a
    SourceError, since the stream changed its size.
    """
    view = frame.view
    delivered, picture = capture.read(view)
    if not delivered:
        return False
    if picture is not view:
        raise SourceError(where, f"pictures of shape {view.shape}", f"one of shape {picture.shape}",
                          "the stream changed its size or its pixel format: restart with the new one")
    frame.monotonic_ns = time.monotonic_ns()
    frame.wall_ns = time.time_ns()
    return True
