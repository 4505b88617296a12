"""The newest picture, for as many windows as look at it: motion JPEG (multipart/x-mixed-replace)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from edgeinfer.looking.jpeg import jpeg
from edgeinfer.looking.page import Reply
from edgeinfer.model.tensor import Array

__all__ = ["Live"]

_EDGE = b"edgeinfer-picture"


class Live:
    """Holds one JPEG. A slow window misses pictures; the one who shows never waits."""

    def __init__(self, quality: int = 85) -> None:
        self._quality = quality
        self._newest = b""
        self._count = 0
        self._over = False
        self._changed = threading.Condition()

    def show(self, picture: Array) -> None:
        """A BGR picture."""
        encoded = jpeg(picture, self._quality)
        with self._changed:
            self._newest, self._count = encoded, self._count + 1
            self._changed.notify_all()

    def end(self) -> None:
        """No more will come: windows keep the last one."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def stream(self) -> Reply:
        """All from now on."""
        return Reply(f"multipart/x-mixed-replace; boundary={_EDGE.decode()}", self._parts())

    def _parts(self) -> Iterator[bytes]:
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda seen=seen: self._over or self._count != seen)  # type: ignore[misc]  # bound on purpose
                newest, seen, over = self._newest, self._count, self._over
            if newest:
                head = b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (_EDGE, len(newest))
                yield head + newest + b"\r\n"
            if over:
                yield b"--%s--\r\n" % _EDGE
                return
