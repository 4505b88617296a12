"""The grid of a picture's input: a step a pixel where that can be, and never one that every pixel misses by half."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.model.preprocess.spec import ImageSpec
from quantize.pixels import pixel_grid

EXACT = [(0.0, 255.0), (0.0, 1.0), (127.0, 128.0), (128.0, 128.0), (128.0, 127.0), (0.0, 127.5)]
HALVES = [(127.5, 127.5), (127.5, 63.75), (127.5, 1.0)]
CHANNELS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def reals(mean: float, std: float) -> np.ndarray:
    return ((np.arange(256) - mean) / std).astype(np.float32)


def spec(mean: object, std: object) -> ImageSpec:
    def numbers(value: object) -> tuple[float, ...]:
        return value if isinstance(value, tuple) else (float(value),)  # type: ignore[arg-type]
    return ImageSpec(height=8, width=8, mean=numbers(mean), std=numbers(std))


@pytest.mark.parametrize(("mean", "std"), EXACT)
def test_a_whole_mean_rounds_nothing(mean: float, std: float) -> None:
    """All 256 pixels have an integer of their own, and come back as they were."""
    grid = pixel_grid(spec(mean, std))
    stored = grid.quantize(reals(mean, std))
    assert np.array_equal(np.sort(stored), np.arange(-128, 128))
    assert np.allclose(grid.dequantize(stored), reals(mean, std), atol=1e-6 * 255 / std)


@pytest.mark.parametrize(("mean", "std"), HALVES)
def test_a_mean_between_two_pixels_makes_no_ties(mean: float, std: float) -> None:
    """Float32 and float64 round every pixel the same way, since none is half way between two steps."""
    grid = pixel_grid(spec(mean, std))
    steps = reals(mean, std).astype(np.float64) / float(grid.scale[0])
    assert np.abs(np.abs(steps % 1) - 0.5).min() > 1e-3
    single = np.rint(reals(mean, std) / grid.scale[0]) + grid.zero_point[0]
    assert np.array_equal(single, grid.quantize(reals(mean, std)))


@pytest.mark.parametrize(("mean", "std"), [*EXACT, *HALVES, CHANNELS])
def test_every_pixel_is_within_the_grid(mean: object, std: object) -> None:
    """Black and white saturate nowhere, in no channel."""
    grid = pixel_grid(spec(mean, std))
    ends = [(pixel - np.array(mean)) / np.array(std) for pixel in (0, 255)]
    half = float(grid.scale[0]) / 2
    assert grid.low - half <= np.min(ends)
    assert grid.high + half >= np.max(ends)
