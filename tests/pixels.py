"""Known pictures, and a search for any part of them in what a program sent or wrote."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PixelSearch", "noise", "representations"]

_BLOCK = 12  # bytes; of any 23 bytes in a row that stand in a picture, twelve are one of its blocks
_PICTURES = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|\x00\x00\x00.ftyp", re.DOTALL)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{20,}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[\s:,]?){16,}")
_NUMBERS = re.compile(rb"(?:-?\d{1,3}(?:\.\d{1,20})?(?:e-?\d+)?[\s,;\[\]]{1,8}){12,}")
_DEFLATED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")


def noise(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture (height, width, 3) that no other data resembles."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def representations(bgr: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
    """The picture in every pixel format of ``FrameFormat``, and in planes."""
    import cv2

    i420 = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    height, width = bgr.shape[:2]
    luma, chroma = i420[:height], i420[height:].reshape(2, -1)
    return {
        "BGR": bgr,
        "RGB": np.ascontiguousarray(bgr[:, :, ::-1]),
        "GREY": np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)),
        "YUYV": np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_YUYV)),
        "I420": np.asarray(i420),
        "NV12": np.concatenate([luma, np.ascontiguousarray(chroma.T).reshape(height // 2, width)]),
        "planes": np.ascontiguousarray(bgr.transpose(2, 0, 1)),
    }


class PixelSearch:
    """``add`` what must not get out, then ``found`` tells what of it, in what disguise, is in some bytes."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, str] = {}

    def add(self, name: str, pixels: npt.NDArray[Any]) -> None:
        """Any uint8 or int8 array; also as int8 (zero point -128), and as float32 from 0 to 1 and from 0 to 255."""
        plain = pixels.reshape(-1).view(np.uint8)
        for kind, raw in (("", plain.tobytes()), (" as int8", (plain ^ 0x80).tobytes()),
                          (" as float32", plain.astype(np.float32).tobytes()),
                          (" as float32 from 0 to 1", (plain / np.float32(255)).astype(np.float32).tobytes())):
            for start in range(0, len(raw) - _BLOCK + 1, _BLOCK):
                block = raw[start : start + _BLOCK]
                if len(set(block)) > 5:  # a block of one value is anywhere
                    self._blocks.setdefault(block, name + kind)

    def found(self, data: bytes) -> str:
        """What is in the data, and how it is disguised; empty: nothing."""
        for disguise, view in _views(bytes(data)):
            picture = _PICTURES.search(view) if disguise != "hexadecimal" or len(view) > 3 else None
            if picture:
                return f"the start of a picture file {picture[0]!r}{disguise}"
            for start in range(len(view) - _BLOCK + 1):
                name = self._blocks.get(view[start : start + _BLOCK])
                if name is not None:
                    return f"pixels of {name}{disguise}"
        return ""


def _views(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The data, and what it holds in the usual disguises."""
    yield "", data
    for match in _BASE64.finditer(data):
        text = match[0].translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            whole = (len(text) - start) // 4 * 4
            yield " in base64", base64.b64decode(text[start : start + whole])
    for match in _HEX.finditer(data):
        digits = re.sub(rb"[\s:,]", b"", match[0])
        for start in range(2):
            part = digits[start : start + (len(digits) - start) // 2 * 2]
            yield " in hexadecimal", binascii.unhexlify(part)
    for match in _NUMBERS.finditer(data):
        yield from _numbers([float(number) for number in re.findall(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?", match[0])])
    for match in _DEFLATED.finditer(data):
        try:
            yield " deflated", zlib.decompressobj(wbits=47).decompress(data[match.start() :], 1 << 20)
        except zlib.error:
            continue


def _numbers(values: list[float]) -> Iterator[tuple[str, bytes]]:
    """Numbers in text, as bytes where they can be."""
    array = np.array(values)
    for kind, scaled in (("", array), (" from 0 to 1", array * 255), (" from -128", array + 128)):
        rounded = np.rint(scaled)
        if np.all((rounded >= 0) & (rounded <= 255)):
            yield f" as numbers{kind}", rounded.astype(np.uint8).tobytes()
