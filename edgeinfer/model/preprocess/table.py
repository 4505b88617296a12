"""From a pixel to a tensor element: 256 entries a channel, computed once."""

from __future__ import annotations

import numpy as np

from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["is_identity", "quantised_table", "real_table"]


def real_table(spec: ImageSpec) -> Array:
    """float32 of shape (256, channels): (pixel - mean) / std in float64, rounded once. One column if all are equal."""
    mean, std = np.asarray(spec.mean, np.float64), np.asarray(spec.std, np.float64)
    values = (np.arange(256, dtype=np.float64)[:, None] - mean) / std
    with np.errstate(over="ignore"):  # an infinity is a fault of the spec, refused by the caller
        return _narrowest(values.astype(np.float32))


def quantised_table(reals: Array, tensor: TensorSpec) -> Array:
    """What the device writes: the reference quantiser over the very values that calibration sees."""
    return _narrowest(tensor.quantize(reals))


def is_identity(table: Array) -> bool:
    """Whether the tensor takes uint8 pixels as they are."""
    return table.dtype == np.uint8 and bool((table == np.arange(256)[:, None]).all())


def _narrowest(table: Array) -> Array:
    """Its first column alone, where all columns are the same."""
    return table[:, :1] if (table == table[:, :1]).all() else table
