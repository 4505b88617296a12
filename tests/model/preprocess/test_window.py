"""Sensor windows: normalised, quantised, and never undefined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.model.frame import WindowFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import WindowSpec
from tests.growth import growth
from tests.model.preprocess.reference import frame_from, frame_of, quantised, run, tensor

SAMPLES = st.sampled_from((0.5, 1.5, -0.5, math.nan, math.inf, -math.inf, 3.4e38, -3.4e38, 1e-45)) | st.floats(width=32)


@st.composite
def windows(draw: st.DrawFn) -> tuple[WindowSpec, np.ndarray[Any, Any]]:
    length, channels = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    entries = draw(st.sampled_from((1, channels)))

    def numbers(low: float, high: float) -> tuple[float, ...]:
        return tuple(draw(st.lists(st.floats(low, high), min_size=entries, max_size=entries)))

    spec = WindowSpec(length=length, channels=channels, normalize=draw(st.sampled_from(("none", "standardize", "minmax"))),
                      mean=numbers(-1e3, 1e3), std=numbers(1e-3, 1e3), minimum=numbers(-1e3, 0), maximum=numbers(1e-3, 1e3))
    samples = draw(st.lists(SAMPLES, min_size=length * channels, max_size=length * channels))
    return spec, np.array(samples, np.float32).reshape(length, channels)


def shape_of(spec: WindowSpec, way: int) -> tuple[int, ...]:
    length, channels = spec.length, spec.channels
    return [(1, length, channels), (1, length * channels), (1, length, channels, 1), (1, channels, length),
            (length, channels)][way]


@settings(max_examples=300, deadline=None)
@given(window=windows(), number=quantised(), way=st.integers(0, 4))
def test_what_is_deployed_is_what_was_calibrated(window: tuple[WindowSpec, Any], number: tuple[Any, float, int],
                                                 way: int) -> None:
    """TensorSpec.quantize of calibration's floats equals the deployed tensor to the byte, also for NaN, infinity, halves."""
    spec, samples = window
    into, frame = tensor(shape_of(spec, way), *number), frame_of(samples, WindowFormat(spec.length, spec.channels))
    preprocess = build(spec, into, frame.format)
    out = np.full(into.shape, 77, into.dtype)
    preprocess.run(frame, out)
    reals = preprocess.reals(frame)
    assert (reals.dtype, reals.shape) == (np.float32, into.shape)
    assert np.array_equal(into.quantize(reals), out)
    assert np.array_equal(frame.view, samples, equal_nan=True)


@settings(max_examples=200, deadline=None)
@given(window=windows())
def test_a_float_tensor_is_finite_and_the_calibrations_own(window: tuple[WindowSpec, Any]) -> None:
    """For a float32 input run writes what reals returns; NaN is 0 and an infinity the largest float32."""
    spec, samples = window
    into, frame = tensor((1, *samples.shape), "float32"), frame_of(samples, WindowFormat(*samples.shape))
    out = run(spec, into, frame)
    assert np.array_equal(out, build(spec, into, frame.format).reals(frame))
    assert np.isfinite(out).all()
    assert (out[0][np.isnan(samples)] == 0).all()


@settings(max_examples=200, deadline=None)
@given(window=windows())
def test_values_are_those_of_the_definition(window: tuple[WindowSpec, Any]) -> None:
    """(x - mean) / std or (x - minimum) / (maximum - minimum), to the precision of two float32 operations."""
    spec, samples = window
    samples = np.clip(np.nan_to_num(samples), -1e6, 1e6)
    out = run(spec, tensor((1, *samples.shape), "float32"), frame_of(samples, WindowFormat(*samples.shape)))
    for index, value in np.ndenumerate(samples):
        def of(entries: tuple[float, ...], channel: int = index[1]) -> float:
            return entries[channel % len(entries)]

        offset, divisor = {"none": (0.0, 1.0), "standardize": (of(spec.mean), of(spec.std)),
                           "minmax": (of(spec.minimum), of(spec.maximum) - of(spec.minimum))}[spec.normalize]
        step = 2.0**-148  # twice the smallest float32, where it has no digits left
        room = (4e-7 * (abs(float(value)) + abs(offset)) + step) / divisor + step
        assert abs(float(out[0][index]) - (float(value) - offset) / divisor) <= room


@pytest.mark.parametrize(("dtype", "low", "high"), [("int8", -128, 127), ("uint8", 0, 255), ("int16", -32768, 32767)])
def test_rounding_saturation_and_gaps(dtype: Any, low: int, high: int) -> None:
    """Halves go to the even step, what is beyond the limits saturates, and a NaN is the zero point."""
    samples = np.array([[0.25, 0.75, 1.25, -0.25, 1e30, -1e30, math.inf, -math.inf, math.nan, 0.0]], np.float32)
    out = run(WindowSpec(length=10), tensor((1, 10), dtype, 0.5, 7), frame_of(samples.T, WindowFormat(10, 1)))
    assert out.tolist() == [[7, 9, 9, 7, high, low, high, low, 7, 7]]


@pytest.mark.parametrize("normalize", ["none", "standardize"])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_channels_first_is_the_window_transposed(normalize: Any, dtype: Any) -> None:
    """(1, channels, length) holds one channel after the other, each normalised with its own entry."""
    spec = WindowSpec(length=5, channels=3, normalize=normalize, mean=(1.0, 2.0, 3.0), std=(0.5, 4.0, 8.0))
    frame = frame_from(4, WindowFormat(5, 3))
    first, last = (run(spec, tensor(shape, dtype, 0.01), frame) for shape in ((1, 3, 5), (1, 5, 3)))
    assert np.array_equal(first, last.transpose(0, 2, 1))
    assert np.array_equal(first, run(spec, tensor((1, 3, 1, 5), dtype, 0.01), frame)[:, :, 0])


def test_a_square_window_is_not_transposed() -> None:
    """Where length equals channels the order is (length, channels)."""
    frame = frame_from(5, WindowFormat(4, 4))
    assert np.array_equal(run(WindowSpec(length=4, channels=4), tensor((1, 4, 4), "float32"), frame)[0], frame.view)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_windows_leave_no_memory_behind(dtype: Any) -> None:
    """A thousand windows allocate nothing that stays, even with gaps in them."""
    spec = WindowSpec(length=49, channels=10, normalize="standardize", std=(2.0,))
    frame = frame_from(1, WindowFormat(49, 10))
    frame.view[3, 4] = math.nan
    into = tensor((1, 49, 10), dtype, 0.1)
    preprocess, out = build(spec, into, frame.format), np.empty(into.shape, into.dtype)
    assert growth(lambda: preprocess.run(frame, out)) < 1000  # a byte a window would be more
