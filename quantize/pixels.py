"""The grid of an input that takes pictures: what a pixel can be is known, whatever the samples were."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.preprocess.spec import ImageSpec
from quantize.grid import Grid

__all__ = ["pixel_grid"]

_HALF = 0.02  # so near to half a step, as float32 has it


def pixel_grid(spec: ImageSpec) -> Grid:
    """The int8 grid of (pixel - mean) / std over all pixels 0 to 255 and all channels.

    With one mean and std that is a whole number of steps from 0 to 255 (mean 0, 127, 128 …), a step is a pixel's step and
    nothing is rounded. With a mean between two numbers (127.5) every pixel would lie half a step off: half of them would be
    rounded up and half down, and not by every runtime the same way. There 254 steps are taken in place of 255.
    """
    mean, std = np.broadcast_arrays(np.array(spec.mean, np.float64), np.array(spec.std, np.float64))
    low, high = float(((0 - mean) / std).min()), float(((255 - mean) / std).max())
    low, high = min(low, 0.0), max(high, 0.0)
    origin = -low / (high - low) * 255
    if abs(origin % 1 - 0.5) > _HALF:
        return Grid.of_range(low, high)
    scale = np.float32((high - low) / 254)
    zero_point = int(np.rint(-127 - low / float(scale)))
    return Grid("int8", np.array([scale], np.float32), np.array([zero_point], np.int64))
