"""Edges of a GPIO line, through the kernel's character device: what of <linux/gpio.h> (version 2, Linux 5.10) it takes.

https://docs.kernel.org/userspace-api/gpio/chardev.html
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from ctypes import c_int32, c_uint32, c_uint64
from typing import Any, Literal

import msgspec

from edgeinfer.errors import SourceError

__all__ = ["EdgeLine", "GpioOptions", "LineEvent", "LineRequest"]

_ACTIVE_LOW, _INPUT = 1 << 1, 1 << 2
_EDGES = {"rising": 1 << 4, "falling": 1 << 5, "both": 1 << 4 | 1 << 5}
_BIAS = {"": 0, "pull_up": 1 << 8, "pull_down": 1 << 9, "none": 1 << 10}
_DEBOUNCE = 3  # GPIO_V2_LINE_ATTR_ID_DEBOUNCE
_AT_ONCE = 16  # events read in one go


class _Value(ctypes.Union):
    _fields_ = (("flags", c_uint64), ("debounce_period_us", c_uint32))


class _Attribute(ctypes.Structure):
    _fields_ = (("id", c_uint32), ("padding", c_uint32), ("value", _Value), ("mask", c_uint64))


class _Config(ctypes.Structure):
    _fields_ = (("flags", c_uint64), ("num_attrs", c_uint32), ("padding", c_uint32 * 5), ("attrs", _Attribute * 10))


class LineRequest(ctypes.Structure):
    """struct gpio_v2_line_request"""

    _fields_ = (("offsets", c_uint32 * 64), ("consumer", ctypes.c_char * 32), ("config", _Config), ("num_lines", c_uint32),
                ("event_buffer_size", c_uint32), ("padding", c_uint32 * 5), ("fd", c_int32))


class LineEvent(ctypes.Structure):
    """struct gpio_v2_line_event; ``timestamp_ns`` is CLOCK_MONOTONIC."""

    _fields_ = (("timestamp_ns", c_uint64), ("id", c_uint32), ("offset", c_uint32), ("seqno", c_uint32), ("line_seqno", c_uint32),
                ("padding", c_uint32 * 6))


_GET_LINE = 3 << 30 | ctypes.sizeof(LineRequest) << 16 | 0xB4 << 8 | 7  # GPIO_V2_GET_LINE_IOCTL


def _ioctl(descriptor: int, request: int, argument: Any) -> None:
    """Fills ``argument`` in place. Raises OSError."""
    fcntl.ioctl(descriptor, request, argument)


class GpioOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line, and which of its edges count. Debounced by the hardware where it can, else by the kernel."""

    line: int  # the chip's own number; gpioinfo lists them
    chip: str = "/dev/gpiochip0"
    edge: Literal["rising", "falling", "both"] = "rising"
    bias: Literal["", "pull_up", "pull_down", "none"] = ""  # empty: as it is
    active_low: bool = False  # rising and falling change places
    debounce_ms: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.line <= 65535:
            raise ValueError(f"expected line from 0 to 65535, got {self.line}")
        if not self.chip.startswith("/"):
            raise ValueError(f"expected chip to be a path such as /dev/gpiochip0, got {self.chip!r}")
        if not 0 <= self.debounce_ms <= 10000:
            raise ValueError(f"expected debounce_ms from 0 to 10000, got {self.debounce_ms:g}")

    def request(self) -> LineRequest:
        """As the kernel wants it."""
        made = LineRequest(num_lines=1, consumer=b"edgeinfer")
        made.offsets[0] = self.line
        made.config.flags = _INPUT | _EDGES[self.edge] | _BIAS[self.bias] | (_ACTIVE_LOW if self.active_low else 0)
        if self.debounce_ms:
            made.config.num_attrs = 1
            attribute = made.config.attrs[0]
            attribute.id, attribute.mask, attribute.value.debounce_period_us = _DEBOUNCE, 1, round(1000 * self.debounce_ms)
        return made


class EdgeLine:
    """An open line; belongs to one thread."""

    def __init__(self, options: GpioOptions) -> None:
        """Raises SourceError where there is no such line, it is taken, or this user may not open the chip."""
        self._where = f"{options.chip} line {options.line}"
        try:
            chip = os.open(options.chip, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(options.chip, "a GPIO chip that this user may open", error.strerror or str(error),
                              "gpiodetect; sudo usermod -aG gpio $USER") from error
        request = options.request()
        try:
            _ioctl(chip, _GET_LINE, request)
        except OSError as error:
            taken = error.errno == errno.EBUSY
            raise SourceError(self._where, "a line that is free" if taken else "a line that tells of edges",
                              error.strerror or str(error), f"gpioinfo -c {options.chip}") from error
        finally:
            os.close(chip)
        self._descriptor = request.fd
        os.set_blocking(self._descriptor, False)

    def edges(self) -> tuple[int, int]:
        """How many came since the last time, and when the newest did (CLOCK_MONOTONIC in ns); never waits.

        Raises SourceError where the chip is gone."""
        count = newest_ns = 0
        size = ctypes.sizeof(LineEvent)
        try:
            while came := os.read(self._descriptor, _AT_ONCE * size):
                count += len(came) // size
                newest_ns = LineEvent.from_buffer_copy(came, len(came) - size).timestamp_ns
        except BlockingIOError:
            return count, newest_ns
        except OSError as error:
            raise SourceError(self._where, "a line that tells of edges", error.strerror or str(error), "gpiodetect") from error
        raise SourceError(self._where, "a line that tells of edges", "its end", "gpiodetect")

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
