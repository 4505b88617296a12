"""Pictures from a folder and the folders within it, or one picture.

They become what ``edgeinfer``'s own source of images makes of them: 8-bit BGR by OpenCV; 16-bit ones are divided by 257 and
rounded, palettes are looked up, grey is repeated, alpha is dropped (the colour below it counts, as if it were opaque), and
Exif's orientation is heeded. A JPEG that was cut short is refused: OpenCV would fill the rest with grey.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from edgeinfer.errors import DataError, SourceError, UnavailableError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.jpeg import cut_short
from edgeinfer.model.tensor import Array
from quantize.dataset.samples import Reader

__all__ = ["SUFFIXES", "Pictures", "decode", "framed"]

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff"))
MOST_PIXELS = 1 << 27  # 400 MB decoded


class Pictures(Reader):
    """A Reader (see there) of frames of any size."""

    kind = "pictures"

    def __init__(self, path: Path, files: list[Path]) -> None:
        """``files``: in any order, of ``path`` or below it."""
        folder = path if path.is_dir() else path.parent
        named = sorted((file.relative_to(folder).as_posix(), file) for file in files)
        self.path = path
        self.names = [name for name, _ in named]
        self._files = [file for _, file in named]
        self._largest: FrameFormat | None = None

    def largest(self) -> FrameFormat:
        if self._largest is None:
            self._largest = self._look()
        return self._largest

    def _look(self) -> FrameFormat:
        height = width = 0
        for file in self._files:
            try:
                picture = decode(file)
            except DataError:
                continue
            height, width = max(height, picture.shape[0]), max(width, picture.shape[1])
        if not height:
            raise SourceError(str(self.path), "pictures that OpenCV can decode", f"none of {len(self._files)}",
                              f"file '{self._files[0]}'")
        return FrameFormat("BGR", height, width)

    def read(self, index: int, frame: Frame | None) -> Frame:
        return framed(decode(self._files[index]), frame)

    def file(self, index: int) -> Path:
        return self._files[index]


def framed(picture: Array, frame: Frame | None, colour: Literal["RGB", "BGR"] = "BGR") -> Frame:
    """``picture`` (height, width, 3) or grey (height, width), uint8, in ``frame`` where it has room, or in a new one."""
    size = FrameFormat("GREY" if picture.ndim == 2 else colour, *picture.shape[:2])
    if frame is None or frame.memory.nbytes < size.nbytes:
        frame = Frame(size)
    frame.reshape(size)
    np.copyto(frame.view, picture)
    return frame


def decode(file: Path) -> Array:
    """The picture as uint8 (height, width, 3) in BGR. Raises DataError, and UnavailableError where OpenCV is absent."""
    try:
        import cv2
    except ImportError as error:
        raise UnavailableError("pictures", "OpenCV", str(error), "pip install 'edgeinfer[quantize]'") from error
    hint = f"file '{file}'"
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise DataError(str(file), "a picture", error.strerror or str(error), f"ls -l '{file}'") from error
    if cut_short(raw):
        raise DataError(str(file), "a whole JPEG", "one that was cut short", hint)
    before = cv2.utils.logging.setLogLevel(0)  # what is wrong is said once, by us
    try:
        picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    except cv2.error as error:
        raise DataError(str(file), "a picture that OpenCV can decode", " ".join(str(error).split())[:120], hint) from error
    finally:
        cv2.utils.logging.setLogLevel(before)
    if picture is None:
        raise DataError(str(file), "a picture that OpenCV can decode", "one that it cannot" if raw else "none", hint)
    if picture.shape[0] * picture.shape[1] > MOST_PIXELS:
        raise DataError(str(file), f"at most {MOST_PIXELS} pixels", f"{picture.shape[1]}x{picture.shape[0]}", hint)
    decoded: Array = picture
    return decoded
