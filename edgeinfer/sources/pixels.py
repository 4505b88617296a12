"""From a camera's buffer to a frame: a copy where the formats are the same, else OpenCV's conversion to BGR."""

from __future__ import annotations

from mmap import mmap
from typing import Any, Protocol

import numpy as np

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame, FrameFormat, PixelFormat
from edgeinfer.model.tensor import Array
from edgeinfer.sources.v4l2 import PixelLayout

__all__ = ["BGR_FROM", "FOURCC", "Unpack", "unpacking"]

FOURCC = {"YUYV": "YUYV", "NV12": "NV12", "I420": "YU12", "GREY": "GREY"}  # V4L2's codes of what is taken raw
# what BGR can be made from, best first, and the name of OpenCV's conversion
BGR_FROM = {"BGR3": "", "YUYV": "COLOR_YUV2BGR_YUYV", "UYVY": "COLOR_YUV2BGR_UYVY", "NV12": "COLOR_YUV2BGR_NV12",
            "YU12": "COLOR_YUV2BGR_I420", "RGB3": "COLOR_RGB2BGR", "MJPG": "", "JPEG": "", "GREY": "COLOR_GRAY2BGR"}
_FORMATS: dict[str, PixelFormat] = {"BGR3": "BGR", "RGB3": "RGB", "YUYV": "YUYV", "UYVY": "YUYV", "NV12": "NV12", "YU12": "I420",
                                    "GREY": "GREY"}



class Unpack(Protocol):
    """Called with a buffer's index, the bytes that the driver filled of it, and where to; False when it is no whole picture.
    ``close`` lets go of the buffers: they can be unmapped only when nothing looks at them."""

    def __call__(self, buffer: int, size: int, frame: Frame) -> bool: ...

    def close(self) -> None: ...


def unpacking(layout: PixelLayout, wanted: PixelFormat, buffers: list[mmap], where: str) -> Unpack:
    """How pictures of ``layout`` become frames of the pixel format ``wanted``, each written in place.

    Raises SourceError when the buffers are smaller than the pictures that the driver says are in them."""
    if layout.fourcc not in _FORMATS:
        return _Decode(buffers)
    conversion = BGR_FROM[layout.fourcc] if wanted == "BGR" else ""
    rows = _Rows(layout, buffers, where)
    return _Convert(rows, conversion) if conversion else rows


class _Rows:
    """Each buffer's pixels as the rows of its planes, without the padding that some drivers put at their ends."""

    def __init__(self, layout: PixelLayout, buffers: list[mmap], where: str) -> None:
        self.format = FrameFormat(_FORMATS[layout.fourcc], layout.height, layout.width)
        count = self.format.shape[0]
        length = self.format.nbytes // count
        stride = max(layout.stride, length)
        self.padded = stride > length
        if self.padded and layout.fourcc == "YU12":  # chroma has half the width, and half the padding
            planes = [(0, layout.height, stride, length), (stride * layout.height, layout.height, stride // 2, length // 2)]
        else:
            planes = [(0, count, stride, length)]
        start, rows, step, size = planes[-1]
        self.nbytes = start + (rows - 1) * step + size
        smallest = min(map(len, buffers))
        if smallest < self.nbytes:
            raise SourceError(where, f"buffers of {self.nbytes} bytes for {layout.width}x{layout.height} {layout.fourcc}",
                              f"one of {smallest}", "sudo dmesg | tail")
        self.memories = [np.frombuffer(buffer, np.uint8) for buffer in buffers]
        self._planes = [[np.lib.stride_tricks.as_strided(memory[start:], (rows, size), (step, 1), writeable=False)
                         for start, rows, step, size in planes] for memory in self.memories]

    def __call__(self, buffer: int, size: int, frame: Frame) -> bool:
        return self.pack(buffer, size, frame.memory)

    def pack(self, buffer: int, size: int, memory: Array) -> bool:
        """Into contiguous bytes."""
        if size < self.nbytes:
            return False
        start = 0
        for plane in self._planes[buffer]:
            np.copyto(memory[start : start + plane.size].reshape(plane.shape), plane)
            start += plane.size
        return True

    def close(self) -> None:
        self.memories.clear()
        self._planes.clear()


class _Convert:
    """OpenCV converts from the buffer itself; where its rows are padded, from a copy without the padding."""

    def __init__(self, rows: _Rows, conversion: str) -> None:
        import cv2

        self._convert, self._code = cv2.cvtColor, getattr(cv2, conversion)
        self._rows = rows
        shape = rows.format.shape
        self._packed = np.zeros(shape if rows.padded else 0, np.uint8)
        self._pictures = [self._packed if rows.padded else memory[: rows.nbytes].reshape(shape) for memory in rows.memories]

    def __call__(self, buffer: int, size: int, frame: Frame) -> bool:
        rows = self._rows
        whole = rows.pack(buffer, size, self._packed.reshape(-1)) if rows.padded else size >= rows.nbytes
        if whole:
            self._convert(self._pictures[buffer], self._code, dst=frame.view)
        return whole

    def close(self) -> None:
        self._pictures.clear()
        self._rows.close()


class _Decode:
    """JPEG. OpenCV decodes into memory of its own, which is copied."""

    def __init__(self, buffers: list[mmap]) -> None:
        import cv2

        self._cv2: Any = cv2
        self._memories = [np.frombuffer(buffer, np.uint8) for buffer in buffers]

    def __call__(self, buffer: int, size: int, frame: Frame) -> bool:
        try:
            picture: Any = self._cv2.imdecode(self._memories[buffer][:size], self._cv2.IMREAD_COLOR) if size else None
        except self._cv2.error:
            return False
        if picture is None or picture.shape != frame.view.shape:
            return False
        np.copyto(frame.view, picture)
        return True

    def close(self) -> None:
        self._memories.clear()
