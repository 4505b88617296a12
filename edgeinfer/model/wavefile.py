"""RIFF WAVE files: integers and floats, any number of channels, read where they lie.

Format: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0", and WAVEFORMATEXTENSIBLE; RF64 and BW64, for more
than 4 GiB: ITU-R BS.2088.
"""

from __future__ import annotations

import struct
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgeinfer.errors import DataError
from edgeinfer.model.tensor import Array

__all__ = ["Wav"]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_KINDS = {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}
_MOST_CHUNKS = 1000
_MOST_FACTS = 64  # bytes of a chunk that are looked at
_UNKNOWN = 0xFFFFFFFF  # what programs write that stream: the data goes on to the end of the file


class Wav:
    """``rows`` samples of ``channels`` values at ``rate`` a second. Integers become -1 to 1 of full scale, as from a source
    of samples on the device."""

    def __init__(self, path: Path) -> None:
        """Raises DataError where the file is no such WAVE."""
        self.path = path
        try:
            with path.open("rb") as file:
                self._coding, self._bits, self.channels, rate, self._start, size = _parse(file, path)
        except OSError as error:
            raise DataError(str(path), "a WAVE file", error.strerror or str(error), f"ls -l '{path}'") from error
        except struct.error as error:
            raise DataError(str(path), "a whole WAVE file", "one that ends within its header", f"file '{path}'") from error
        self.rate = float(rate)
        self._row_bytes = self.channels * self._bits // 8
        self.rows = size // self._row_bytes

    def read(self, start: int, out: Array, file: BinaryIO | None = None) -> None:
        """Fill float32 ``out`` (n, channels) from row ``start``. ``file``: the same one, open already. Raises DataError."""
        wanted = len(out) * self._row_bytes
        try:
            with nullcontext(file) if file is not None else self.path.open("rb") as opened:
                opened.seek(self._start + start * self._row_bytes)
                raw = opened.read(wanted)
        except OSError as error:
            raise DataError(str(self.path), "a file that can be read", error.strerror or str(error)) from error
        if len(raw) < wanted:
            raise DataError(str(self.path), f"{wanted} bytes", "fewer: the file was cut while it was read")
        out[...] = _reals(raw, self._coding, self._bits).reshape(out.shape)


def _reals(raw: bytes, coding: int, bits: int) -> Array:
    reals: Array
    if coding == _FLOAT:
        reals = np.frombuffer(raw, f"<f{bits // 8}")
    elif bits == 8:  # the only one without a sign
        reals = (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / 128
    elif bits == 24:
        padded = np.zeros((len(raw) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        reals = padded.view("<i4").reshape(-1) / 2.0**31
    else:
        reals = np.frombuffer(raw, f"<i{bits // 8}") / 2.0 ** (bits - 1)
    return reals


def _parse(file: BinaryIO, path: Path) -> tuple[int, int, int, int, int, int]:
    """Coding, bits, channels, rate, and where the data starts and how many bytes it has."""
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        raise DataError(str(path), "a WAVE file (RIFF)", repr(head[:12]), f"ffmpeg -i '{path}' '{path.stem}-new.wav'")
    stated: tuple[int, int, int, int] | None = None
    long = 0  # bytes of data, where 32 bits do not hold them
    for _ in range(_MOST_CHUNKS):
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            break
        body = file.read(min(size, _MOST_FACTS))
        if name == b"fmt ":
            stated = _format(body, path)
        elif name == b"ds64":
            (long,) = struct.unpack_from("<Q", body, 8)
        file.seek(size - len(body) + (size & 1), 1)  # chunks start at even bytes
    else:
        raise DataError(str(path), "a data chunk", f"none among {_MOST_CHUNKS}", f"file '{path}'")
    if stated is None:
        raise DataError(str(path), "a format chunk before the data", "none", f"file '{path}'")
    start = file.tell()
    end = file.seek(0, 2)
    whole = struct.unpack_from("<I", head, 4)[0] + 8 == end
    if size == _UNKNOWN or (size == 0 and not whole):  # a program that streamed, or that was killed
        size = long or end - start
    return *stated, start, min(size, end - start)


def _format(chunk: bytes, path: Path) -> tuple[int, int, int, int]:
    coding, channels, rate, _, row_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if coding == _EXTENSIBLE:
        (coding,) = struct.unpack_from("<H", chunk, 24)  # the first field of the sub-format's GUID
    if (coding, bits) not in _KINDS or not channels or not rate:
        raise DataError(str(path), "PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64",
                        f"coding {coding} of {bits} bits, {channels} channels, {rate} samples a second",
                        f"ffmpeg -i '{path}' -c:a pcm_s16le '{path.stem}-16bit.wav'")
    if row_bytes not in (0, channels * bits // 8):
        raise DataError(str(path), f"samples of {bits} bits side by side, {channels * bits // 8} bytes for all channels",
                        f"{row_bytes}", f"ffmpeg -i '{path}' -c:a pcm_s16le '{path.stem}-16bit.wav'")
    return coding, bits, channels, rate
