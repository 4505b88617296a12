"""Films made for a test: cut-outs that move over a background, behind pillars, with the truth about each frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["Actor", "Film", "background", "cut_out", "shape"]


@dataclass
class Actor:
    """``cut_out``: (height, width, 4), BGR and how much of it covers (0..255). ``path``: where the middle of its lower edge is
    at a time in seconds, in pixels; None while it is not there."""

    name: str
    cut_out: Array
    path: Callable[[float], tuple[float, float] | None]

    def box(self, t: float) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom in whole pixels, however much of it is seen."""
        at = self.path(t)
        if at is None:
            return None
        height, width = self.cut_out.shape[:2]
        left, top = round(at[0] - width / 2), round(at[1] - height)
        return left, top, left + width, top + height


@dataclass
class Film:
    """``pillars``: (left, right) in pixels, of the background's left edge, before everybody."""

    background: Array
    actors: Sequence[Actor]
    pillars: Sequence[tuple[int, int]] = ()

    def picture(self, t: float) -> Array:
        """The BGR picture at a time in seconds."""
        made: Array = self.background.copy()
        for actor in self.actors:
            box = actor.box(t)
            if box is not None:
                _paste(made, actor.cut_out, box)
        for left, right in self.pillars:
            made[:, left:right] = np.clip(self.background[:, left:right].astype(np.int16) - 40, 0, 255)
        return made


def _paste(picture: Array, cut_out: Array, box: tuple[int, int, int, int]) -> None:
    height, width = picture.shape[:2]
    left, top, right, bottom = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    if left >= right or top >= bottom:
        return
    part = cut_out[top - box[1] : bottom - box[1], left - box[0] : right - box[0]]
    cover = part[:, :, 3:].astype(np.float32) / 255
    under = picture[top:bottom, left:right]
    under[:] = np.rint(under * (1 - cover) + part[:, :, :3] * cover)


def shape(colour: tuple[int, int, int], height: int, width: int) -> Array:
    """A block of one colour (BGR)."""
    made = np.full((height, width, 4), 255, np.uint8)
    made[:, :, :3] = colour
    return made


def cut_out(picture: Path, box: tuple[int, int, int, int], height: int, wall: int = 256) -> Array:
    """What stands within a box (left, top, right, bottom) of a photograph, freed from its surroundings by GrabCut (Rother et
    al., 2004), so many pixels high. What is brighter than ``wall`` in all colours is one."""
    image = _read(picture)
    mask = np.zeros(image.shape[:2], np.uint8)
    left, top, right, bottom = box
    cv2.setRNGSeed(1)
    cv2.grabCut(image, mask, (left, top, right - left, bottom - top), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_RECT)
    stands = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)) & (image.min(axis=2) < wall)
    cover = np.where(stands, 255, 0).astype(np.uint8)
    made = np.dstack([image, cv2.GaussianBlur(cover, (5, 5), 0)])
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    made = made[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(cv2.resize(made, (round(made.shape[1] * height / made.shape[0]), height), interpolation=cv2.INTER_AREA))


def _read(picture: Path) -> Array:
    image = cv2.imread(str(picture))
    assert image is not None, picture
    return np.asarray(image)


def background(picture: Path, columns: tuple[int, int], height: int, width: int) -> Array:
    """A strip of a photograph on which nobody is, side by side with its mirror image until it is wide enough."""
    strip = _read(picture)[:, columns[0] : columns[1]]
    strip = np.asarray(cv2.resize(strip, (round(strip.shape[1] * height / strip.shape[0]), height)))
    pair = np.hstack([strip, strip[:, ::-1]])
    return np.ascontiguousarray(np.tile(pair, (1, width // pair.shape[1] + 1, 1))[:, :width])
