"""Pictures small enough to stand in the page."""

from __future__ import annotations

import numpy as np

from edgeinfer.errors import UnavailableError
from edgeinfer.model.tensor import Array

__all__ = ["thumbnail"]


def thumbnail(pixels: Array, order: str = "RGB", side: int = 192) -> bytes:
    """A JPEG of a picture, its longer side at most ``side``. ``pixels``: uint8, (height, width, 3) in ``order`` "RGB" or
    "BGR", or (height, width) or (height, width, 1) grey. Raises UnavailableError without OpenCV."""
    try:
        import cv2
    except ImportError as error:
        hint = "pip install 'edgeinfer[quantize]'"
        raise UnavailableError("report", "OpenCV for the pictures", str(error), hint) from error
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    picture = np.ascontiguousarray(pixels[:, :, ::-1] if colour and order == "RGB" else pixels)
    height, width = picture.shape[:2]
    shrink = side / max(height, width)
    if shrink < 1:
        size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return bytes(data)
