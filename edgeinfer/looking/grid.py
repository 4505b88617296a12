"""A picture with a grid of fractions, to read the corners of zones from where there is no browser."""

from __future__ import annotations

import numpy as np

from edgeinfer.drawing.canvas import Canvas
from edgeinfer.model.tensor import Array

__all__ = ["grid", "in_terminal"]

_MARGIN = 34  # pixels around the picture, for the figures


def grid(picture: Array) -> Array:
    """A new BGR picture: lines each tenth with their figures on all sides, faint ones each twentieth."""
    canvas = Canvas(picture)
    cv2, height, width = canvas.cv2, canvas.height, canvas.width
    sheet = np.full((height + 2 * _MARGIN, width + 2 * _MARGIN, 3), 24, np.uint8)
    inside = sheet[_MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width]
    inside[:] = canvas.picture
    for strong in (False, True):  # the tenths on top
        lines = inside.copy()
        for step in range(0, 21, 2 if strong else 1):
            x, y = round(step / 20 * (width - 1)), round(step / 20 * (height - 1))
            for start, end in (((x, 0), (x, height - 1)), ((0, y), (width - 1, y))):
                cv2.line(lines, start, end, (90, 235, 255) if strong else (255, 255, 255), 1)
        cv2.addWeighted(lines, 0.8 if strong else 0.3, inside, 0.2 if strong else 0.7, 0, inside)
    for step in range(11):
        x, y = round(step / 10 * (width - 1)) + _MARGIN, round(step / 10 * (height - 1)) + _MARGIN
        for place in ((x - 10, _MARGIN - 10), (x - 10, sheet.shape[0] - 12), (4, y + 4), (sheet.shape[1] - _MARGIN + 5, y + 4)):
            cv2.putText(sheet, f"{step / 10:.1f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (220, 220, 220), 1, cv2.LINE_AA)
    return sheet


def in_terminal(picture: Array, columns: int) -> str:
    """The picture in half blocks of a terminal with 24-bit colours, at most so wide, with fractions along two sides."""
    import cv2

    wide = max(20, min(columns - 6, 200))
    rows = max(4, round(picture.shape[0] / picture.shape[1] * wide / 2))
    small = cv2.resize(picture, (wide, 2 * rows), interpolation=cv2.INTER_AREA)
    lines = ["     " + "".join(f"{share / 10:<{_room(share, wide)}.1f}" if _room(share, wide) else "" for share in range(10))]
    for row in range(rows):
        share = (row + 0.5) / rows
        mark = f"{round(share, 1):.1f} " if row == 0 or round(share, 1) != round((row - 0.5) / rows, 1) else "    "
        cells = "".join(f"\033[38;2;{r};{g};{b}m\033[48;2;{r2};{g2};{b2}m▀" for (b, g, r), (b2, g2, r2) in
                        zip(small[2 * row], small[2 * row + 1], strict=True))
        lines.append(f"{mark} {cells}\033[0m")
    return "\n".join(lines) + "\n"


def _room(step: int, wide: int) -> int:
    return round((step + 1) * wide / 10) - round(step * wide / 10)
