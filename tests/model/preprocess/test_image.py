"""Pictures: the same bytes everywhere, in every format, size and layout."""

from __future__ import annotations

import subprocess
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.tensor import TensorSpec
from tests.growth import growth
from tests.model.preprocess import reference
from tests.model.preprocess.reference import (
    FORMATS,
    frame_formats,
    frame_from,
    frame_of,
    image_specs,
    image_tensor,
    quantised,
    run,
)


@settings(max_examples=200, deadline=None)
@given(spec=image_specs(layout="NHWC", mean=(0.0,), std=(1.0,)), format=frame_formats(), seed=st.integers(0, 2**32))
def test_pixels_are_those_of_whole_number_arithmetic(spec: ImageSpec, format: FrameFormat, seed: int) -> None:
    """Conversion, crop, reduction, resize and pad are, to the byte, what the definition in whole numbers gives."""
    frame = frame_from(seed, format)
    assert np.array_equal(run(spec, image_tensor(spec), frame)[0], reference.picture(frame.view, format, spec))


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize(("height", "width"), [
    (1080, 1920), (720, 1280), (480, 640), (240, 320), (224, 224), (96, 96), (2042, 302)])
def test_sizes_of_cameras_too(pixel_format: Any, height: int, width: int) -> None:
    """The same at the sizes that cameras have, where OpenCV works in several threads and in vectors."""
    spec = ImageSpec(height=224, width=224)
    frame = frame_from(height, FrameFormat(pixel_format, height, width))
    assert np.array_equal(run(spec, image_tensor(spec), frame)[0], reference.picture(frame.view, frame.format, spec))


@settings(max_examples=150, deadline=None)
@given(spec=image_specs(), format=frame_formats(), number=quantised(), seed=st.integers(0, 99))
def test_what_is_deployed_is_what_was_calibrated(spec: ImageSpec, format: FrameFormat, number: tuple[Any, float, int],
                                                 seed: int) -> None:
    """TensorSpec.quantize of the calibration's float tensor equals the deployed tensor, to the byte."""
    tensor = image_tensor(spec, *number)
    preprocess = build(spec, tensor, format)
    frame, out = frame_from(seed, format), np.empty(tensor.shape, tensor.dtype)
    preprocess.run(frame, out)
    reals = preprocess.reals(frame)
    assert (reals.dtype, reals.shape) == (np.float32, tensor.shape)
    assert np.array_equal(tensor.quantize(reals), out)


@settings(max_examples=60, deadline=None)
@given(spec=image_specs(), format=frame_formats())
def test_a_float_tensor_is_the_calibrations_own(spec: ImageSpec, format: FrameFormat) -> None:
    """For a float32 input, run writes what reals returns."""
    tensor, frame = image_tensor(spec, "float32"), frame_from(1, format)
    assert np.array_equal(run(spec, tensor, frame), build(spec, tensor, format).reals(frame))


@settings(max_examples=60, deadline=None)
@given(spec=image_specs(), format=frame_formats(), number=quantised() | st.just(("float32", 1.0, 0)))
def test_planes_are_the_interleaved_pixels_transposed(spec: ImageSpec, format: FrameFormat,
                                                      number: tuple[Any, float, int]) -> None:
    """NCHW and NHWC hold the same elements."""
    frame = frame_from(2, format)
    nhwc, nchw = (run(one, image_tensor(one, *number), frame)
                  for one in (msgspec.structs.replace(spec, layout=layout) for layout in ("NHWC", "NCHW")))
    assert np.array_equal(nhwc.transpose(0, 3, 1, 2), nchw)


@settings(max_examples=60, deadline=None)
@given(spec=image_specs(), format=frame_formats(), number=quantised())
def test_every_element_is_written(spec: ImageSpec, format: FrameFormat, number: tuple[Any, float, int]) -> None:
    """Whatever the input memory held before, it holds the same afterwards, frame after frame; the frame is not touched."""
    tensor = image_tensor(spec, *number)
    preprocess, frame = build(spec, tensor, format), frame_from(3, format)
    before, outs = frame.view.copy(), []
    for poison in (0x00, 0xAA, 0x55):
        out = np.full(tensor.nbytes, poison, np.uint8).view(tensor.dtype).reshape(tensor.shape)
        preprocess.run(frame, out)
        outs.append(out)
    assert np.array_equal(outs[0], outs[1])
    assert np.array_equal(outs[0], outs[2])
    assert np.array_equal(frame.view, before)


@pytest.mark.parametrize("pixel_format", ["YUYV", "NV12", "I420"])
def test_yuv_is_read_as_ffmpeg_wrote_it(pixel_format: Any) -> None:
    """Flat colours that ffmpeg turned to YUV come back as themselves, within the 3 steps that YUV's own rounding costs."""
    colours = np.array([(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40)], np.uint8)
    pixels = colours.repeat(16, 0)[None].repeat(32, 0)  # six bars of 16 pixels
    name = {"YUYV": "yuyv422", "NV12": "nv12", "I420": "yuv420p"}[pixel_format]
    raw = ["-f", "rawvideo", "-pix_fmt"]
    made = subprocess.run(["ffmpeg", "-v", "error", *raw, "rgb24", "-s", "96x32", "-i", "-", *raw, name, "-"],
                          input=pixels.tobytes(), stdout=subprocess.PIPE, check=True).stdout
    source = FrameFormat(pixel_format, 32, 96)
    spec = ImageSpec(height=32, width=96)
    out = run(spec, image_tensor(spec), frame_of(np.frombuffer(made, np.uint8).reshape(source.shape), source))
    assert np.abs(out[0, 16, 8::16].astype(int) - colours).max() <= 3


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_pictures_of_many_sizes_share_one_memory(resize: Any, scale: float) -> None:
    """Sizes that come and go, more of them than are remembered, give what each gives alone; memory stays as stated."""
    spec = ImageSpec(height=32, width=48, resize=resize)
    tensor, frame = image_tensor(spec, "uint8", scale), Frame(FrameFormat("RGB", 200, 200))
    preprocess, out = build(spec, tensor, frame.format), np.empty((1, 32, 48, 3), np.uint8)
    stated = preprocess.nbytes
    sizes = [(200, 200), (100, 400), (400, 100), (20, 30), (7, 9), (1, 1), (32, 48), (64, 96), (199, 131), (90, 200)]
    for seed, (height, width) in enumerate([*sizes, *sizes[::-1], (200, 200), (64, 97), (200, 200)]):
        frame.reshape(FrameFormat("RGB", height, width))
        alone = frame_from(seed, frame.format)
        frame.view[...] = alone.view
        preprocess.run(frame, out)
        assert np.array_equal(out, run(spec, tensor, alone))
        assert preprocess.geometry == build(spec, tensor, frame.format).geometry
    assert preprocess.nbytes == stated
    assert len(preprocess._plans) <= 8  # type: ignore[attr-defined]


def test_a_picture_beyond_the_stated_size_is_refused() -> None:
    """A frame that needs more scratch than was allocated raises SourceError instead of allocating."""
    spec = ImageSpec(height=16, width=16)
    preprocess = build(spec, image_tensor(spec), FrameFormat("YUYV", 64, 64))
    with pytest.raises(SourceError, match=r"at most 64x64 pixels of YUYV"):
        preprocess.run(Frame(FrameFormat("YUYV", 66, 64)), np.empty((1, 16, 16, 3), np.uint8))


def test_a_grey_model_may_have_no_channel_axis() -> None:
    """An input of (1, height, width) is that of a grey picture."""
    spec, frame = ImageSpec(height=28, width=28, colour="GREY"), frame_from(1, FrameFormat("BGR", 60, 60))
    without = run(spec, reference.tensor((1, 28, 28)), frame)
    assert np.array_equal(without, run(spec, image_tensor(spec), frame)[..., 0])


@pytest.mark.parametrize(("layout", "dtype", "pixel_format"), [
    ("NHWC", "uint8", "RGB"), ("NCHW", "float32", "YUYV"), ("NHWC", "int8", "NV12"), ("NCHW", "uint8", "GREY")])
def test_frames_leave_no_memory_behind(layout: Any, dtype: Any, pixel_format: Any) -> None:
    """After the first frames, a thousand more allocate nothing that stays."""
    spec = ImageSpec(height=16, width=16, layout=layout, resize="letterbox", mean=(1.0,), std=(2.0,))
    tensor, frame = image_tensor(spec, dtype), frame_from(1, FrameFormat(pixel_format, 48, 64))
    preprocess, out = build(spec, tensor, frame.format), np.empty(tensor.shape, tensor.dtype)
    preprocess.run(frame, out)
    assert growth(lambda: preprocess.run(frame, out)) < 1000  # a byte a frame would be more


def test_the_bill_counts_what_is_held() -> None:
    """nbytes is the sum of every array the object holds, for a way with all of them."""
    spec = ImageSpec(height=32, width=32, colour="GREY", resize="letterbox", mean=(1.0,), std=(2.0,))
    preprocess = build(spec, image_tensor(spec, "int8"), FrameFormat("NV12", 480, 640))
    full, reduced, resized, canvas, tables = 480 * 640 * 3, 480 * 640 // 4 * 3, 32 * 32 * 3, 32 * 32, 256 + 4 * 256
    assert preprocess.nbytes == full + reduced + resized + canvas + tables


def test_a_uint8_input_without_quantisation_takes_pixels_as_they_are() -> None:
    """MoveNet's kind of input: with mean 0 and std 1 the tensor is the picture, and other values are rounded and saturated."""
    spec = TensorSpec(name="pixels", shape=(1, 4, 4, 3), dtype="uint8")
    format = FrameFormat("RGB", 4, 4)
    frame = Frame(format)
    frame.view[...] = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    out = np.zeros(spec.shape, np.uint8)
    build(ImageSpec(height=4, width=4), spec, format).run(frame, out)
    assert np.array_equal(out[0], frame.view)
    build(ImageSpec(height=4, width=4, mean=(100.0,), std=(0.5,)), spec, format).run(frame, out)
    assert np.array_equal(out[0], np.clip((frame.view.astype(int) - 100) * 2, 0, 255))
