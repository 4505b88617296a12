"""Small files of data in every kind, made in milliseconds."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.framelog import FrameLogWriter

RED_BGR, GREEN_BGR = (0, 0, 200), (0, 200, 0)


def picture(path: Path, colour=RED_BGR, height: int = 8, width: int = 12, dtype: str = "uint8") -> Path:
    """One colour (as many values as channels); 16-bit colours are times 257."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((height, width, len(colour)), np.float64) + colour
    cv2.imwrite(str(path), (array * (257 if dtype == "uint16" else 1)).astype(dtype))
    return path


def noise(path: Path, seed: int, height: int = 24, width: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
    return path


def turned_jpeg(path: Path, orientation: int) -> Path:
    """12 x 8 pixels, the left half white, with Exif's orientation."""
    array = np.zeros((8, 12, 3), np.uint8)
    array[:, :6] = 255
    jpeg = cv2.imencode(".jpg", array)[1].tobytes()
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    return path


def palette_png(path: Path, indices: np.ndarray, palette: list[tuple[int, int, int]]) -> Path:
    """8-bit indices into ``palette`` (red, green, blue)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = indices.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in indices)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", bytes(sum(palette, ())))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def wav(path: Path, rows: np.ndarray, rate: int = 16000, coding: str = "i16", extensible: bool = False, streamed: bool = False) -> Path:
    """``rows`` (n, channels) of -1 to 1. ``coding``: u8, i16, i24, i32, f32 or f64."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels, bits = rows.shape[1], int(coding[1:])
    full = 2.0 ** (min(bits, 32) - 1)
    steps = np.rint(rows * full).clip(-full, full - 1)
    data = {"u8": (steps + 128).astype(np.int64).astype(np.uint8), "i16": steps.astype("<i2"), "i32": steps.astype("<i4"), "f32": rows.astype("<f4"),
            "i24": steps.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3], "f64": rows.astype("<f8")}[coding].tobytes()
    kind, block = (3 if coding.startswith("f") else 1), channels * bits // 8
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else kind, channels, rate, rate * block, block, bits)
    if extensible:
        head += struct.pack("<HHIH", 22, bits, 0, kind) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    size = 0xFFFFFFFF if streamed else len(data)
    path.write_bytes(b"RIFF" + struct.pack("<I", 0) + b"WAVE" + b"LIST" + struct.pack("<I", 3) + b"abc\0"  # an odd chunk, padded
                     + b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data)
    return path


def framelog(path: Path, arrays: list[np.ndarray], rate: float = 0.0) -> Path:
    """Pictures (BGR, uint8) or chunks of samples (length, channels)."""
    if arrays[0].dtype == np.uint8:
        format: Any = FrameFormat("BGR", max(len(array) for array in arrays), max(array.shape[1] for array in arrays))
    else:
        format = WindowFormat(*arrays[0].shape)
    with FrameLogWriter(path, format, 1 << 24, rate=rate) as writer:
        for array in arrays:
            frame = Frame(format)
            if isinstance(format, FrameFormat):
                frame.reshape(FrameFormat("BGR", *array.shape[:2]))
            frame.view[...] = array
            assert writer.append(frame)
    return path


def coco(path: Path, images: list[dict], annotations: list[dict], categories: list[tuple[int, str]]) -> Path:
    named = [{"id": id, "name": name} for id, name in categories]
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations, "categories": named}))
    return path
