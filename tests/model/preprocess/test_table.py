"""The table of 256 entries: each against the formula in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeinfer.model.frame import FrameFormat
from edgeinfer.model.preprocess.spec import ImageSpec
from tests.model.preprocess.reference import frame_of, image_tensor, run

LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "int16": (-32768, 32767)}
PIXELS = np.arange(256, dtype=np.uint8).reshape(16, 16)

NORMALS = {
    "as it is": ((0.0,), (1.0,)),
    "to 0..1": ((0.0,), (255.0,)),
    "to -1..1": ((127.5,), (127.5,)),
    "halves": ((0.0,), (2.0,)),
    "ImageNet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "one mean, three std": ((128.0,), (64.0, 50.0, 3.0)),
    "mirrored": ((255.0,), (-1.0,)),
}
TENSORS = [
    ("uint8", 1.0, 0), ("uint8", 1 / 255, 0), ("uint8", 0.003921568859368563, 0), ("uint8", 0.0078125, 128),
    ("uint8", 0.018658, 114), ("uint8", 3.7, 255), ("int8", 1.0, -128), ("int8", 0.003921568859368563, -128),
    ("int8", 0.007843137718737125, -1), ("int8", 0.5, 0), ("int8", 0.0186584, -14),
    ("int16", 1 / 32767, 0), ("int16", 0.25, 0),
]


def expected(pixel: int, mean: float, std: float, dtype: str, scale: float, zero_point: int) -> float:
    value = float(np.float32((pixel - mean) / std))  # what calibration sees
    if dtype == "float32":
        return value
    low, high = LIMITS[dtype]
    return min(max(round(value / scale) + zero_point, low), high)  # round() of Python: half to even


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(("dtype", "scale", "zero_point"), [*TENSORS, ("float32", 1.0, 0)])
@pytest.mark.parametrize("normal", NORMALS)
def test_every_pixel_value_becomes_what_the_formula_says(normal: str, dtype: Any, scale: float, zero_point: int,
                                                         layout: Any) -> None:
    """Each of 256 values of each channel is clip(round(float32((p - mean) / std) / scale) + zero_point)."""
    mean, std = NORMALS[normal]
    spec = ImageSpec(height=16, width=16, mean=mean, std=std, layout=layout)
    out = run(spec, image_tensor(spec, dtype, scale, zero_point), frame_of(PIXELS[..., None], FrameFormat("RGB", 16, 16)))
    planes = out[0] if layout == "NCHW" else out[0].transpose(2, 0, 1)
    for channel in range(3):
        of = mean[channel % len(mean)], std[channel % len(std)]
        assert planes[channel].ravel().tolist() == [expected(p, *of, dtype, scale, zero_point) for p in range(256)]


@pytest.mark.parametrize(("dtype", "scale", "zero_point"), [*TENSORS, ("float32", 1.0, 0)])
def test_a_grey_model_has_one_table(dtype: Any, scale: float, zero_point: int) -> None:
    """The same formula for one channel, which has a way of its own."""
    spec = ImageSpec(height=16, width=16, colour="GREY", mean=(33.0,), std=(7.0,))
    out = run(spec, image_tensor(spec, dtype, scale, zero_point), frame_of(PIXELS, FrameFormat("GREY", 16, 16)))
    assert out.ravel().tolist() == [expected(p, 33.0, 7.0, dtype, scale, zero_point) for p in range(256)]
