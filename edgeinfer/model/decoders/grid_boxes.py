"""Boxes relative to the cells of a feature map, in pixels of the model's input.

Sources: v3 J. Redmon, A. Farhadi, "YOLOv3" (2018), equation in 2.1; v5 ultralytics/yolov5 models/yolo.py, Detect (v7 has the
same); x Megvii YOLOX demo_utils.demo_postprocess; dfl X. Li et al., "Generalized Focal Loss" (2020), as in NanoDet, PicoDet
and Ultralytics v8; fastestdet dog-qiuqiu/FastestDet utils/tool.handle_preds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from edgeinfer.model.decoders.scores import sigmoid
from edgeinfer.model.tensor import Array

__all__ = ["ENCODINGS", "Cells", "Encoding"]

Encoding = Literal["v3", "v5", "x", "dfl", "fastestdet"]


class Cells(NamedTuple):
    """Where n boxes are, each (n,): column and row of their cells, with ``centre`` added for dfl; the stride; the anchor's width
    and height in pixels (the whole input's for fastestdet). ``probable``: the model has applied its sigmoids already."""

    x: Array
    y: Array
    stride: Array
    width: Array
    height: Array
    probable: bool


def _ends(x: Array, y: Array, width: Array, height: Array) -> Array:
    """(n, 4): left, top, right, bottom of boxes by their centre."""
    return np.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), axis=1)


def _v3(t: Array, cells: Cells) -> Array:
    centre = t[:, :2] if cells.probable else sigmoid(t[:, :2])
    size = np.exp(t[:, 2:])
    return _ends((centre[:, 0] + cells.x) * cells.stride, (centre[:, 1] + cells.y) * cells.stride,
                 size[:, 0] * cells.width, size[:, 1] * cells.height)


def _v5(t: Array, cells: Cells) -> Array:
    t = 2 * (t if cells.probable else sigmoid(t))
    return _ends((t[:, 0] - 0.5 + cells.x) * cells.stride, (t[:, 1] - 0.5 + cells.y) * cells.stride,
                 t[:, 2] ** 2 * cells.width, t[:, 3] ** 2 * cells.height)


def _x(t: Array, cells: Cells) -> Array:
    size = np.exp(t[:, 2:])
    return _ends((t[:, 0] + cells.x) * cells.stride, (t[:, 1] + cells.y) * cells.stride, size[:, 0] * cells.stride,
                 size[:, 1] * cells.stride)


def _dfl(t: Array, cells: Cells) -> Array:
    """The distances to left, top, right, bottom in strides: each the mean of a softmax over bins 0, 1, 2, …; or the number
    itself."""
    bins = t.shape[1] // 4
    if bins > 1:
        shares = t.reshape(-1, 4, bins)
        shares = np.exp(shares - shares.max(axis=2, keepdims=True))
        t = (shares @ np.arange(float(bins))) / shares.sum(axis=2)
    sides = np.stack((cells.x - t[:, 0], cells.y - t[:, 1], cells.x + t[:, 2], cells.y + t[:, 3]))
    return np.transpose(sides * cells.stride)


def _fastestdet(t: Array, cells: Cells) -> Array:
    centre, size = np.tanh(t[:, :2]), sigmoid(t[:, 2:])
    return _ends((centre[:, 0] + cells.x) * cells.stride, (centre[:, 1] + cells.y) * cells.stride,
                 size[:, 0] * cells.width, size[:, 1] * cells.height)


ENCODINGS: dict[Encoding, Callable[[Array, Cells], Array]] = {
    "v3": _v3, "v5": _v5, "x": _x, "dfl": _dfl, "fastestdet": _fastestdet}
