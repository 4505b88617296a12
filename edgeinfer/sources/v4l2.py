"""A V4L2 device that captures video: format, buffers mapped from the driver, and a wait that always ends.

What a caller gets from the kernel and not from OpenCV: a frame's own time and number, which buffers the driver itself calls
damaged, errors as soon as they occur, and a wait that another thread can end.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from edgeinfer.errors import SourceError
from edgeinfer.sources import videodev2 as v4l2

__all__ = ["Device", "Picture", "PixelLayout", "Wake"]

_GONE = (errno.ENODEV, errno.ENXIO, errno.EIO)


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _ioctl(descriptor: int, request: int, argument: Any) -> None:
    """Fills ``argument`` (a ctypes structure) in place. Raises OSError."""
    while True:
        try:
            fcntl.ioctl(descriptor, request, argument)
            return
        except InterruptedError:
            continue


def _map(descriptor: int, length: int, offset: int) -> mmap.mmap:
    return mmap.mmap(descriptor, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset)


class PixelLayout(NamedTuple):
    """What the driver delivers, after it answered a request with the nearest that it has. ``stride`` is in bytes."""

    fourcc: str
    width: int
    height: int
    stride: int


class Picture(NamedTuple):
    """A filled buffer, valid until it is given back. ``damaged``: the driver says so itself. ``missed``: pictures that the
    driver took and had no buffer for since the one before. ``monotonic_ns``: CLOCK_MONOTONIC at capture; 0 where the driver
    keeps another clock."""

    buffer: int
    size: int
    damaged: bool
    missed: int
    monotonic_ns: int


class Wake:
    """Lets one thread end another's ``poll``. ``set`` is for any thread at any time, the rest for the waiting one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor = -1

    def open(self) -> int:
        """The descriptor to poll; what was set before is forgotten."""
        self.close()
        with self._lock:
            self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            return self._descriptor

    def set(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


class Device:
    """An open device: ``set_format``, ``set_rate``, ``start``; then ``wait``, ``take``, ``give_back`` for each picture.

    Belongs to one thread. Every method but ``close`` raises SourceError.
    """

    def __init__(self, path: str, wake: Wake) -> None:
        """Raises SourceError where there is no such device, this user may not open it, or it captures no video."""
        self.path = path
        self.buffers: list[mmap.mmap] = []
        self._type = ctypes.c_int(v4l2.BUF_TYPE_VIDEO_CAPTURE)
        self._buffer = v4l2.Buffer()
        self._next_sequence = -1
        try:
            self._descriptor = _open(path)
        except OSError as error:
            raise self._does_not_open(error) from error
        try:
            self._check_capabilities()
        except SourceError:
            self.close()
            raise
        self._wake = wake.open()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN | select.POLLPRI)
        self._poll.register(self._wake, select.POLLIN)

    def _does_not_open(self, error: OSError) -> SourceError:
        path, reason = self.path, error.strerror or str(error)
        match error.errno:
            case errno.ENOENT | errno.ENXIO | errno.ENODEV:
                return SourceError(path, "a camera", "no such device", "ls /dev/video*")
            case errno.EACCES | errno.EPERM:
                return SourceError(path, "a camera that this user may open", "permission denied",
                                   "sudo usermod -aG video $USER")
            case errno.EBUSY:
                return SourceError(path, "a camera that is free", "one that is busy", f"fuser -v {path}")
        return SourceError(path, "a camera", reason, "v4l2-ctl --list-devices")

    def _check_capabilities(self) -> None:
        answer = v4l2.Capability()
        no_camera = SourceError(self.path, "a camera that captures video", "a device that does not", "v4l2-ctl --list-devices")
        try:
            _ioctl(self._descriptor, v4l2.VIDIOC_QUERYCAP, answer)
        except OSError as error:
            raise no_camera from error
        has = answer.device_caps if answer.capabilities & v4l2.CAP_DEVICE_CAPS else answer.capabilities
        if not (has & v4l2.CAP_VIDEO_CAPTURE and has & v4l2.CAP_STREAMING):
            raise no_camera

    def set_format(self, fourcc: str, width: int, height: int) -> PixelLayout:
        """Ask for a format; the nearest that the driver has."""
        format = v4l2.Format(type=v4l2.BUF_TYPE_VIDEO_CAPTURE)
        pix = format.fmt.pix
        pix.width, pix.height, pix.pixelformat, pix.field = width, height, v4l2.fourcc(fourcc), v4l2.FIELD_NONE
        with self._asking("a camera that takes a format"):
            _ioctl(self._descriptor, v4l2.VIDIOC_S_FMT, format)
        return PixelLayout(v4l2.fourcc_name(pix.pixelformat), pix.width, pix.height, pix.bytesperline)

    def set_rate(self, fps: float) -> float:
        """Ask for frames a second; what the driver has nearest, 0 where it cannot be asked."""
        parameters = v4l2.StreamParm(type=v4l2.BUF_TYPE_VIDEO_CAPTURE)
        interval = parameters.parm.capture.timeperframe
        interval.numerator, interval.denominator = 1000, round(fps * 1000)
        with suppress(OSError):
            _ioctl(self._descriptor, v4l2.VIDIOC_S_PARM, parameters)
            return float(interval.denominator / interval.numerator) if interval.numerator else 0.0
        return 0.0

    def start(self, count: int) -> None:
        """Map ``count`` buffers, or as many as the driver needs, and let it fill them."""
        request = v4l2.RequestBuffers(count=count, type=v4l2.BUF_TYPE_VIDEO_CAPTURE, memory=v4l2.MEMORY_MMAP)
        with self._asking("a camera that streams"):
            _ioctl(self._descriptor, v4l2.VIDIOC_REQBUFS, request)
            for index in range(request.count):
                buffer = self._described(index)
                _ioctl(self._descriptor, v4l2.VIDIOC_QUERYBUF, buffer)
                self.buffers.append(_map(self._descriptor, buffer.length, buffer.m.offset))
                _ioctl(self._descriptor, v4l2.VIDIOC_QBUF, buffer)
            with suppress(OSError):  # few drivers tell of a change of size
                _ioctl(self._descriptor, v4l2.VIDIOC_SUBSCRIBE_EVENT, v4l2.EventSubscription(type=v4l2.EVENT_SOURCE_CHANGE))
            _ioctl(self._descriptor, v4l2.VIDIOC_STREAMON, self._type)

    def _described(self, index: int) -> Any:
        buffer = self._buffer
        ctypes.memset(ctypes.addressof(buffer), 0, ctypes.sizeof(buffer))
        buffer.index, buffer.type, buffer.memory = index, v4l2.BUF_TYPE_VIDEO_CAPTURE, v4l2.MEMORY_MMAP
        return buffer

    def wait(self, deadline: float, late: str) -> bool:
        """Until a picture is there, at the latest at ``deadline`` (CLOCK_MONOTONIC, s); False when another thread woke it.

        Raises SourceError when none came in time (got ``late``), the device is in error or gone, or changed its format."""
        while (left_s := deadline - time.monotonic()) > 0:
            ready = dict(self._poll.poll(left_s * 1000))
            if self._wake in ready:
                return False
            events = ready.get(self._descriptor, 0)
            if events & select.POLLPRI:
                self._take_event()
            if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                raise self._lost("an error of the device: it was unplugged, or its driver gave up")
            if events & select.POLLIN:
                return True
        raise self._lost(late)

    def _take_event(self) -> None:
        event = v4l2.Event()
        with suppress(OSError):
            _ioctl(self._descriptor, v4l2.VIDIOC_DQEVENT, event)
        if event.type == v4l2.EVENT_SOURCE_CHANGE:
            raise self._lost("a change of its size or its signal")

    def take(self) -> Picture | None:
        """The oldest filled buffer; None when there is none after all."""
        buffer = self._described(0)
        try:
            _ioctl(self._descriptor, v4l2.VIDIOC_DQBUF, buffer)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error
        missed = (buffer.sequence - self._next_sequence) % 2**32 if self._next_sequence >= 0 else 0
        self._next_sequence = (buffer.sequence + 1) % 2**32
        monotonic = buffer.flags & v4l2.BUF_FLAG_TIMESTAMP_MASK == v4l2.BUF_FLAG_TIMESTAMP_MONOTONIC
        stamp = buffer.timestamp
        return Picture(buffer.index, buffer.bytesused, bool(buffer.flags & v4l2.BUF_FLAG_ERROR),
                       missed if missed < 2**31 else 0,  # else the driver counts anew
                       stamp.tv_sec * 10**9 + stamp.tv_usec * 1000 if monotonic else 0)

    def give_back(self, index: int) -> None:
        """Let the driver fill this buffer anew."""
        try:
            _ioctl(self._descriptor, v4l2.VIDIOC_QBUF, self._described(index))
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error

    def _lost(self, got: str) -> SourceError:
        return SourceError(self.path, "a frame", got, "sudo dmesg | tail")

    @contextmanager
    def _asking(self, expected: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: mmap of a length of 0
            number = getattr(error, "errno", None)
            reason = getattr(error, "strerror", None) or str(error)
            hint = "sudo dmesg | tail" if number in _GONE else f"fuser -v {self.path}; v4l2-ctl -d {self.path} --all"
            raise SourceError(self.path, expected, "one that is busy" if number == errno.EBUSY else reason, hint) from error

    def close(self) -> None:
        """Stop and let go of the device. Views of ``buffers`` must be gone before."""
        with suppress(OSError):  # it may be unplugged
            _ioctl(self._descriptor, v4l2.VIDIOC_STREAMOFF, self._type)
        for buffer in self.buffers:
            with suppress(BufferError):  # somebody still looks at it: it is unmapped when he does not
                buffer.close()
        self.buffers.clear()
        os.close(self._descriptor)
