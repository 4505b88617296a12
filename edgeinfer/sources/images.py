"""Pictures from files: one, a list, a pattern or a folder."""

from __future__ import annotations

import glob
import time
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.jpeg import cut_short
from edgeinfer.model.tensor import Array
from edgeinfer.sources.pacing import Pace
from edgeinfer.sources.picture_size import picture_size

__all__ = ["SUFFIXES", "Images"]

_MOST_BYTES = 1 << 30  # of a file
_MOST_PIXELS = 1 << 30  # OpenCV's CV_IO_MAX_IMAGE_PIXELS
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff"))


class ImagesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``path`` is a picture, a folder, a pattern with * ? [ ] **, or a list of those; each is sorted by name."""

    path: str | tuple[str, ...]
    recursive: bool = False  # also the folders within a folder
    loop: bool = False
    interval_s: float = 0.0  # seconds from one picture to the next; 0: as fast as the reader, and none is lost

    def __post_init__(self) -> None:
        if not self.path or not all(self.paths):
            raise ValueError("expected path to name a picture, a folder or a pattern, got an empty one")
        if not 0 <= self.interval_s <= 86400:
            raise ValueError(f"expected interval_s from 0 to 86400, got {self.interval_s}")

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else self.path


class Images:
    """8-bit BGR pictures of any size; 16-bit ones, grey ones and those with alpha are converted (alpha is dropped), and
    Exif's orientation is heeded. ``frame.reshape`` gives the view each picture's size.

    A picture that cannot be decoded is a SourceError that names it; the next ``read_into`` goes on behind it, and so does an
    ``open`` that follows the error.
    """

    Options = ImagesOptions
    yields: ClassVar[Literal["frames", "samples"]] = "frames"

    def __init__(self, options: ImagesOptions) -> None:
        self.live = options.interval_s > 0
        self._options = options
        self._pace = Pace()
        self.file = Path()  #: the last picture that ``read_into`` took up
        self._files: list[Path] = []
        self._next = 0
        self._delivered = 0
        self._failed = False

    def format(self) -> FrameFormat:
        """The largest height and the largest width, from the headers. Raises SourceError when no picture can be read."""
        files = self._find()
        sizes = [size for size in map(_size, files) if size is not None]
        if not sizes:
            raise SourceError(str(files[0]), "a picture", "none that can be read", f"file '{files[0]}'")
        return FrameFormat("BGR", max(height for height, _ in sizes), max(width for _, width in sizes))

    def open(self) -> None:
        """Raises SourceError when nothing matches."""
        self._files = self._find()
        if not self._failed:
            self._next = self._delivered = 0
        self._failed = False
        self._pace.start()

    def _find(self) -> list[Path]:
        found = [file for path in self._options.paths for file in self._expand(path)]
        if not found:
            raise SourceError(", ".join(self._options.paths), f"pictures ({' '.join(sorted(SUFFIXES))})", "none",
                              "ls; recursive: true also looks into the folders within a folder")
        return found

    def _expand(self, path: str) -> list[Path]:
        plain = Path(path)
        if plain.is_dir():
            inside = plain.rglob("*") if self._options.recursive else plain.iterdir()
            return sorted(file for file in inside if file.suffix.lower() in SUFFIXES and file.is_file())
        if plain.is_file():
            return [plain]
        return sorted(file for file in map(Path, glob.glob(path, recursive=True)) if file.is_file())

    def read_into(self, frame: Frame) -> bool:
        """The next picture, at its time; False at the end, or when interrupted. Raises SourceError for a bad picture."""
        if not self._pace.wait(self._options.interval_s):
            return False
        if self._next >= len(self._files):
            if not (self._options.loop and self._delivered):  # a round without one picture would never end
                return False
            self._next = self._delivered = 0
        self.file = file = self._files[self._next]
        self._next += 1
        self._failed = True
        _write(_decode(file), frame, file)
        self._failed = False
        self._delivered += 1
        return True

    def interrupt(self) -> None:
        self._pace.interrupt()

    def close(self) -> None:
        self._files = []


def _size(file: Path) -> tuple[int, int] | None:
    """(height, width), by decoding where the header does not tell; None where neither does."""
    try:
        size = picture_size(file)
        if size is None:
            height, width = _decode(file).shape[:2]
            return height, width
        if size[0] * size[1] > _MOST_PIXELS:  # OpenCV will not decode it: counted when its turn comes
            return None
    except (OSError, SourceError):
        return None  # told when its turn comes
    return size if min(size) > 0 else None


def _decode(file: Path) -> Array:
    """The picture as uint8 (height, width, 3) in BGR."""
    import cv2

    raw = _content(file)  # read here: OpenCV dies of a name that is not UTF-8
    if cut_short(raw):
        raise SourceError(str(file), "a whole JPEG", "one that was cut short", f"file '{file}'")
    try:
        picture: Any = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    except cv2.error as error:  # more pixels than OpenCV accepts
        raise SourceError(str(file), "a picture that OpenCV can decode", " ".join(str(error).split())[:120]) from error
    if picture is None:
        raise SourceError(str(file), "a picture that OpenCV can decode", "one that it cannot", f"file '{file}'")
    decoded: Array = picture
    return decoded


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MOST_BYTES)
    except OSError as error:
        raise SourceError(str(file), "a picture that can be read", error.strerror or str(error), f"ls -l '{file}'") from error
    if len(raw) == _MOST_BYTES:
        raise SourceError(str(file), f"a picture of less than {_MOST_BYTES} bytes", "more")
    return raw


def _write(picture: Array, frame: Frame, file: Path) -> None:
    size = FrameFormat("BGR", picture.shape[0], picture.shape[1])
    try:
        frame.reshape(size)
    except ValueError as error:
        raise SourceError(str(file), f"a picture of at most {frame.memory.nbytes} bytes, as when the folder was measured",
                          f"{size.width}x{size.height}", "restart, so that memory is sized anew") from error
    np.copyto(frame.view, picture)
    frame.monotonic_ns = time.monotonic_ns()
    frame.wall_ns = time.time_ns()
