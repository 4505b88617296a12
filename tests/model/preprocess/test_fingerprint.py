"""The fingerprint: constant where the arithmetic is, different where anything is."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.model.preprocess.fingerprint import fingerprint, synthetic_frame
from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec, WindowSpec
from edgeinfer.model.tensor import TensorSpec
from tests.model.preprocess.reference import image_tensor, tensor

UINT8 = ImageSpec(height=224, width=224)
LETTERBOX = ImageSpec(height=96, width=128, colour="BGR", layout="NCHW", resize="letterbox",
                      mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
GREY = ImageSpec(height=96, width=96, colour="GREY", resize="crop", mean=(127.5,), std=(127.5,))
WINDOW = WindowSpec(length=49, channels=10, normalize="standardize", mean=(0.5,), std=(3.0,))

PINNED: dict[str, tuple[PreprocessSpec, TensorSpec, str]] = {
    "uint8": (UINT8, image_tensor(UINT8),
        "8a7c498e90bb34f5f3103c0d4dd3da4923c0ecd9707ba9daa301d9bbc98d54cc"),
    "letterbox": (LETTERBOX, image_tensor(LETTERBOX, "float32"),
        "0a11fb4a85e38a0aa3caa35c5f11f3e33aff1a8011c122458b90f7cd7549bbac"),
    "grey": (GREY, image_tensor(GREY, "int8", 0.0078125, -1),
        "6d8c064824edf62bb2dd951181f680327380f40690ca75fe4b408e8b951a0add"),
    "window": (WINDOW, tensor((1, 49, 10), "int8", 0.1, 3),
        "4483a276197a7e3f8c803168c7dc2dc7a5365ad0c8d13a137dcf67a542b45a8f"),
}


@pytest.mark.skipif(sys.byteorder != "little", reason="tensors are hashed in the device's own byte order")
@pytest.mark.parametrize("name", PINNED)
def test_the_arithmetic_is_the_one_that_bundles_were_packed_with(name: str) -> None:
    """These digests stand in bundles: a change of one byte of preprocessing would have every device refuse its model."""
    spec, into, digest = PINNED[name]
    assert fingerprint(spec, into) == digest


@pytest.mark.parametrize("changes", [
    {"colour": "BGR"}, {"resize": "letterbox"}, {"resize": "crop"}, {"mean": (0.001,)}, {"std": (1.001,)}, {"pad": 115}])
def test_another_spec_has_another_fingerprint(changes: dict[str, Any]) -> None:
    """Each field counts, even where no pixel happens to change."""
    other = msgspec.structs.replace(UINT8, **changes)
    assert fingerprint(other, image_tensor(other)) != fingerprint(UINT8, image_tensor(UINT8))


def test_another_scale_has_another_fingerprint() -> None:
    """The tensor's quantisation counts through the bytes it gives."""
    prints = {fingerprint(WINDOW, tensor((1, 49, 10), "int8", *number)) for number in ((0.1, 3), (0.1001, 3), (0.1, 4))}
    assert len(prints) == 3


def test_a_field_at_its_default_does_not_count() -> None:
    """A later version may add fields with a default: bundles that do not state them keep their fingerprint."""
    stated = ImageSpec(height=224, width=224, colour="RGB", layout="NHWC", resize="stretch", mean=(0.0,), std=(1.0,),
                       pad=114)
    assert fingerprint(stated, image_tensor(stated)) == fingerprint(UINT8, image_tensor(UINT8))


@pytest.mark.skipif(sys.byteorder != "little", reason="float32 samples are hashed in the device's own byte order")
@pytest.mark.parametrize(("format", "digest"), [
    (FrameFormat("RGB", 480, 640), "7b245bce0c31b0a4"),
    (FrameFormat("GREY", 243, 321), "81ef465025230e0a"),
    (FrameFormat("NV12", 720, 1280), "138102c1052aa75b"),
    (WindowFormat(49, 10), "e0fa8b5bc52cda76")])
def test_synthetic_frames_are_the_same_bytes_everywhere(format: Any, digest: str) -> None:
    """Probes and fingerprints of packed bundles rest on them."""
    frame = synthetic_frame(7, format)
    assert (frame.shape, frame.dtype) == (format.shape, np.dtype(format.dtype))
    assert hashlib.sha256(frame.tobytes()).hexdigest()[:16] == digest


def test_seeds_give_different_frames() -> None:
    """No two of a hundred are alike, and the same seed gives the same; any whole number is a seed."""
    for source in (FrameFormat("YUYV", 6, 8), WindowFormat(5, 3)):
        frames = {synthetic_frame(seed, source).tobytes() for seed in range(100)}
        assert len(frames) == 100
        assert synthetic_frame(2**40 + 1, source).tobytes() == synthetic_frame(2**40 + 1, source).tobytes()


def test_synthetic_pictures_use_the_whole_range() -> None:
    """Slopes, blocks and noise put every entry of a table to the test."""
    assert len(np.unique(synthetic_frame(0, FrameFormat("RGB", 480, 640)))) == 256


def test_synthetic_windows_hold_many_magnitudes() -> None:
    """So that any scale a model may have is put to the test: from below 0.01 to above 100, both signs, all finite."""
    sizes = np.abs(window := synthetic_frame(0, WindowFormat(200, 3)))
    assert np.isfinite(window).all()
    assert sizes[sizes > 0].min() < 0.01
    assert sizes.max() > 100
    assert (window > 0).any()
    assert (window < 0).any()
