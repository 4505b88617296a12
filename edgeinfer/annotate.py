"""Draws a result on a picture, for people. Not part of the daemon: no picture of it ever leaves the device."""

from __future__ import annotations

import colorsys
import math
import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.errors import StorageError, UsageError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.result import Box, Classes, Detections, Result
from edgeinfer.model.tensor import Array

__all__ = ["annotate", "save", "to_bgr"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

_READABLE = 384  # pixels of the longer side below which text is not readable
_TO_BGR = {"RGB": "COLOR_RGB2BGR", "GREY": "COLOR_GRAY2BGR", "YUYV": "COLOR_YUV2BGR_YUY2", "NV12": "COLOR_YUV2BGR_NV12",
           "I420": "COLOR_YUV2BGR_I420"}
_WHITE, _INK, _GREY = (255, 255, 255), (24, 24, 24), (96, 96, 96)

_Colour = tuple[int, int, int]
_Area = tuple[int, int, int, int]  # left, top, right, bottom; the last two excluded


def to_bgr(frame: Frame) -> Array:
    """A copy of the picture in a frame as BGR uint8 (height, width, 3). A window is wrong use: RuntimeError."""
    if not isinstance(frame.format, FrameFormat):
        raise RuntimeError("a window of samples is no picture")
    if frame.format.pixel_format == "BGR":
        return np.array(frame.view)
    import cv2

    return np.asarray(cv2.cvtColor(frame.view, getattr(cv2, _TO_BGR[frame.format.pixel_format])))


def annotate(picture: Array, result: Result, title: str) -> Array:
    """A new picture with the result drawn on it: boxes with their labels, bars for classes, lines of text for others.

    ``picture`` is BGR uint8 (height, width, 3) and is left as it is. One that is too small for readable text is enlarged by
    a whole factor. Pixels that nothing is drawn on keep their values.
    """
    canvas = _Canvas(_enlarge(picture))
    if isinstance(result, Detections):
        for row in reversed(result.rows[: result.count]):  # the best one last, on top
            canvas.box(row)
        canvas.panel([(title, None)])
        for row in result.rows[: result.count]:
            canvas.label(row)
    elif isinstance(result, Classes):
        best = result.rows[: min(result.count, 5)]
        canvas.panel([(title, None), *((row.label or str(row.index), row.score) for row in best)])
    else:
        canvas.panel([(title, None), *((line, None) for line in _lines(result.document()))])
    return canvas.picture


def save(path: Path, picture: Array) -> None:
    """Write a BGR picture; the file appears whole or not at all. The suffix names the format.

    Raises UsageError for an unknown suffix or a folder that is not there, StorageError when the disk refuses.
    """
    import cv2

    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(str(path), f"a suffix of {', '.join(SUFFIXES)}", f"'{path.suffix}'")
    if not path.parent.is_dir():
        raise UsageError(str(path), "a folder that exists", f"'{path.parent}'", f"mkdir -p {path.parent}")
    written, encoded = cv2.imencode(path.suffix.lower(), picture)
    if not written:
        raise StorageError(str(path), f"a picture that {path.suffix} can hold", f"{picture.shape} {picture.dtype}")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(encoded.tobytes())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(str(path), "a file that can be written", error.strerror or str(error)) from error


class _Canvas:
    """A copy of a picture, with the sizes of lines and text that suit it, and where labels already are."""

    def __init__(self, picture: Array) -> None:
        import cv2

        self._cv2 = cv2
        self.picture = picture
        self.height, self.width = picture.shape[:2]
        side = max(self.height, self.width)
        self.line = max(2, round(side / 400))
        self.scale = max(0.42, side / 1500)
        self.weight = max(1, round(self.scale * 1.6))
        self.pad = max(3, round(self.scale * 7))
        self.taken: list[_Area] = []

    def box(self, row: Box) -> None:
        """The outline of one detection, in the colour of its class, with a thin dark edge so that it shows on any ground."""
        left, top, right, bottom = self._area(row)
        for colour, width in ((_INK, self.line + 2), (_colour(row.index), self.line)):
            self._cv2.rectangle(self.picture, (left, top), (right - 1, bottom - 1), colour, width)

    def label(self, row: Box) -> None:
        """Name and score of one detection, where no other label is: above its box, inside, or below."""
        text = _ascii(f"{row.label or row.index} {row.score:.2f}")
        (wide, high), base = self._size(text)
        wide, high = wide + 2 * self.pad, high + base + 2 * self.pad
        left, top, _, bottom = self._area(row)
        x = max(0, min(left - self.line // 2, self.width - wide))
        tops = [y for y in (top - high, top, bottom, bottom - high) if 0 <= y <= self.height - high] or [max(0, top)]
        y = next((y for y in tops if not self._overlaps((x, y, x + wide, y + high))), tops[0])
        self.taken.append((x, y, x + wide, y + high))
        colour = _colour(row.index)
        self._cv2.rectangle(self.picture, (x, y), (x + wide - 1, y + high - 1), colour, -1)
        self._text(text, x + self.pad, y + high - self.pad - base, _ink_on(colour))

    def panel(self, rows: list[tuple[str, float | None]]) -> None:
        """Lines in the lower left corner on a darkened ground; those with a score 0..1 have it as a bar and a figure."""
        texts = [_ascii(text) for text, _ in rows]
        bars = any(score is not None for _, score in rows)
        widest = max(self._size(text)[0][0] for text in texts)
        (_, high), base = self._size("Ag")
        step = high + base + self.pad
        bar = round(90 * self.scale * 2) if bars else 0
        figure = self._size("0.00")[0][0] + self.pad if bars else 0
        wide = min(self.width, widest + 2 * self.pad + (bar + self.pad + figure if bars else 0))
        top = max(0, self.height - step * len(rows) - self.pad)
        self.taken.append((0, top, wide, self.height))
        ground = self.picture[top:, :wide]
        ground[:] = ground // 4 + np.array(_INK, np.uint8) // 2
        for index, (_, score) in enumerate(rows):
            y = top + self.pad + index * step + high
            if score is not None:
                x = wide - self.pad - figure - bar
                full = round(bar * _share(score))
                self._cv2.rectangle(self.picture, (x, y - high), (x + bar, y), _GREY, -1)
                if full:
                    self._cv2.rectangle(self.picture, (x, y - high), (x + full, y), _colour(index), -1)
                self._text(f"{score:.2f}", x + bar + self.pad, y, _WHITE)
            self._text(texts[index], self.pad, y, _WHITE)

    def _area(self, row: Box) -> _Area:
        """The box in whole pixels, inside the picture and never empty."""
        left, right = _span(row.left, row.right, self.width)
        top, bottom = _span(row.top, row.bottom, self.height)
        return left, top, right, bottom

    def _overlaps(self, area: _Area) -> bool:
        left, top, right, bottom = area
        return any(left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in self.taken)

    def _size(self, text: str) -> tuple[tuple[int, int], int]:
        (wide, high), base = self._cv2.getTextSize(text, self._cv2.FONT_HERSHEY_SIMPLEX, self.scale, self.weight)
        return (wide, high), base

    def _text(self, text: str, x: int, y: int, colour: _Colour) -> None:
        self._cv2.putText(self.picture, text, (x, y), self._cv2.FONT_HERSHEY_SIMPLEX, self.scale, colour, self.weight,
                          self._cv2.LINE_AA)


def _enlarge(picture: Array) -> Array:
    """A copy, each pixel repeated so often that the longer side is readable."""
    factor = -(-_READABLE // max(picture.shape[:2]))
    return np.ascontiguousarray(picture).copy() if factor == 1 else picture.repeat(factor, 0).repeat(factor, 1)


def _span(start: float, end: float, side: int) -> tuple[int, int]:
    """Two fractions as whole pixels in order, at least one pixel apart, within 0..side."""
    first, last = sorted((_share(start), _share(end)))
    begin = min(int(first * side), side - 1)
    return begin, max(begin + 1, round(last * side))


def _share(value: float) -> float:
    """The value within 0..1; NaN counts as 0."""
    return 0.0 if math.isnan(value) else min(max(value, 0.0), 1.0)


def _colour(index: int) -> _Colour:
    """BGR of a class: hues a golden ratio apart, so that neighbours differ; bright enough for any picture."""
    red, green, blue = colorsys.hsv_to_rgb((index * 0.618034 + 0.33) % 1.0, 0.75, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def _ink_on(ground: _Colour) -> _Colour:
    """Dark or white, by the luma of the ground (ITU-R BT.601)."""
    blue, green, red = ground
    return _INK if 0.114 * blue + 0.587 * green + 0.299 * red > 130 else _WHITE


def _ascii(text: str) -> str:
    """The text in ASCII, all that the font of every OpenCV has: accents dropped, other letters as '?', 48 at most."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in plain[:48])


def _lines(document: dict[str, Any], indent: str = "") -> list[str]:
    """A document as lines of text: at most twelve, each short."""
    lines: list[str] = []
    for name, value in document.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_lines(value, f"{indent}  ")]
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            lines.append(f"{indent}{name}: {shown if len(shown) <= 40 else shown[:37] + '...'}")
    return lines[:12]
