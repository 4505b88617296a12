"""What covers an area: masks, zones, and the trails of what moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from edgeinfer.drawing.canvas import Canvas
from edgeinfer.drawing.colours import INK, Colour, colour_of
from edgeinfer.model.result import Mask
from edgeinfer.model.tensor import Array

__all__ = ["Moved", "Overlay", "Trail", "Zone", "cells_of", "draw_mask", "draw_overlay"]

_SOLID, _TINT, _FAINT = 0.45, 0.3, 0.16  # how much of a mask's colour, of what moves, and of a zone's
Point = tuple[float, float]


@dataclass(frozen=True)
class Zone:
    """A polygon in fractions of the picture, or a line of two points, with an arrow to where "in" is; ``active``: somebody is in
    it. ``note``: a count, say. ``excluded``: what is there does not matter."""

    name: str
    points: Sequence[Point]
    active: bool = False
    note: str = ""
    excluded: bool = False


@dataclass(frozen=True)
class Trail:
    """Where something has been, the newest last, in fractions; ``identity`` gives the colour."""

    identity: int
    points: Sequence[Point] = field(default_factory=tuple)


@dataclass(frozen=True)
class Moved:
    """Where something moves: ``cells`` (height, width) uint8, 1 there; of any size, spread over the whole picture."""

    cells: Array


Overlay = Zone | Trail | Moved


def cells_of(mask: Mask) -> Array:
    """(height, width) bool of a mask's run lengths."""
    values = np.arange(len(mask.counts)) % 2 == 1
    cells: Array = np.repeat(values, mask.counts).reshape(mask.width, mask.height).T
    return cells


def draw_mask(canvas: Canvas, mask: Mask, index: int) -> None:
    """The mask in the colour of its class, see-through, with a smooth edge and an outline."""
    if not mask.counts:
        return
    left, top = canvas.at(mask.left, mask.top)
    right, bottom = (round(mask.right * canvas.width), round(mask.bottom * canvas.height))
    if right <= left or bottom <= top:
        return
    cells = cells_of(mask).astype(np.float32)
    smooth = canvas.cv2.resize(cells, (right - left, bottom - top), interpolation=canvas.cv2.INTER_LINEAR)
    inside = np.clip((smooth - 0.4) * 5, 0, 1)
    part, colour = canvas.picture[top:bottom, left:right], colour_of(index)
    _blend(part, inside * _SOLID, colour)
    outlines, _ = canvas.cv2.findContours((smooth > 0.5).astype(np.uint8), canvas.cv2.RETR_EXTERNAL,
                                          canvas.cv2.CHAIN_APPROX_NONE)
    canvas.cv2.drawContours(canvas.picture, outlines, -1, colour, max(1, canvas.line - 1), canvas.cv2.LINE_AA, offset=(left, top))


def draw_overlay(canvas: Canvas, overlay: Overlay) -> None:
    """A zone as a faint area with its name, a line with it, a trail that fades towards its beginning, or what moves, tinted."""
    if isinstance(overlay, Trail):
        _draw_trail(canvas, overlay)
        return
    if isinstance(overlay, Moved):
        cells = canvas.cv2.resize(overlay.cells, (canvas.width, canvas.height), interpolation=canvas.cv2.INTER_NEAREST)
        _blend(canvas.picture, cells.astype(np.float32) * _TINT, (255, 120, 255))
        return
    places = np.array([canvas.at(x, y) for x, y in overlay.points], np.int32).reshape(-1, 1, 2)
    if len(places) < 2:
        return
    colour: Colour = (150, 150, 150) if overlay.excluded else (80, 220, 120) if overlay.active else (235, 190, 90)
    closed = len(places) > 2
    if closed:
        inside = np.zeros(canvas.picture.shape[:2], np.float32)
        canvas.cv2.fillPoly(inside, [places], 1.0)
        _blend(canvas.picture, inside * (_FAINT * (2 if overlay.active else 1)), colour)
    for shade, width in ((INK, canvas.line + 2), (colour, canvas.line)):
        canvas.cv2.polylines(canvas.picture, [places], closed, shade, width, canvas.cv2.LINE_AA)
        if not closed:
            _draw_arrow(canvas, places[0, 0], places[1, 0], shade, width)
    (left, top), (right, bottom) = places.min(axis=0)[0], places.max(axis=0)[0]
    text = f"{overlay.name} {overlay.note}".strip()
    if text:
        canvas.label(text, (int(left), int(top), int(right), int(bottom)), colour)


def _draw_arrow(canvas: Canvas, start: Array, end: Array, colour: Colour, width: int) -> None:
    """From a line to its right-hand side, as seen by who looks along it; where the line's name does not hide it."""
    ahead = (end - start) / (float(np.hypot(*(end - start))) or 1.0)
    share, right = 0.85 if end[0] >= start[0] else 0.15, np.array([-ahead[1], ahead[0]])
    middle = start + (end - start) * share
    reach = 9 * canvas.line
    tip = middle + right * reach
    for other in (middle, tip - right * reach * 0.45 + ahead * reach * 0.35, tip - right * reach * 0.45 - ahead * reach * 0.35):
        one, two = (tuple(int(value) for value in np.rint(point)) for point in (tip, other))
        canvas.cv2.line(canvas.picture, one, two, colour, width, canvas.cv2.LINE_AA)


def _draw_trail(canvas: Canvas, trail: Trail) -> None:
    places, colour = [canvas.at(x, y) for x, y in trail.points], colour_of(trail.identity)
    for index, (one, other) in enumerate(pairwise(places)):
        fade = (index + 1) / max(len(places) - 1, 1)
        shade = tuple(round(part * (0.35 + 0.65 * fade)) for part in colour)
        canvas.cv2.line(canvas.picture, one, other, shade, max(1, round(canvas.line * (0.5 + fade))), canvas.cv2.LINE_AA)
    if places:
        canvas.cv2.circle(canvas.picture, places[-1], canvas.line + 2, INK, -1, canvas.cv2.LINE_AA)
        canvas.cv2.circle(canvas.picture, places[-1], canvas.line + 1, colour, -1, canvas.cv2.LINE_AA)


def _blend(part: Array, weight: Array, colour: Colour) -> None:
    """Mix ``part`` in place with a colour, ``weight`` (height, width) of it; pixels of weight 0 keep their values."""
    weight = weight[..., np.newaxis]
    part[:] = np.rint(part * (1 - weight) + np.array(colour, np.float32) * weight).astype(np.uint8)
