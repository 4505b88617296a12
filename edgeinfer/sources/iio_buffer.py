"""The kernel's buffer of an Industrial I/O device: whole scans at the sensor's own pace, not one poll after the other.

https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-bus-iio
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from edgeinfer.errors import SourceError
from edgeinfer.model.tensor import Array
from edgeinfer.sources.iio_attribute import attribute, number
from edgeinfer.sources.iio_scan import layout

__all__ = ["Buffer", "BufferOptions"]

_NODES = Path("/dev")
_SLICE_MS = 100  # how soon an interruption is noticed
_WAKES = 50  # a second, at most
_NEAR = 0.01  # of the rate that was asked for: sensors have a few


class BufferOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    length: int = 256  # scans that the kernel holds
    trigger: str = ""  # its name; empty: the device's own, or the one that it has
    timeout_s: float = 5.0  # seconds without a scan until the device counts as dead

    def __post_init__(self) -> None:
        if not 2 <= self.length <= 65536:
            raise ValueError(f"expected length from 2 to 65536, got {self.length}")
        if not 0 < self.timeout_s <= 86400:
            raise ValueError(f"expected timeout_s above 0 and up to 86400, got {self.timeout_s}")


class Buffer:
    """An open one. ``receive`` makes ``values``, float32 (n, channels) in the units of IIO, and ``lost``, how many scans are
    missing before each, by the kernel's time stamps. Belongs to one thread; every method but ``close`` raises SourceError."""

    def __init__(self, folder: Path, channels: Sequence[str], rate: float, options: BufferOptions) -> None:
        """Set it up where it is not yet, which takes the right to write below ``folder``, and let it run."""
        self.values: Array = np.zeros((0, len(channels)), np.float32)
        self.lost: Array = np.zeros(0, np.int64)
        self._folder, self._where = folder, str(folder)
        self._channels, self._rate, self._options = channels, rate, options
        self._ours = False  # it was off before
        self._descriptor = -1
        try:
            self._set_up()
            self._lay_out()
            self._descriptor = os.open(_NODES / folder.resolve().name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.close()
            raise SourceError(error.filename or self._where, "a buffer that this user may set up and read",
                              error.strerror or str(error), "leave buffer out to poll, or set it up by a udev rule") from error
        except SourceError:
            self.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        with suppress(OSError):  # what it holds from before is old
            while not self._ours and os.read(self._descriptor, self._scans.nbytes):
                pass

    def _set_up(self) -> None:
        """What is as it should be is not written: a udev rule may have done so."""
        folder, rate = self._folder, self._rate
        has = sorted(file.name[3:-3] for file in (folder / "scan_elements").glob("in_*_en"))
        for name in self._channels:
            if name not in has:
                raise SourceError(self._where, f"channel {name} in its buffer", f"only {', '.join(has) or 'none'}",
                                  "leave buffer out to poll")
        wanted = {folder / "scan_elements" / f"in_{name}_en": "1" for name in (*self._channels, *self._stamp())}
        wanted[folder / "buffer" / "length"] = str(self._options.length)
        if self._options.trigger:
            wanted[folder / "trigger" / "current_trigger"] = self._options.trigger
        pace = self._pace()
        on = folder / "buffer" / "enable"
        unlike = {file: text for file, text in wanted.items() if file.read_text().strip() != text}
        slow = pace is not None and not _near(_float(pace), rate)
        if unlike or slow or on.read_text().strip() != "1":
            on.write_text("0")
            for file, text in unlike.items():
                file.write_text(text)
            if pace is not None and slow:
                self._set_pace(pace)
            with suppress(OSError):  # kernels before 4.14 wake for each scan
                (folder / "buffer" / "watermark").write_text(str(max(1, min(self._options.length // 2, round(rate / _WAKES)))))
            on.write_text("1")
            self._ours = True

    def _stamp(self) -> tuple[str, ...]:
        return ("timestamp",) if (self._folder / "scan_elements" / "in_timestamp_type").is_file() else ()

    def _pace(self) -> Path | None:
        """Where the samples a second stand: the trigger's, else the device's."""
        for name in self._folder.parent.glob("trigger*/name"):
            file = name.with_name("sampling_frequency")
            if self._options.trigger and name.read_text().strip() == self._options.trigger and file.is_file():
                return file
        return attribute(self._folder, self._channels[0], "sampling_frequency")

    def _set_pace(self, pace: Path) -> None:
        """Raises SourceError where the sensor has no such rate."""
        with suppress(OSError):  # EINVAL: not one of those it has
            pace.write_text(f"{self._rate:.9g}")
        if not _near(_float(pace), self._rate):
            has = pace.with_name(f"{pace.name}_available")
            hint = f"it has {' '.join(has.read_text().split())}" if has.is_file() else f"cat {pace}"
            raise SourceError(str(pace), f"{self._rate:g} samples a second", pace.read_text().strip(), hint)

    def _lay_out(self) -> None:
        """Of all elements that are on, whoever switched them on."""
        stated = {}
        for switch in sorted((self._folder / "scan_elements").glob("in_*_en")):
            if switch.read_text().strip() == "1":
                name = switch.name.removesuffix("_en")
                index, kind = (switch.with_name(f"{name}_{what}").read_text().strip() for what in ("index", "type"))
                stated[name.removeprefix("in_")] = (int(index), kind)
        try:
            elements, size = layout(stated)
        except ValueError as error:
            raise SourceError(f"{self._where}/scan_elements", "elements of one whole number, such as le:s16/16>>0",
                              str(error)) from error
        self._elements = [elements[name] for name in self._channels]
        self._stamps = elements.get("timestamp")
        self._scales = [(number(self._folder, name, "offset", 0.0), number(self._folder, name, "scale", 1.0))
                        for name in self._channels]
        self._scans: Array = np.zeros((self._options.length, size), np.uint8)
        self._held = 0  # bytes of a scan that is not whole yet
        self._last_ns: int | None = None

    def receive(self, interrupted: threading.Event) -> bool:
        """Wait for scans; False when interrupted."""
        deadline = time.monotonic() + self._options.timeout_s
        memory, size = self._scans.reshape(-1).data, self._scans.shape[1]
        while not interrupted.is_set():
            try:
                came = os.readv(self._descriptor, [memory[self._held :]])
            except BlockingIOError:
                self._poll.poll(_SLICE_MS)
            except OSError as error:
                raise self._gone(error.strerror or str(error)) from error
            else:
                if not came:
                    raise self._gone("its end")
                self._held += came
                if self._held >= size:
                    self._convert(self._held // size)
                    return True
            if time.monotonic() >= deadline:
                raise SourceError(self._where, f"a scan within {self._options.timeout_s:g} s", "none",
                                  f"cat {self._folder}/trigger/current_trigger")
        return False

    def _gone(self, got: str) -> SourceError:
        return SourceError(self._where, "a sensor that goes on", got, "sudo dmesg | tail")

    def _convert(self, count: int) -> None:
        scans = self._scans[:count]
        self.values = np.empty((count, len(self._channels)), np.float32)
        for index, (element, (offset, scale)) in enumerate(zip(self._elements, self._scales, strict=True)):
            self.values[:, index] = (element.of(scans) + offset) * scale
        self.lost = np.zeros(count, np.int64)
        if self._stamps is not None:
            stamps = self._stamps.of(scans)
            before = np.append(stamps[0] if self._last_ns is None else self._last_ns, stamps[:-1])
            self.lost = np.maximum(np.rint((stamps - before) * (self._rate / 1e9)).astype(np.int64) - 1, 0)
            self._last_ns = int(stamps[-1])
        rest = self._scans.reshape(-1)
        done = count * self._scans.shape[1]
        self._held -= done
        rest[: self._held] = rest[done : done + self._held].copy()

    def close(self) -> None:
        """Let go of the device; switched off where it was off before."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._ours:
            with suppress(OSError):  # it may be unplugged
                (self._folder / "buffer" / "enable").write_text("0")
            self._ours = False


def _float(file: Path) -> float:
    try:
        return float(file.read_text())
    except ValueError:
        return 0.0


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _NEAR * other
