"""Arrays in files: .npy, and the members of an .npz. They are mapped, never loaded, and nothing pickled is accepted.

A compressed member of an .npz cannot be mapped; it is unpacked into a temporary file without a name first.
"""

from __future__ import annotations

import math
import shutil
import struct
import tempfile
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgeinfer.errors import DataError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array
from quantize.dataset.pictures import framed

__all__ = ["NpyStream", "NpyWindows", "Pixels", "is_stream", "map_npy", "map_npz"]

# what numpy lets out on a damaged header, which it reads as a Python literal
_DAMAGED = (ValueError, EOFError, OverflowError, TypeError, MemoryError, RecursionError, SyntaxError, tokenize.TokenError)
_LOCAL_HEADER_BYTES = 30  # of a member of a zip (APPNOTE 4.3.7), then the name and the extra field


class Pixels:
    """Pictures (n, height, width, 3) in RGB, (n, 3, height, width), or grey without the side of 3 or with one of 1; uint8.
    Three sides of which the last is 3 are one picture."""

    def __init__(self, array: Array, where: str) -> None:
        """Raises DataError."""
        if array.dtype != np.uint8:
            raise DataError(where, "pixels as uint8, 0 to 255", str(array.dtype),
                            "give the pictures as they were before normalisation: mean and std are applied here")
        if array.ndim == 3 and array.shape[2] == 3:
            array = array[None]
        if array.ndim == 4 and array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
            array = array.transpose(0, 2, 3, 1)
        if array.ndim == 4 and array.shape[3] == 1:
            array = array[..., 0]
        if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 3) or array.size == 0:
            raise DataError(where, "pictures of shape (n, height, width, 3) or (n, height, width)", str(array.shape))
        self._array, self.count = array, len(array)
        self.format = FrameFormat("GREY" if array.ndim == 3 else "RGB", *array.shape[1:3])

    def read(self, index: int, frame: Frame | None) -> Frame:
        return framed(self._array[index], frame, "RGB")


class NpyStream:
    """An array (n,) or (n, channels) of samples: a Stream of ``recordings``."""

    rate = 0.0

    def __init__(self, array: Array, path: Path) -> None:
        self.path, self._array = path, array.reshape(len(array), -1)
        self.rows, self.channels = self._array.shape

    def read(self, start: int, out: Array) -> None:
        out[...] = self._array[start : start + len(out)]


class NpyWindows:
    """An array (n, length, channels), give or take sides of 1; (n, channels, length), or (n, length * channels)."""

    def __init__(self, array: Array, path: Path, spec: WindowSpec) -> None:
        """Raises DataError where the sides are not the model's."""
        sides = (spec.length, spec.channels)
        found = tuple(side for side in array.shape[1:] if side != 1)
        straight, turned = (tuple(side for side in wanted if side != 1) for wanted in (sides, sides[::-1]))
        if array.ndim < 2 or found not in (straight, turned, (math.prod(sides),)):
            raise DataError(str(path), f"windows of shape (n, {spec.length}, {spec.channels}), "
                            f"or a stream (n, {spec.channels})", str(array.shape))
        self.path, self.count, self._array = path, len(array), array
        self._turned = found == turned != straight

    def read(self, index: int, out: Array) -> None:
        window = self._array[index]
        out[...] = window.reshape(out.shape[::-1]).T if self._turned else window.reshape(out.shape)


def is_stream(array: Array, spec: WindowSpec) -> bool:
    """Whether windows must be cut from it: a row is one sample."""
    return array.ndim == 1 or (array.ndim == 2 and array.shape[1] == spec.channels)


def map_npy(path: Path) -> Array:
    """Real numbers, not read yet. Raises DataError."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(str(path), "a .npy file", error.strerror or str(error), f"ls -l '{path}'") from error
    except _DAMAGED as error:
        raise DataError(str(path), "a whole .npy file without objects", " ".join(str(error).split())[:120]) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(str(path), "one array (.npy)", "an archive", f"mv '{path}' '{path.stem}.npz'")
    return _checked(array, str(path))


def map_npz(path: Path) -> dict[str, Array]:
    """Each array by its name, not read yet. Raises DataError."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as whole:
            for member in archive.infolist():
                if member.filename.endswith(".npy"):
                    where = f"{path}: {member.filename}"
                    arrays[member.filename.removesuffix(".npy")] = _checked(_map_member(archive, whole, member, where), where)
    except OSError as error:
        raise DataError(str(path), "a .npz file", error.strerror or str(error), f"ls -l '{path}'") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError) as error:
        raise DataError(str(path), "a whole .npz file", " ".join(str(error).split())[:120], f"unzip -l '{path}'") from error
    if not arrays:
        raise DataError(str(path), "arrays", "none", f"unzip -l '{path}'")
    return arrays


def _map_member(archive: zipfile.ZipFile, whole: BinaryIO, member: zipfile.ZipInfo, where: str) -> Array:
    if member.compress_type == zipfile.ZIP_STORED:
        return _map(whole, _data_start(whole, member), where)
    with tempfile.TemporaryFile() as file:  # its bytes live as long as the array that is mapped onto them
        with archive.open(member) as packed:
            shutil.copyfileobj(packed, file)
        file.flush()
        return _map(file, 0, where)


def _data_start(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    file.seek(member.header_offset + 26)
    name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
    return member.header_offset + _LOCAL_HEADER_BYTES + int(name_bytes) + int(extra_bytes)


def _map(file: BinaryIO, start: int, where: str) -> Array:
    file.seek(start)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran else "C")
    except _DAMAGED as error:
        raise DataError(where, "a whole array", " ".join(str(error).split())[:120]) from error


def _checked(array: Array, where: str) -> Array:
    if array.dtype.kind not in "iufb" or array.ndim == 0 or array.size == 0:
        raise DataError(where, "an array of real numbers", f"{array.dtype} of shape {array.shape}")
    return array
