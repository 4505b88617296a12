"""A V4L2 camera, through OpenCV."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.sources.videoio import open_capture, read_in_place, size_of

__all__ = ["Camera"]

_FOURCC = {"YUYV": "YUYV", "NV12": "NV12", "I420": "YU12", "GREY": "GREY"}  # names of videodev2.h, taken raw


class CameraOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``pixel_format`` BGR lets OpenCV convert what the camera has; YUYV, NV12, I420 and GREY come raw, as the driver wrote
    them, which saves a conversion where the model wants other colours anyway."""

    device: str | int = "/dev/video0"  # a path (best: /dev/v4l/by-id/…, which survives a reboot) or an index
    width: int = 640  # pixels
    height: int = 480  # pixels
    fps: float = 30.0  # frames a second; the driver takes the nearest it has
    pixel_format: Literal["BGR", "YUYV", "NV12", "I420", "GREY"] = "BGR"
    buffers: int = 2  # frames that the driver holds, 1 or 2: more of them are only older
    timeout_s: float = 5.0  # seconds without a frame until the camera counts as dead; whole seconds, rounded up

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"expected width and height above 0, got {self.width}x{self.height}")
        if self.pixel_format in ("NV12", "I420", "YUYV") and (self.width % 2 or self.height % 2):
            raise ValueError(f"expected an even width and height for {self.pixel_format}, got {self.width}x{self.height}")
        if not 0 < self.fps <= 1000:
            raise ValueError(f"expected fps above 0 and up to 1000, got {self.fps}")
        if self.buffers not in (1, 2):
            raise ValueError(f"expected buffers of 1 or 2, got {self.buffers}")
        if not 0 < self.timeout_s <= 60:
            raise ValueError(f"expected timeout_s above 0 and up to 60, got {self.timeout_s}")

    @property
    def path(self) -> str:
        return f"/dev/video{self.device}" if isinstance(self.device, int) else self.device


class Camera:
    """Frames of a V4L2 device, written in place. All but ``interrupt`` belong to the capture thread.

    OpenCV waits 10 s for a frame, then answers False for ever while it still calls the device open. So the wait is set to
    ``timeout_s`` (OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT: read once in a process, the first camera's value holds for all), and a
    False is a SourceError: the capture loop opens the device anew. A blocked read ends within ``timeout_s``; OpenCV offers
    nothing to end it sooner, so ``interrupt`` does nothing.
    """

    Options = CameraOptions
    yields: ClassVar[Literal["frames", "samples"]] = "frames"
    live = True

    def __init__(self, options: CameraOptions) -> None:
        self._options = options
        self._format = FrameFormat(options.pixel_format, options.height, options.width)
        self._capture: Any = None

    def format(self) -> FrameFormat:
        """What the options ask for; ``open`` makes sure that the camera delivers it."""
        return self._format

    def open(self) -> None:
        """Raises SourceError when there is no such device, it is busy, or it has no such size or pixel format."""
        import cv2

        self.close()
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(math.ceil(self._options.timeout_s)))
        capture = open_capture(self._options.path, cv2.CAP_V4L2)
        if capture is None:
            raise self._does_not_open()
        self._capture = capture
        self._configure(capture)
        try:
            self._check(capture)
        except SourceError:
            self.close()  # or the device would be busy for the next attempt
            raise

    def _configure(self, capture: Any) -> None:
        """Pixel format first and raw delivery last: setting the size opens the device anew, with what was set before."""
        import cv2

        options = self._options
        if options.pixel_format in _FOURCC:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*_FOURCC[options.pixel_format]))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.height)
        capture.set(cv2.CAP_PROP_FPS, options.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, options.buffers)
        if options.pixel_format in _FOURCC:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)

    def _check(self, capture: Any) -> None:
        """The driver answers a size or a pixel format that it lacks with the nearest that it has."""
        import cv2

        options = self._options
        hint = f"v4l2-ctl -d {options.path} --list-formats-ext"
        height, width = size_of(capture)
        if (height, width) != (options.height, options.width):
            raise SourceError(options.path, f"{options.width}x{options.height}", f"{width}x{height}", hint)
        wanted = _FOURCC.get(options.pixel_format)
        code = int(capture.get(cv2.CAP_PROP_FOURCC))
        if wanted and code != cv2.VideoWriter.fourcc(*wanted):
            got = code.to_bytes(4, "little", signed=False).decode("latin-1") if code > 0 else "another"
            raise SourceError(options.path, f"pixel format {wanted}", repr(got), hint)

    def _does_not_open(self) -> SourceError:
        path = self._options.path
        if not Path(path).exists():
            return SourceError(path, "a camera", "no such device", "ls /dev/video*")
        if not os.access(path, os.R_OK | os.W_OK):
            return SourceError(path, "a camera that this user may open", "permission denied", "sudo usermod -aG video $USER")
        return SourceError(path, "a camera that captures video", "a device that does not open: busy, or no camera",
                           f"fuser -v {path}; v4l2-ctl --list-devices")

    def read_into(self, frame: Frame) -> bool:
        """One picture; never the end. Raises SourceError when none comes within ``timeout_s``, or the camera is gone."""
        if not read_in_place(self._capture, frame, self._options.path):
            raise SourceError(self._options.path, "a frame", "none: the camera stalled or was unplugged",
                              "sudo dmesg | tail")
        return True

    def interrupt(self) -> None:
        """Nothing: a read ends by itself, see above."""

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None
