"""A copy of a picture with the sizes of lines and text that suit it: boxes, labels and panels, without hiding each other."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import numpy as np

from edgeinfer.drawing.colours import GREY, INK, WHITE, Colour, colour_of, ink_on
from edgeinfer.model.result import Box, Region
from edgeinfer.model.tensor import Array

__all__ = ["Canvas", "share"]

_READABLE = 384  # pixels of the longer side below which text is not readable
_MOST_LETTERS = 80
_FLAT = 3  # times as wide as high
_LATIN = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d",
                        "Đ": "D", "ð": "d", "þ": "th", "ı": "i", "–": "-", "—": "-", "’": "'"})  # noqa: RUF001 - which have no accent to drop
_Area = tuple[int, int, int, int]  # left, top, right, bottom; the last two excluded


class Canvas:
    """``picture`` is the copy, enlarged by a whole factor where text would not be readable; ``line`` the width of lines."""

    def __init__(self, picture: Array) -> None:
        import cv2

        self.cv2 = cv2
        self.picture = _enlarge(picture)
        self.height, self.width = self.picture.shape[:2]
        side = max(self.height, self.width)
        self.line = max(2, round(side / 400))
        self._scale = max(0.42, side / 1500)
        self._weight = max(1, round(self._scale * 1.6))
        self._pad = max(3, round(self._scale * 7))
        self._taken: list[_Area] = []

    def at(self, x: float, y: float) -> tuple[int, int]:
        """The pixel of a point in fractions."""
        return min(int(share(x) * self.width), self.width - 1), min(int(share(y) * self.height), self.height - 1)

    def area(self, row: Box | Region) -> _Area:
        """The box in whole pixels, inside the picture and never empty."""
        left, right = _span(row.left, row.right, self.width)
        top, bottom = _span(row.top, row.bottom, self.height)
        return left, top, right, bottom

    def box(self, row: Box | Region) -> None:
        """The outline of one detection, in the colour of its class, with a thin dark edge so that it shows on any ground."""
        left, top, right, bottom = self.area(row)
        for colour, width in ((INK, self.line + 2), (colour_of(row.index), self.line)):
            self.cv2.rectangle(self.picture, (left, top), (right - 1, bottom - 1), colour, width)

    def label(self, text: str, area: _Area, colour: Colour, figure: str = "") -> None:
        """A text, and a figure behind it, on a ground of that colour, where no other label is: above the area, inside, or below."""
        text = self._fitted(text, self.width - 2 * self._pad, figure)
        (wide, high), base = self._size(text)
        wide, high = wide + 2 * self._pad, high + base + 2 * self._pad
        left, top, _, bottom = area
        x = max(0, min(left - self.line // 2, self.width - wide))
        tops = [y for y in (top - high, top, bottom, bottom - high) if 0 <= y <= self.height - high] or [max(0, top)]
        y = next((y for y in tops if not self._overlaps((x, y, x + wide, y + high))), tops[0])
        self._taken.append((x, y, x + wide, y + high))
        self.cv2.rectangle(self.picture, (x, y), (x + wide - 1, y + high - 1), colour, -1)
        self._text(text, x + self._pad, y + high - self._pad - base, ink_on(colour))

    def panel(self, rows: list[tuple[str, float | None]], colours: Sequence[int] = ()) -> None:
        """Lines in the lower left corner on a darkened ground; those with a score 0..1 have it as a bar and a figure. A picture as
        flat as a line of text, which they would hide, has them on a strip below.

        ``colours``: the class of each line, whose colour its bar has; else each has another."""
        figures = [self._size(f"{score:.2f}")[0][0] for _, score in rows if score is not None]
        bar = min(round(90 * self._scale * 2), self.width // 4) if figures else 0
        figure = min(max(figures), self.width // 3) + self._pad if figures else 0
        beside = 2 * self._pad + (bar + self._pad + figure if figures else 0)
        texts = [self._fitted(text, self.width - beside) for text, _ in rows]
        (_, high), base = self._size("Ag")
        step = high + base + self._pad
        wide = min(self.width, max(self._size(text)[0][0] for text in texts) + beside)
        tall = step * len(rows) + self._pad
        top = max(0, self.height - tall)
        if self.width > _FLAT * self.height:
            top = self.height
            self.picture = np.vstack((self.picture, np.full((tall, self.width, 3), INK, np.uint8)))
        else:
            self._taken.append((0, top, wide, self.height))
            ground = self.picture[top:, :wide]
            ground[:] = ground // 4 + np.array(INK, np.uint8) // 2
        for index, (_, score) in enumerate(rows):
            y = top + self._pad + index * step + high
            if score is not None:
                x = wide - self._pad - figure - bar
                full = round(bar * share(score))
                self.cv2.rectangle(self.picture, (x, y - high), (x + bar, y), GREY, -1)
                if full:
                    self.cv2.rectangle(self.picture, (x, y - high), (x + full, y),
                                       colour_of(colours[index] if colours else index), -1)
                self._text(f"{score:.2f}", x + bar + self._pad, y, WHITE)
            self._text(texts[index], self._pad, y, WHITE)

    def _overlaps(self, area: _Area) -> bool:
        left, top, right, bottom = area
        return any(left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in self._taken)

    def _fitted(self, text: str, wide: int, figure: str = "") -> str:
        """Both in letters that can be drawn, at most so many pixels wide: the text is cut short, with dots, the figure never."""
        whole = _ascii(text)
        short = whole[:_MOST_LETTERS]
        end = "" if short == whole else "..."
        while short and self._size(short + end + figure)[0][0] > wide:
            short, end = short[:-1], "..."
        return short + end + figure

    def _size(self, text: str) -> tuple[tuple[int, int], int]:
        (wide, high), base = self.cv2.getTextSize(text, self.cv2.FONT_HERSHEY_SIMPLEX, self._scale, self._weight)
        return (wide, high), base

    def _text(self, text: str, x: int, y: int, colour: Colour) -> None:
        self.cv2.putText(self.picture, text, (x, y), self.cv2.FONT_HERSHEY_SIMPLEX, self._scale, colour, self._weight,
                         self.cv2.LINE_AA)


def share(value: float) -> float:
    """The value within 0..1; NaN counts as 0."""
    return 0.0 if math.isnan(value) else min(max(value, 0.0), 1.0)


def _enlarge(picture: Array) -> Array:
    """A copy, each pixel repeated so often that the longer side is readable."""
    factor = -(-_READABLE // max(picture.shape[:2]))
    return np.ascontiguousarray(picture).copy() if factor == 1 else picture.repeat(factor, 0).repeat(factor, 1)


def _span(start: float, end: float, side: int) -> tuple[int, int]:
    """Two fractions as whole pixels in order, at least one pixel apart, within 0..side."""
    first, last = sorted((share(start), share(end)))
    begin = min(int(first * side), side - 1)
    return begin, max(begin + 1, round(last * side))


def _ascii(text: str) -> str:
    """The text in ASCII, all that the font of every OpenCV has: accents dropped, other letters as '?'."""
    parts = unicodedata.normalize("NFKD", text.translate(_LATIN))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in parts if not unicodedata.combining(letter))
