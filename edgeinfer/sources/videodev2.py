"""What of <linux/videodev2.h> a camera needs: structures, request numbers, constants. Names are the header's.

The layout is the kernel's own for both word sizes: C types where the header has pointers or longs, and 64-bit time stamps
everywhere (on 32 bits that is what Linux has since 5.6, whatever time_t the C library was built with).
https://www.kernel.org/doc/html/latest/userspace-api/media/v4l/user-func.html
"""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_uint8, c_uint32, c_ulong

__all__ = [
    "BUF_FLAG_ERROR", "BUF_FLAG_TIMESTAMP_MASK", "BUF_FLAG_TIMESTAMP_MONOTONIC", "BUF_TYPE_VIDEO_CAPTURE",
    "CAP_DEVICE_CAPS", "CAP_STREAMING", "CAP_VIDEO_CAPTURE", "EVENT_SOURCE_CHANGE", "FIELD_NONE", "MEMORY_MMAP",
    "VIDIOC_DQBUF", "VIDIOC_DQEVENT", "VIDIOC_QBUF", "VIDIOC_QUERYBUF", "VIDIOC_QUERYCAP", "VIDIOC_REQBUFS", "VIDIOC_STREAMOFF",
    "VIDIOC_STREAMON", "VIDIOC_SUBSCRIBE_EVENT", "VIDIOC_S_FMT", "VIDIOC_S_PARM",
    "Buffer", "Capability", "CaptureParm", "Event", "EventSubscription", "Format", "PixFormat", "RequestBuffers", "StreamParm",
    "fourcc", "fourcc_name",
]

BUF_TYPE_VIDEO_CAPTURE = 1
MEMORY_MMAP = 1
FIELD_NONE = 1
CAP_VIDEO_CAPTURE, CAP_STREAMING, CAP_DEVICE_CAPS = 0x00000001, 0x04000000, 0x80000000
BUF_FLAG_ERROR = 0x0040
BUF_FLAG_TIMESTAMP_MASK, BUF_FLAG_TIMESTAMP_MONOTONIC = 0xE000, 0x2000
EVENT_SOURCE_CHANGE = 5


class Capability(ctypes.Structure):
    _fields_ = (("driver", ctypes.c_char * 16), ("card", ctypes.c_char * 32), ("bus_info", ctypes.c_char * 32),
                ("version", c_uint32), ("capabilities", c_uint32), ("device_caps", c_uint32), ("reserved", c_uint32 * 3))


class PixFormat(ctypes.Structure):
    _fields_ = (("width", c_uint32), ("height", c_uint32), ("pixelformat", c_uint32), ("field", c_uint32),
                ("bytesperline", c_uint32), ("sizeimage", c_uint32), ("colorspace", c_uint32), ("priv", c_uint32),
                ("flags", c_uint32), ("ycbcr_enc", c_uint32), ("quantization", c_uint32), ("xfer_func", c_uint32))


class _FormatUnion(ctypes.Union):
    _fields_ = (("pix", PixFormat), ("raw_data", c_uint8 * 200),
                ("_alignment", ctypes.c_void_p))  # of v4l2_window, which holds pointers


class Format(ctypes.Structure):
    _fields_ = (("type", c_uint32), ("fmt", _FormatUnion))


class RequestBuffers(ctypes.Structure):
    _fields_ = (("count", c_uint32), ("type", c_uint32), ("memory", c_uint32), ("capabilities", c_uint32),
                ("flags", c_uint8), ("reserved", c_uint8 * 3))


class _Timeval(ctypes.Structure):
    _fields_ = (("tv_sec", c_int64), ("tv_usec", c_int64))


class _Timecode(ctypes.Structure):
    _fields_ = (("type", c_uint32), ("flags", c_uint32), ("frames", c_uint8), ("seconds", c_uint8), ("minutes", c_uint8),
                ("hours", c_uint8), ("userbits", c_uint8 * 4))


class _BufferUnion(ctypes.Union):
    _fields_ = (("offset", c_uint32), ("userptr", c_ulong), ("planes", ctypes.c_void_p), ("fd", c_int32))


class Buffer(ctypes.Structure):
    _fields_ = (("index", c_uint32), ("type", c_uint32), ("bytesused", c_uint32), ("flags", c_uint32), ("field", c_uint32),
                ("timestamp", _Timeval), ("timecode", _Timecode), ("sequence", c_uint32), ("memory", c_uint32),
                ("m", _BufferUnion), ("length", c_uint32), ("reserved2", c_uint32), ("request_fd", c_int32))


class _Fract(ctypes.Structure):
    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class CaptureParm(ctypes.Structure):
    _fields_ = (("capability", c_uint32), ("capturemode", c_uint32), ("timeperframe", _Fract), ("extendedmode", c_uint32),
                ("readbuffers", c_uint32), ("reserved", c_uint32 * 4))


class _ParmUnion(ctypes.Union):
    _fields_ = (("capture", CaptureParm), ("raw_data", c_uint8 * 200))


class StreamParm(ctypes.Structure):
    _fields_ = (("type", c_uint32), ("parm", _ParmUnion))


class EventSubscription(ctypes.Structure):
    _fields_ = (("type", c_uint32), ("id", c_uint32), ("flags", c_uint32), ("reserved", c_uint32 * 5))


class _EventUnion(ctypes.Union):
    _fields_ = (("data", c_uint8 * 64), ("_alignment", c_int64))  # of v4l2_event_ctrl


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", c_int64), ("tv_nsec", c_int64))


class Event(ctypes.Structure):
    _fields_ = (("type", c_uint32), ("u", _EventUnion), ("pending", c_uint32), ("sequence", c_uint32),
                ("timestamp", _Timespec), ("id", c_uint32), ("reserved", c_uint32 * 8))


_WRITE, _READ = 1, 2  # asm-generic/ioctl.h, as x86, ARM and RISC-V have it


def _request(direction: int, number: int, argument: type[ctypes.Structure] | type[ctypes.c_int]) -> int:
    return direction << 30 | ctypes.sizeof(argument) << 16 | ord("V") << 8 | number


VIDIOC_QUERYCAP = _request(_READ, 0, Capability)
VIDIOC_S_FMT = _request(_READ | _WRITE, 5, Format)
VIDIOC_REQBUFS = _request(_READ | _WRITE, 8, RequestBuffers)
VIDIOC_QUERYBUF = _request(_READ | _WRITE, 9, Buffer)
VIDIOC_QBUF = _request(_READ | _WRITE, 15, Buffer)
VIDIOC_DQBUF = _request(_READ | _WRITE, 17, Buffer)
VIDIOC_STREAMON = _request(_WRITE, 18, ctypes.c_int)
VIDIOC_STREAMOFF = _request(_WRITE, 19, ctypes.c_int)
VIDIOC_S_PARM = _request(_READ | _WRITE, 22, StreamParm)
VIDIOC_DQEVENT = _request(_READ, 89, Event)
VIDIOC_SUBSCRIBE_EVENT = _request(_WRITE, 90, EventSubscription)


def fourcc(name: str) -> int:
    """The code of a pixel format such as ``YUYV``."""
    return int.from_bytes(name.encode("ascii"), "little")


def fourcc_name(code: int) -> str:
    """The pixel format's four characters; the top bit (big endian) is left out."""
    return (code & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1")
