"""Channels of a sensor that the kernel's Industrial I/O drivers read: temperature, pressure, acceleration, voltage, …

Polled through sysfs, or from the kernel's buffer: https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-bus-iio (units are
there: m°C, kPa, m/s², mV).
"""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import msgspec
import numpy as np

from edgeinfer.errors import SourceError
from edgeinfer.model.tensor import Array
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.iio_attribute import number
from edgeinfer.sources.iio_buffer import Buffer, BufferOptions
from edgeinfer.sources.pacing import Pace

__all__ = ["Iio"]

_DEVICES = Path("/sys/bus/iio/devices")
_CHANNEL = re.compile(r"[a-z][a-z0-9_-]*")
_HINT = "grep . /sys/bus/iio/devices/*/name; ls /sys/bus/iio/devices/iio:device0"


class IioOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    device: str  # the driver's name (bmp280), a folder's name (iio:device0) or a path
    channels: tuple[str, ...]  # as sysfs has them without in_ and _raw: temp, pressure, accel_x, voltage0
    rate: float  # samples a second; what a poll of sysfs can keep up with, about 100, or what the sensor has
    buffer: BufferOptions | None = None  # None: polled

    def __post_init__(self) -> None:
        if not self.device:
            raise ValueError("expected device to name a sensor, got an empty one")
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise ValueError(f"expected channels to be a list of names, each once, got {list(self.channels)}")
        for name in self.channels:
            if not _CHANNEL.fullmatch(name):
                raise ValueError(f"expected channels such as temp or accel_x, got {name!r}")
        most = 1000 if self.buffer is None else 1_000_000
        if not 0 < self.rate <= most:
            raise ValueError(f"expected rate above 0 and up to {most}, got {self.rate}")


class _Channel(NamedTuple):
    """An open file of sysfs; value = (number in it + offset) * scale."""

    name: str
    descriptor: int
    offset: float
    scale: float

    def read(self) -> float:
        return (float(os.pread(self.descriptor, 64, 0)) + self.offset) * self.scale


class Iio:
    """All channels at each tick of ``rate``, in their order, float32, in the units of IIO. Ticks that were missed, because the
    bus or the processor was slow or the buffer was full, are counted, and are a gap: the read ends before it, the next begins
    behind it."""

    Options = IioOptions
    yields: ClassVar[Literal["frames", "samples"]] = "samples"
    live = True
    retry_s: ClassVar[float] = 2.0

    def __init__(self, options: IioOptions) -> None:
        self.missed = 0
        self.gaps = 0
        self._options = options
        self._channels: list[_Channel] = []
        self._pace = Pace()
        self._last = 0.0
        self._due = False  # the tick behind a gap is there already
        self._interrupted = threading.Event()
        self._buffer: Buffer | None = None
        self._taken = 0  # of the buffer's values

    def format(self) -> SampleFormat:
        """As the options state it."""
        return SampleFormat(len(self._options.channels), self._options.rate)

    def counts(self) -> dict[str, int]:
        """For health; any thread."""
        return {"missed": self.missed}

    def open(self) -> None:
        """Raises SourceError when there is no such sensor, or it has no such channel."""
        self.close()
        folder = self._find()
        self._interrupted.clear()
        if self._options.buffer is not None:
            self._buffer = Buffer(folder, self._options.channels, self._options.rate, self._options.buffer)
            self._taken = 0
            return
        try:
            for name in self._options.channels:
                self._channels.append(_open(folder, name))
        except SourceError:
            self.close()
            raise
        self._pace.start()
        self._last, self._due = 0.0, False

    def _find(self) -> Path:
        wanted = self._options.device
        folder = Path(wanted) if "/" in wanted else _DEVICES / wanted
        if folder.is_dir():
            return folder
        names = {path.parent: path.read_text().strip() for path in sorted(_DEVICES.glob("iio:device*/name"))}
        for place, name in names.items():
            if name == wanted:
                return place
        has = f"only {', '.join(names.values())}" if names else "none at all"
        raise SourceError(wanted, "a sensor of Industrial I/O", has, _HINT)

    def read_into(self, samples: Array) -> int:
        """Fill float32 (n, channels) from the front, at the pace of ``rate``; fewer before a gap, 0 when interrupted. Raises
        SourceError when the sensor does not answer."""
        return self._poll(samples) if self._buffer is None else self._from_buffer(samples, self._buffer)

    def _from_buffer(self, samples: Array, buffer: Buffer) -> int:
        done = 0
        while done < len(samples):
            if self._taken == len(buffer.values):
                if not buffer.receive(self._interrupted):
                    return 0
                self._taken = 0
            lost = buffer.lost[self._taken : self._taken + len(samples) - done]
            if lost[0]:
                self.missed += int(lost[0])
                self.gaps += 1
                lost[0] = 0
                return done
            gaps = np.flatnonzero(lost)
            count = int(gaps[0]) if len(gaps) else len(lost)
            samples[done : done + count] = buffer.values[self._taken : self._taken + count]
            done, self._taken = done + count, self._taken + count
        return done

    def _poll(self, samples: Array) -> int:
        for done, sample in enumerate(samples):
            if not self._due:
                if not self._pace.wait(1 / self._options.rate):
                    return 0
                if self._too_late():
                    return done
            self._due = False
            for index, channel in enumerate(self._channels):
                sample[index] = self._read(channel)
        return len(samples)

    def _too_late(self) -> bool:
        now, last = time.monotonic(), self._last
        self._last = now
        lost = round((now - last) * self._options.rate) - 1 if last else 0
        if lost > 0:
            self.missed += lost
            self.gaps += 1
            self._due = True
        return self._due

    def _read(self, channel: _Channel) -> float:
        try:
            return channel.read()
        except OSError as error:
            reason = error.strerror or str(error)
        except ValueError:
            reason = "something else than a number"
        raise SourceError(f"{self._options.device}.{channel.name}", "a value", reason, "sudo dmesg | tail")

    def interrupt(self) -> None:
        """Make a read return soon; any thread."""
        self._interrupted.set()
        self._pace.interrupt()

    def close(self) -> None:
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None
        for channel in self._channels:
            os.close(channel.descriptor)
        self._channels.clear()


def _open(folder: Path, name: str) -> _Channel:
    """The channel's ``input``, which the driver has scaled, else its ``raw``."""
    for kind in ("input", "raw"):
        try:
            descriptor = os.open(folder / f"in_{name}_{kind}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SourceError(str(folder), f"channel {name} to read", error.strerror or str(error), _HINT) from error
        if kind == "input":
            return _Channel(name, descriptor, 0.0, 1.0)
        return _Channel(name, descriptor, number(folder, name, "offset", 0.0), number(folder, name, "scale", 1.0))
    has = sorted(path.name[3:-6] if path.name.endswith("_input") else path.name[3:-4]
                 for pattern in ("in_*_input", "in_*_raw") for path in folder.glob(pattern))
    raise SourceError(str(folder), f"channel {name}", f"only {', '.join(dict.fromkeys(has)) or 'none'}", _HINT)
