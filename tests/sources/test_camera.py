"""The camera, as far as it can be tried without one: its errors, and its reading over a real video in the device's place.

V4L2 itself (what the driver delivers, the wait for a frame) needs a device, such as the kernel's vivid; with one,
EDGEINFER_CAMERA=/dev/video0 runs the last test.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.sources import camera
from edgeinfer.sources.camera import Camera, CameraOptions

from .conftest import HEIGHT, WIDTH


@pytest.fixture
def played(video: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Opens the video in place of any device; what was asked for."""
    asked: list[tuple[str, int]] = []

    def open_capture(source: str, backend: int) -> Any:
        asked.append((source, backend))
        return cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)

    monkeypatch.setattr(camera, "open_capture", open_capture)
    monkeypatch.delenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", raising=False)
    return asked


def test_a_missing_camera_is_told_with_what_to_try(fails: Callable[..., str]) -> None:
    """The path, that there is no such device, and how to see which there are."""
    source = Camera(CameraOptions(device="/dev/video99"))
    fails(source.open, "/dev/video99: expected a camera, got no such device", "ls /dev/video*")
    fails(Camera(CameraOptions(device=99)).open, "/dev/video99")


def test_what_is_no_camera_is_told(tmp_path: Path, fails: Callable[..., str]) -> None:
    """A file that is there and no video device does not open."""
    path = tmp_path / "video0"
    path.write_bytes(b"")
    fails(Camera(CameraOptions(device=str(path))).open, "captures video", "v4l2-ctl --list-devices")


def test_the_format_is_what_the_options_ask_for() -> None:
    """Known without opening the device, raw or converted."""
    assert Camera(CameraOptions()).format() == FrameFormat("BGR", 480, 640)
    assert Camera(CameraOptions(pixel_format="NV12", width=320, height=240)).format().shape == (360, 320)
    assert Camera(CameraOptions()).live


def test_frames_are_written_in_place_and_a_camera_that_stops_is_an_error(
        played: list[tuple[str, int]], fails: Callable[..., str]) -> None:
    """OpenCV answers False when frames stay away: a SourceError, after which the camera opens again."""
    source = Camera(CameraOptions(device=3, width=WIDTH, height=HEIGHT, timeout_s=2.5))
    frame = Frame(source.format())
    for _ in range(2):
        source.open()
        for _ in range(10):
            frame.memory[:] = 0
            assert source.read_into(frame)
            assert frame.memory.any()
            assert frame.monotonic_ns > 0
        fails(lambda: source.read_into(frame), "/dev/video3: expected a frame, got none")
    source.close()
    assert played == [("/dev/video3", cv2.CAP_V4L2)] * 2
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "3"


def test_a_camera_that_has_no_such_size_is_refused(played: list[tuple[str, int]], fails: Callable[..., str]) -> None:
    """A driver answers with the nearest size that it has, and that is not what memory was made for."""
    source = Camera(CameraOptions(width=640, height=480))
    fails(source.open, f"expected 640x480, got {WIDTH}x{HEIGHT}", "v4l2-ctl -d /dev/video0 --list-formats-ext")


def test_a_camera_that_lacks_the_pixel_format_is_refused(played: list[tuple[str, int]], fails: Callable[..., str]) -> None:
    """Raw frames in another format would be read as noise."""
    source = Camera(CameraOptions(width=WIDTH, height=HEIGHT, pixel_format="YUYV"))
    fails(source.open, "expected pixel format YUYV, got 'MJPG'")


@pytest.mark.skipif("EDGEINFER_CAMERA" not in os.environ, reason="EDGEINFER_CAMERA names no V4L2 device")
@pytest.mark.parametrize("pixel_format", ["BGR", "YUYV"])
def test_a_real_device_delivers_what_was_asked_for(pixel_format: str) -> None:
    """Twenty frames of 320x180 in the format asked for, and again after it was opened anew."""
    source = Camera(CameraOptions(device=os.environ["EDGEINFER_CAMERA"], width=320, height=180, pixel_format=pixel_format))
    frame = Frame(source.format())
    for _ in range(2):
        source.open()
        pictures = set()
        for _ in range(20):
            assert source.read_into(frame)
            pictures.add(frame.memory.tobytes())
        assert len(pictures) > 10
        source.close()
