"""What is known to be true of a sample. Positions are in fractions of the source picture, 0..1, origin top left, as in
``edgeinfer.model.result``; a class is an index into the model's labels."""

from __future__ import annotations

import msgspec

from edgeinfer.model.tensor import Array

__all__ = ["IGNORED", "Boxes", "ClassLabel", "Keypoints", "Label", "Mask", "Values"]

IGNORED = 255  # of a Mask: "void" in PASCAL VOC's and Cityscapes' masks


class ClassLabel(msgspec.Struct, frozen=True):
    """The class of the whole sample. Of an anomaly detector 0 is normal, 1 is not."""

    index: int
    name: str = ""


class Boxes(msgspec.Struct, frozen=True, eq=False):
    """Every object in the picture; none is a true answer, too.

    ``classes`` (n,) int64; ``corners`` (n, 4) float64: left, top, right, bottom; ``crowd`` (n,) bool: a group that counts
    neither as found nor as missed (COCO's iscrowd).
    """

    classes: Array
    corners: Array
    crowd: Array


class Keypoints(msgspec.Struct, frozen=True, eq=False):
    """The points of each person or thing: ``points`` (n, k, 3) float64: x, y, visibility (COCO: 0 unknown, 1 hidden,
    2 seen). ``corners`` (n, 4) float64 as in ``Boxes``; ``areas`` (n,) float64, fractions of the picture's area, for the
    object keypoint similarity."""

    points: Array
    corners: Array
    areas: Array


class Mask(msgspec.Struct, frozen=True, eq=False):
    """The class of each pixel: ``classes`` (height, width) uint8 or uint16, of the source's size; ``IGNORED`` is none."""

    classes: Array


class Values(msgspec.Struct, frozen=True):
    """What a regression should give, in the model's units; ``names`` are the columns'."""

    values: tuple[float, ...]
    names: tuple[str, ...] = ()


Label = ClassLabel | Boxes | Keypoints | Mask | Values
