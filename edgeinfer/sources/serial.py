"""Samples from a serial port: lines of CSV or JSON, or binary frames, as microcontrollers send them."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar, Literal, cast

import msgspec

from edgeinfer.errors import SourceError
from edgeinfer.jsonpath import steps
from edgeinfer.model.tensor import Array
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.telegrams import BinaryOptions, Frames, Lines

__all__ = ["Serial"]

_SLICE_S = 0.1  # how soon an interruption is noticed
_MOST = 65536  # bytes of one read


class SerialOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``columns``, one for each channel of the model: of CSV the numbers of the fields, from 0; of JSON paths (acceleration.x);
    of binary frames the numbers of the values, empty: all."""

    device: str  # best: /dev/serial/by-id/…, which survives a reboot
    baud: int = 115200
    format: Literal["csv", "json", "binary"] = "csv"
    columns: tuple[int | str, ...] = ()
    binary: BinaryOptions | None = None
    delimiter: str = ","
    rate: float = 0.0  # samples a second; 0: not stated
    timeout_s: float = 10.0  # seconds without a sample until the device counts as dead

    def __post_init__(self) -> None:
        if not self.device:
            raise ValueError("expected device to name a serial port, got an empty one")
        if not 50 <= self.baud <= 4_000_000:
            raise ValueError(f"expected baud from 50 to 4000000, got {self.baud}")
        if (self.format == "binary") != (self.binary is not None):
            raise ValueError("expected format: binary and binary together, got one without the other")
        self._check_columns()
        if len(self.delimiter) != 1 or self.delimiter in "\r\n" or not self.delimiter.isascii():
            raise ValueError(f"expected delimiter to be one character, got {self.delimiter!r}")
        if not 0 <= self.rate <= 1e6:
            raise ValueError(f"expected rate from 0 to 1e6, got {self.rate}")
        if not 0 < self.timeout_s <= 86400:
            raise ValueError(f"expected timeout_s above 0 and up to 86400, got {self.timeout_s}")

    def _check_columns(self) -> None:
        if not self.columns and self.binary is None:
            raise ValueError("expected columns, one for each channel of the model, got none")
        most = self.binary.count if self.binary is not None else _MOST
        for column in self.columns:
            if self.format == "json":
                if not isinstance(column, str):
                    raise ValueError(f"expected columns to be paths such as acceleration.x, got {column}")
                steps(column)
            elif not isinstance(column, int) or not 0 <= column < most:
                raise ValueError(f"expected columns to be numbers from 0 to {most - 1}, got {column!r}")

    def telegrams(self) -> Lines | Frames:
        """What reads the bytes."""
        if self.binary is None:
            return Lines(self.columns, self.delimiter, self.format == "json")
        return Frames(self.binary, cast(tuple[int, ...], self.columns) or range(self.binary.count))


class Serial:
    """float32 samples in the device's own units. A line or a frame that cannot be read is counted and is a gap: the read ends
    before it, the next begins behind it. An unplugged device is a SourceError, and opened anew until it is back."""

    Options = SerialOptions
    yields: ClassVar[Literal["frames", "samples"]] = "samples"
    live = True
    retry_s: ClassVar[float] = 2.0

    def __init__(self, options: SerialOptions) -> None:
        self.gaps = 0
        self._options = options
        self._telegrams = options.telegrams()
        self._bad = 0  # of the telegrams', those that are gaps already
        self._behind_gap: list[float] | None = None
        self._interrupted = threading.Event()
        self._port: Any = None

    def format(self) -> SampleFormat:
        """As the options state it."""
        options = self._options
        return SampleFormat(len(options.columns) or (options.binary.count if options.binary else 0), options.rate)

    def counts(self) -> dict[str, int]:
        """For health: lines or frames that could not be read. Any thread."""
        return {"bad": self._telegrams.bad}

    def open(self) -> None:
        """Raises SourceError when there is no such port, this user may not open it, or pyserial is missing."""
        self.close()
        options = self._options
        try:
            import serial
        except ImportError as error:
            raise SourceError("serial", "pyserial", str(error), "pip install 'edgeinfer[serial]'") from error
        self._interrupted.clear()
        self._telegrams.forget()
        self._behind_gap = None
        try:
            self._port = serial.Serial(options.device, options.baud, timeout=_SLICE_S, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise SourceError(options.device, "a serial port that this user may open", _reason(error),
                              "ls -l /dev/serial/by-id; sudo usermod -aG dialout $USER") from error

    def read_into(self, samples: Array) -> int:
        """Fill float32 (n, channels) from the front; fewer before a gap, 0 when interrupted. Raises SourceError when nothing that
        can be read comes for ``timeout_s``, or the device is gone."""
        done = 0
        deadline = time.monotonic() + self._options.timeout_s
        while done < len(samples):
            values = self._behind_gap or self._telegrams.next()
            if values is None:
                if not self._receive(deadline):
                    return 0
                continue
            self._behind_gap = None
            if self._telegrams.bad != self._bad:
                self._bad = self._telegrams.bad
                self.gaps += 1
                self._behind_gap = values
                return done
            samples[done] = values
            done += 1
            deadline = time.monotonic() + self._options.timeout_s
        return done

    def _receive(self, deadline: float) -> bool:
        """More bytes for the telegrams; False when interrupted. Raises SourceError."""
        device = self._options.device
        while not self._interrupted.is_set():
            if time.monotonic() >= deadline:
                raise self._silent()
            try:
                came = self._port.read(1)
                came += self._port.read(min(self._port.in_waiting, _MOST)) if came else b""
            except (OSError, TypeError) as error:  # pyserial's TypeError: unplugged between two of its system calls
                raise SourceError(device, "a serial port that goes on", _reason(error), "sudo dmesg | tail") from error
            if came:
                self._telegrams.feed(came)
                return True
        return False

    def _silent(self) -> SourceError:
        device, options = self._options.device, self._options
        got = f"none, and {self._telegrams.bad} that cannot be read" if self._telegrams.bad else "none"
        return SourceError(device, f"a sample within {options.timeout_s:g} s", got,
                           f"check baud, format and columns: python -m serial.tools.miniterm {device} {options.baud}")

    def interrupt(self) -> None:
        """Make a read return soon; any thread."""
        self._interrupted.set()

    def close(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None


def _reason(error: Exception) -> str:
    """The system's words: pyserial wraps them."""
    cause = error.__context__ if isinstance(error.__context__, OSError) else error
    return getattr(cause, "strerror", None) or str(error)
