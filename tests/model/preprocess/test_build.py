"""What does not go together is refused before the first frame, with one clear error."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from edgeinfer.errors import EdgeinferError, ManifestError, SourceError
from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.model.tensor import Quantization, TensorSpec
from tests.model.preprocess.reference import tensor

IMAGE, PIXELS, CAMERA = ImageSpec(height=8, width=6), tensor((1, 8, 6, 3)), FrameFormat("RGB", 48, 64)
WINDOW, VALUES, SENSOR = WindowSpec(length=5, channels=2), tensor((1, 5, 2), "int8"), WindowFormat(5, 2)


def image(**changes: Any) -> ImageSpec:
    return msgspec.structs.replace(IMAGE, **changes)


def window(**changes: Any) -> WindowSpec:
    return msgspec.structs.replace(WINDOW, **changes)


def pixels(**changes: Any) -> TensorSpec:
    return msgspec.structs.replace(PIXELS, **changes)


def quantization(*scale: float, zero_point: tuple[int, ...] = (0,)) -> Quantization:
    return Quantization(scale=scale, zero_point=zero_point, axis=3 if len(scale) > 1 else None)


CONTRADICTIONS = {
    "layout": (IMAGE, pixels(shape=(1, 3, 8, 6)), r"shape: expected \(1, 8, 6, 3\) \(NHWC\).*set preprocess.layout to NCHW"),
    "sides swapped": (IMAGE, pixels(shape=(1, 6, 8, 3)), r"shape: expected \(1, 8, 6, 3\)"),
    "channels": (image(colour="GREY"), PIXELS, r"shape: expected \(1, 8, 6, 1\)"),
    "a batch": (IMAGE, pixels(shape=(4, 8, 6, 3)), r"shape: expected \(1, 8, 6, 3\)"),
    "a dynamic side": (IMAGE, pixels(shape=(1, -1, 6, 3)), r"shape: expected \(1, 8, 6, 3\)"),
    "no side": (image(height=0), pixels(shape=(1, 0, 6, 3)), "at least 1"),
    "dtype": (IMAGE, pixels(dtype="int32"), "dtype: expected float32 or one of uint8, int8, int16, got int32"),
    "no quantisation": (IMAGE, pixels(dtype="int8", quantization=None), "quantization: expected a scale and a zero point.*none"),
    "per-axis": (IMAGE, pixels(quantization=quantization(1.0, 2.0, 3.0)), "one scale for the whole tensor"),
    "scale 0": (IMAGE, pixels(quantization=quantization(0.0)), "scale: expected one positive float32"),
    "scale NaN": (IMAGE, pixels(quantization=quantization(float("nan"))), "scale: expected one positive float32"),
    "negative scale": (IMAGE, pixels(quantization=quantization(-1.0)), "scale: expected one positive float32"),
    "zero point": (IMAGE, pixels(quantization=quantization(1.0, zero_point=(256,))), "zero_point: expected one of 0..255"),
    "std 0": (image(std=(1.0, 0.0, 1.0)), PIXELS, "preprocess.std: expected numbers other than 0"),
    "std infinite": (image(std=(float("inf"),)), PIXELS, "preprocess.std"),
    "mean NaN": (image(mean=(float("nan"),)), PIXELS, "preprocess.mean: expected finite numbers"),
    "mean of two": (image(mean=(1.0, 2.0)), PIXELS, r"mean: expected 1 entry or 3 \(one a channel\), got 2 entries"),
    "std of two": (image(std=(1.0, 2.0)), PIXELS, "preprocess.std: expected 1 entry or 3"),
    "beyond float32": (image(mean=(1e38,), std=(1e-3,)), PIXELS, "float32 can hold"),
    "pad": (image(pad=256), PIXELS, "preprocess.pad: expected a pixel, 0..255, got 256"),
    "window's elements": (WINDOW, tensor((1, 5, 3), "int8"), r"expected 10 elements, such as \(1, 5, 2\), got \(1, 5, 3\)"),
    "window's dynamic side": (WINDOW, tensor((-1, 5, 2), "int8"), "expected 10 elements"),
    "window's two dynamic sides": (WINDOW, tensor((-5, -2), "int8"), "expected 10 elements"),
    "window's std": (window(normalize="standardize", std=(1.0, 0.0)), VALUES, "std: expected numbers other than 0"),
    "window's tiny std": (window(normalize="standardize", std=(1e-60,)), VALUES, "preprocess.std"),
    "window's mean": (window(normalize="standardize", mean=(0.0, 1.0, 2.0)), VALUES, "mean: expected 1 entry or 2"),
    "window's span": (window(normalize="minmax", minimum=(1.0,), maximum=(1.0,)), VALUES, "maximum - preprocess.minimum"),
    "window's length": (window(length=0), tensor((1, 0), "int8"), "at least 1"),
    "window's dtype": (WINDOW, tensor((1, 5, 2), "int32"), "dtype"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_spec_that_contradicts_the_tensor_is_refused(name: str) -> None:
    """Each contradiction is a ManifestError that names the field."""
    spec, into, message = CONTRADICTIONS[name]
    with pytest.raises(ManifestError, match=f"(?s){message}"):
        build(spec, into, CAMERA if isinstance(spec, ImageSpec) else SENSOR)


def test_all_contradictions_are_listed_at_once() -> None:
    """One run finds every fault."""
    with pytest.raises(ManifestError) as caught:
        build(image(std=(0.0,), mean=(1.0, 2.0), pad=-1), pixels(dtype="int32"), CAMERA)
    assert len(caught.value.faults) == 4


@pytest.mark.parametrize(("spec", "into", "format", "message"), [
    (IMAGE, PIXELS, FrameFormat("NV12", 49, 64), "even width and height .*64x49\n.*64x48"),
    (IMAGE, PIXELS, FrameFormat("NV12", 48, 63), "even width and height"),
    (IMAGE, PIXELS, FrameFormat("I420", 49, 64), "even width and height"),
    (IMAGE, PIXELS, FrameFormat("YUYV", 48, 63), "an even width "),
    (IMAGE, PIXELS, FrameFormat("RGB", 0, 64), "at least 1x1"),
    (IMAGE, PIXELS, FrameFormat("RGB", -4, 64), "at least 1x1"),
    (IMAGE, PIXELS, SENSOR, "expected pictures"),
    (WINDOW, VALUES, CAMERA, r"expected windows of \(5, 2\) samples, got RGB pictures"),
    (WINDOW, VALUES, WindowFormat(5, 3), r"expected windows of \(5, 2\) samples, got \(5, 3\)"),
])
def test_a_source_that_cannot_be_used_is_refused(spec: Any, into: TensorSpec, format: Any, message: str) -> None:
    """Odd sides, and a source of the wrong kind or number of channels, are a SourceError."""
    with pytest.raises(SourceError, match=message):
        build(spec, into, format)


def test_an_odd_height_is_fine_for_yuyv() -> None:
    """YUYV shares its chroma between neighbours of one row alone."""
    try:
        build(IMAGE, PIXELS, FrameFormat("YUYV", 49, 64))
    except EdgeinferError as error:
        pytest.fail(str(error))


SENSOR_ONLY = """
import sys
from edgeinfer.model.frame import WindowFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.fingerprint import fingerprint
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import TensorSpec
spec, tensor = WindowSpec(length=4), TensorSpec(name="x", shape=(1, 4), dtype="float32")
build(spec, tensor, WindowFormat(4, 1)), fingerprint(spec, tensor)
print("cv2" in sys.modules)
"""

WITHOUT_OPENCV = """
import sys
sys.modules["cv2"] = None
from edgeinfer.errors import UnavailableError
from edgeinfer.model.frame import FrameFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.tensor import TensorSpec
try:
    build(ImageSpec(height=4, width=4), TensorSpec(name="x", shape=(1, 4, 4, 3), dtype="float32"), FrameFormat("RGB", 4, 4))
except UnavailableError as error:
    print(error)
"""


def python(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_a_device_with_sensors_alone_never_imports_opencv() -> None:
    """Building and fingerprinting a window leaves cv2 out of the process."""
    assert python(SENSOR_ONLY) == "False"


def test_a_model_of_pictures_without_opencv_says_what_to_install() -> None:
    """The error is UnavailableError, and its hint is the command."""
    assert "pip install 'edgeinfer[vision]'" in python(WITHOUT_OPENCV)
