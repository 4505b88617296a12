"""A picture as a browser takes it."""

from __future__ import annotations

from edgeinfer.errors import StorageError
from edgeinfer.model.tensor import Array

__all__ = ["jpeg"]


def jpeg(picture: Array, quality: int) -> bytes:
    """JPEG of a BGR picture, uint8 (height, width, 3); ``quality`` 1 to 100. Raises StorageError for one that JPEG cannot hold."""
    import cv2

    made, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not made:
        raise StorageError("preview", "a picture that JPEG can hold", f"{picture.shape}")
    return bytes(encoded.tobytes())
