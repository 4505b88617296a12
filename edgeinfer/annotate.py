"""Draws a result on a picture, for people. Not part of the daemon: no picture of it ever leaves the device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.drawing.canvas import Canvas
from edgeinfer.drawing.colours import colour_of
from edgeinfer.drawing.figures import draw_keypoints
from edgeinfer.drawing.fills import Overlay, draw_mask, draw_overlay
from edgeinfer.errors import StorageError, UsageError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.result import Box, Classes, Detections, Identity, Result, Segmentation, Text
from edgeinfer.model.tensor import Array

__all__ = ["annotate", "save", "to_bgr"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

_TO_BGR = {"RGB": "COLOR_RGB2BGR", "GREY": "COLOR_GRAY2BGR", "YUYV": "COLOR_YUV2BGR_YUY2", "NV12": "COLOR_YUV2BGR_NV12",
           "I420": "COLOR_YUV2BGR_I420"}
_LINES = 5  # of classes or areas in the panel


def to_bgr(frame: Frame) -> Array:
    """A copy of the picture in a frame as BGR uint8 (height, width, 3). A window is wrong use: RuntimeError."""
    if not isinstance(frame.format, FrameFormat):
        raise RuntimeError("a window of samples is no picture")
    if frame.format.pixel_format == "BGR":
        return np.array(frame.view)
    import cv2

    return np.asarray(cv2.cvtColor(frame.view, getattr(cv2, _TO_BGR[frame.format.pixel_format])))


def annotate(picture: Array, result: Result, title: str, overlays: Sequence[Overlay] = ()) -> Array:
    """A new picture with the result drawn on it: zones and trails (``overlays``), masks, boxes with their labels, keypoints with
    their limbs; bars for classes and areas, lines of text for others.

    ``picture`` is BGR uint8 (height, width, 3) and is left as it is. One that is too small for readable text is enlarged by
    a whole factor; one as flat as a line of text has a strip for the title below. Pixels that nothing is drawn on keep their
    values.
    """
    canvas = Canvas(picture)
    if isinstance(result, Detections):
        _detections(canvas, result.rows[: result.count], title, overlays)
        return canvas.picture
    if isinstance(result, Segmentation):
        _areas(canvas, result)
    for overlay in overlays:
        draw_overlay(canvas, overlay)
    colours = [0, *(row.index for row in result.rows)] if isinstance(result, Classes | Segmentation) else []
    canvas.panel([(title, None), *_rows(result)], colours)
    return canvas.picture


def _detections(canvas: Canvas, rows: list[Box], title: str, overlays: Sequence[Overlay]) -> None:
    for row in reversed(rows):  # the best one last, on top
        if row.mask is not None:
            draw_mask(canvas, row.mask, row.index)
    for row in reversed(rows):
        canvas.box(row)
        draw_keypoints(canvas, row.keypoints, row.index)
    for overlay in overlays:
        draw_overlay(canvas, overlay)
    canvas.panel([(title, None)])
    for row in rows:
        canvas.label(row.label or str(row.index), canvas.area(row), colour_of(row.index), f" {row.score:.2f}")


def _areas(canvas: Canvas, result: Segmentation) -> None:
    """Masks where the bundle has them, else the boxes of the regions."""
    masks = [row for row in result.rows[: result.count] if row.mask is not None and row.mask.counts]
    for row in masks:
        if row.mask is not None:
            draw_mask(canvas, row.mask, row.index)
    for region in [] if masks else result.regions[: result.regions_count]:
        canvas.box(region)


def _rows(result: Result) -> list[tuple[str, float | None]]:
    """The lines of the panel."""
    if isinstance(result, Classes):
        return [(row.label or str(row.index), row.score) for row in result.rows[: min(result.count, _LINES)]]
    if isinstance(result, Segmentation):
        return [(row.label, row.area) for row in result.rows[: min(result.count, _LINES)]]
    if isinstance(result, Identity):
        return [(result.name, result.similarity)]
    if isinstance(result, Text):
        return [(result.text, result.confidence)]
    return [(line, None) for line in _lines(result.document())]


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
