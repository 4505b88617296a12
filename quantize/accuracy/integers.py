"""Integers for a layer's weights that keep its outputs: GPTQ, then coordinate descent.

The error of integers q on a scale s, for real weights v, is (s q - v) H (s q - v)' with H the second moments of what the layer
reads. GPTQ (Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ: accurate post-training quantization for generative pre-trained
transformers", 2022) rounds one column after the other and lets the columns that follow take up the error. Then each integer
is moved to where it is best while all others stand, until none moves (as in Behdin et al., "QuantEase", 2023).
"""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["descend", "error", "gptq", "search"]

_BLOCK = 64


def error(weights: Array, wanted: Array, moments: Array) -> Array:
    """The mean square error of each output, (groups, outputs), where ``weights`` stand for ``wanted``."""
    off = weights - wanted
    summed: Array = ((off @ moments) * off).sum(2)
    return summed


def search(wanted: Array, scale: Array, moments: Array, most: int, passes: int = 3) -> Array:
    """Integers (groups, outputs, inputs) of ``wanted`` on ``scale`` (groups, outputs), from -most to most, whose outputs err no
    more than those of the nearest integers. ``moments``: (groups, inputs, inputs), positive definite."""
    steps = scale[:, :, None]
    nearest = np.clip(np.rint(wanted / steps), -most, most)
    found = gptq(wanted, scale, moments, most)
    worse = error(found * steps, wanted, moments) > error(nearest * steps, wanted, moments)  # clipped, or few columns
    return descend(np.where(worse[:, :, None], nearest, found), wanted, scale, moments, most, passes)


def gptq(wanted: Array, scale: Array, moments: Array, most: int) -> Array:
    """Integers that GPTQ finds. The order of columns is the same in all groups: those loud on the whole are rounded first."""
    columns = wanted.shape[2]
    order = np.argsort(-np.einsum("gkk->k", moments), kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(moments[:, order][:, :, order])).transpose(0, 2, 1)
    left = wanted[:, :, order]
    integers = np.empty_like(left)
    for start in range(0, columns, _BLOCK):
        end = min(columns, start + _BLOCK)
        errors = np.empty((*scale.shape, end - start))
        for column in range(start, end):
            nearest = np.clip(np.rint(left[:, :, column] / scale), -most, most)
            integers[:, :, column] = nearest
            off = (left[:, :, column] - nearest * scale) / upper[:, column, column, None]
            errors[:, :, column - start] = off
            left[:, :, column + 1 : end] -= off[:, :, None] * upper[:, None, column, column + 1 : end]
        left[:, :, end:] -= errors @ upper[:, start:end, end:]
    found = np.empty_like(integers)
    found[:, :, order] = integers
    return found


def descend(integers: Array, wanted: Array, scale: Array, moments: Array, most: int, passes: int) -> Array:
    """Better integers, each the best while all others stand; loud columns first. At most so many passes over all columns."""
    integers = integers.copy()
    loudness = np.einsum("gkk->gk", moments)
    gradient = (integers * scale[:, :, None] - wanted) @ moments
    for _ in range(passes):
        moved = 0
        for column in np.argsort(-loudness.sum(0), kind="stable"):
            before = integers[:, :, column]
            after = np.clip(np.rint(before - gradient[:, :, column] / (loudness[:, None, column] * scale)), -most, most)
            step = (after - before) * scale
            groups, outputs = np.nonzero(step)
            if not len(groups):
                continue
            gradient[groups, outputs] += step[groups, outputs][:, None] * moments[groups, column]
            integers[:, :, column] = after
            moved += len(groups)
        if not moved:
            break
    return integers
