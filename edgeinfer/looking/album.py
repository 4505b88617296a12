"""Pictures kept to be looked at later: a film, or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeinfer.annotate import save
from edgeinfer.errors import StorageError, UsageError
from edgeinfer.model.tensor import Array

__all__ = ["Album"]

_FILMS = {".mp4": "mp4v", ".avi": "MJPG"}


class Album:
    """``with`` closes the film. All pictures of a film have the size of the first."""

    def __init__(self, target: Path, fps: float) -> None:
        """Raises UsageError for a file that is neither a film nor a folder, StorageError where it cannot be made."""
        self.count = 0
        self._target, self._fps = target, fps
        self._film: Any = None
        self._is_film = target.suffix.lower() in _FILMS
        if self._is_film and not target.absolute().parent.is_dir():
            raise UsageError("--save", "a folder that exists", f"'{target.parent}'", f"mkdir -p {target.parent}")
        if not self._is_film:
            if target.suffix:
                raise UsageError("--save", f"a film ({', '.join(_FILMS)}) or a folder", f"'{target}'")
            try:
                target.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(str(target), "a folder to write to", error.strerror or str(error)) from error

    def add(self, picture: Array) -> None:
        """Raises StorageError."""
        if self._is_film:
            self._add_to_film(picture)
        else:
            save(self._target / f"{self.count:06d}.jpg", picture)
        self.count += 1

    def _add_to_film(self, picture: Array) -> None:
        import cv2

        if self._film is None:
            self._size = picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2  # films have even sides
            self._film = cv2.VideoWriter(str(self._target.absolute()), cv2.CAP_FFMPEG,
                                         cv2.VideoWriter.fourcc(*_FILMS[self._target.suffix.lower()]), self._fps, self._size)
            if not self._film.isOpened():
                raise StorageError(str(self._target), "a film that can be written", "OpenCV refused", "save to a folder instead")
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._film.write(picture)

    def __enter__(self) -> Album:
        return self

    def __exit__(self, *_: object) -> None:
        if self._film is not None:
            self._film.release()
