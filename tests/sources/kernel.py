"""A V4L2 driver that is not there: what the kernel answers to the requests that a camera makes.

Its descriptor is one end of a socket pair, so that ``poll`` is real: a byte for each filled buffer, an out-of-band byte for an
event, a shut-down for a device that is unplugged.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.sources import v4l2
from edgeinfer.sources import videodev2 as abi


class Kernel:
    """A driver with the formats ``has`` (name: bytes a row), of one size and rate. ``fails`` maps a request to the errno that
    it is answered with."""

    def __init__(self, path: Path, has: dict[str, int], width: int = 8, height: int = 4, rates: dict[str, float] | None = None) -> None:
        self.path = str(path)
        self.has, self.width, self.height = has, width, height
        self.rates = rates or {}
        self.capabilities = abi.CAP_VIDEO_CAPTURE | abi.CAP_STREAMING
        self.fails: dict[int, int] = {}
        self.opened = 0
        self.length = 4096
        self.queued: deque[int] = deque()
        self.filled: deque[dict[str, Any]] = deque()
        self.event = 0
        self.fourcc = ""
        self.sequence = 0
        self._memory: list[tuple[int, mmap.mmap]] = []

    def install(self, patch: pytest.MonkeyPatch) -> Kernel:
        patch.setattr(v4l2, "_open", self._open)
        patch.setattr(v4l2, "_ioctl", self._ioctl)
        patch.setattr(v4l2, "_map", self._map)
        return self

    def _open(self, path: str) -> int:
        if path != self.path:
            return os.open(path, os.O_RDWR)
        if number := self.fails.get(0):
            raise OSError(number, os.strerror(number))
        if self.opened:
            self._socket.close()
        self.opened += 1
        mine, yours = socket.socketpair()
        mine.setblocking(False)
        self._socket = mine
        return yours.detach()

    def _map(self, _descriptor: int, length: int, offset: int) -> mmap.mmap:
        file, _ = self._memory[offset // 4096]
        return mmap.mmap(file, length, mmap.MAP_SHARED, mmap.PROT_READ)

    def _ioctl(self, descriptor: int, request: int, argument: Any) -> None:
        if number := self.fails.get(request):
            raise OSError(number, os.strerror(number))
        names = {value: name for name, value in vars(abi).items() if name.startswith("VIDIOC_")}
        getattr(self, names[request].lower())(argument, descriptor)

    def vidioc_querycap(self, answer: Any, _: int) -> None:
        answer.capabilities, answer.device_caps = 0xFFFFFFFF, self.capabilities

    def vidioc_s_fmt(self, format: Any, _: int) -> None:
        pix = format.fmt.pix
        asked = abi.fourcc_name(pix.pixelformat)
        self.fourcc = asked if asked in self.has else next(iter(self.has))
        pix.width, pix.height, pix.bytesperline = self.width, self.height, self.has[self.fourcc]
        pix.pixelformat = abi.fourcc(self.fourcc)

    def vidioc_s_parm(self, parameters: Any, _: int) -> None:
        interval = parameters.parm.capture.timeperframe
        if self.fourcc in self.rates:
            interval.numerator, interval.denominator = 10, round(10 * self.rates[self.fourcc])

    def vidioc_reqbufs(self, request: Any, _: int) -> None:
        request.count = max(request.count, 2)
        self.queued.clear()
        self.filled.clear()
        self._forget()
        for _index in range(request.count):
            file = os.memfd_create("buffer")
            os.ftruncate(file, max(self.length, 1))
            self._memory.append((file, mmap.mmap(file, max(self.length, 1))))

    def vidioc_querybuf(self, buffer: Any, _: int) -> None:
        buffer.length, buffer.m.offset = self.length, buffer.index * 4096

    def vidioc_qbuf(self, buffer: Any, _: int) -> None:
        self.queued.append(buffer.index)

    def vidioc_dqbuf(self, buffer: Any, descriptor: int) -> None:
        if not self.filled:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        os.read(descriptor, 1)
        given = self.filled.popleft()
        buffer.timestamp.tv_sec, buffer.timestamp.tv_usec = divmod(given.pop("stamp_ns") // 1000, 10**6)
        for name, value in given.items():
            setattr(buffer, name, value)

    def vidioc_dqevent(self, event: Any, descriptor: int) -> None:
        event.type = self.event

    def vidioc_subscribe_event(self, subscription: Any, _: int) -> None:
        """Taken."""

    def vidioc_streamon(self, _type: Any, _: int) -> None:
        """Begun."""

    def vidioc_streamoff(self, _type: Any, _: int) -> None:
        """Ended."""

    def fill(self, content: bytes, *, flags: int = 0, stamp_ns: int = 0, skipped: int = 0) -> None:
        """The next buffer is full, after ``skipped`` pictures for which there was none."""
        index = self.queued.popleft()
        self._memory[index][1][: len(content)] = content
        self.filled.append({"index": index, "bytesused": len(content), "flags": flags, "stamp_ns": stamp_ns,
                            "sequence": (self.sequence + skipped) % 2**32})
        self.sequence = (self.sequence + skipped + 1) % 2**32
        self._socket.send(b"x")

    def tell(self, event: int) -> None:
        self.event = event
        self._socket.send(b"!", socket.MSG_OOB)

    def unplug(self) -> None:
        self._socket.close()

    def _forget(self) -> None:
        for file, memory in self._memory:
            memory.close()
            os.close(file)
        self._memory.clear()

    def close(self) -> None:
        self._forget()
        if self.opened:
            self._socket.close()
