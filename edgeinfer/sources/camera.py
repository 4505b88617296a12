"""A V4L2 camera."""

from __future__ import annotations

import time
import zlib
from typing import ClassVar, Literal

import msgspec

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.sources.pixels import BGR_FROM, FOURCC, Unpack, unpacking
from edgeinfer.sources.v4l2 import Device, Picture, PixelLayout, Wake

__all__ = ["Camera"]


class CameraOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``pixel_format`` BGR lets OpenCV convert what the camera has; YUYV, NV12, I420 and GREY come raw, as the driver wrote
    them, which saves a conversion where the model wants other colours anyway."""

    device: str | int = "/dev/video0"  # a path (best: /dev/v4l/by-id/…, which survives a reboot) or an index
    width: int = 640  # pixels
    height: int = 480  # pixels
    fps: float = 30.0  # frames a second; the driver takes the nearest it has
    pixel_format: Literal["BGR", "YUYV", "NV12", "I420", "GREY"] = "BGR"
    buffers: int = 2  # frames that the driver holds, 1 or 2: more of them are only older
    timeout_s: float = 2.0  # seconds without a frame until the camera counts as dead
    frozen_s: float = 0.0  # seconds of the very same picture until the camera counts as dead; 0: that is no fault

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
        if not 0 <= self.frozen_s <= 86400:
            raise ValueError(f"expected frozen_s from 0 to 86400, got {self.frozen_s}")

    @property
    def path(self) -> str:
        return f"/dev/video{self.device}" if isinstance(self.device, int) else self.device


class Camera:
    """Frames of a V4L2 device, written in place. All but ``interrupt`` belong to the capture thread.

    No frame for ``timeout_s`` is a SourceError, and so is at once what the driver reports: unplugged, in error, another size.
    The capture loop then opens the device anew. A buffer that the driver marks as damaged, or that is no whole picture, is
    counted and is not a frame. A frame's time is when the driver took it, where its clock is CLOCK_MONOTONIC.
    """

    Options = CameraOptions
    yields: ClassVar[Literal["frames", "samples"]] = "frames"
    live = True
    retry_s: ClassVar[float] = 2.0  # the longest wait before a camera that failed is tried again

    def __init__(self, options: CameraOptions) -> None:
        self.damaged = 0
        self.missed = 0
        self._options = options
        self._format = FrameFormat(options.pixel_format, options.height, options.width)
        self._wake = Wake()
        self._device: Device | None = None
        self._unpack: Unpack | None = None
        self._last_sum, self._same_since = -1, 0.0

    def format(self) -> FrameFormat:
        """What the options ask for; ``open`` makes sure that the camera delivers it."""
        return self._format

    def counts(self) -> dict[str, int]:
        """For health: pictures that came damaged, and that the driver took but had no buffer for. Any thread."""
        return {"damaged": self.damaged, "missed": self.missed}

    def open(self) -> None:
        """Raises SourceError when there is no such device, it is busy, or it has no such size or pixel format."""
        self.close()
        device = self._device = Device(self._options.path, self._wake)
        try:
            layout = self._negotiate(device)
            device.start(self._options.buffers)
            self._unpack = unpacking(layout, self._options.pixel_format, device.buffers, device.path)
        except SourceError:
            self.close()  # or the device would be busy for the next attempt
            raise

    def _negotiate(self, device: Device) -> PixelLayout:
        """Raw: the one format. BGR: the first that is fast enough of those it can be made from, else the fastest."""
        options = self._options
        raw = FOURCC.get(options.pixel_format)
        if raw:
            return self._agree(device, raw)[0]
        offers: dict[str, float] = {}
        refusals: list[SourceError] = []
        for fourcc in BGR_FROM:
            try:
                layout, rate = self._agree(device, fourcc)
            except SourceError as error:
                refusals.append(error.with_traceback(None))  # which would hold this frame, and the frame the list
                continue
            if rate == 0 or rate >= 0.9 * options.fps:
                return layout
            offers[fourcc] = rate
        if not offers:
            raise next((error for error in refusals if "pixel format" not in str(error)), refusals[0])
        return self._agree(device, max(offers, key=lambda fourcc: offers[fourcc]))[0]

    def _agree(self, device: Device, fourcc: str) -> tuple[PixelLayout, float]:
        """The driver answers a size or a pixel format that it lacks with the nearest that it has: refused."""
        options = self._options
        hint = f"v4l2-ctl -d {options.path} --list-formats-ext"
        layout = device.set_format(fourcc, options.width, options.height)
        if layout.fourcc != fourcc:
            raise SourceError(options.path, f"pixel format {fourcc}", repr(layout.fourcc), hint)
        if (layout.width, layout.height) != (options.width, options.height):
            raise SourceError(options.path, f"{options.width}x{options.height}", f"{layout.width}x{layout.height}", hint)
        return layout, device.set_rate(options.fps)

    def read_into(self, frame: Frame) -> bool:
        """One picture; False only when interrupted. Raises SourceError when none comes within ``timeout_s``, when all that
        come are damaged, when the picture has not changed for ``frozen_s``, or when the camera is gone."""
        device, unpack = self._device, self._unpack
        if device is None or unpack is None:
            raise RuntimeError("the camera is read before it is opened")
        deadline = time.monotonic() + self._options.timeout_s
        late = "none: the camera stalled"
        while device.wait(deadline, late):
            picture = device.take()
            if picture is None:
                continue
            self.missed += picture.missed
            whole = not picture.damaged and unpack(picture.buffer, picture.size, frame)
            device.give_back(picture.buffer)
            if whole:
                self._stamp(frame, picture)
                if self._options.frozen_s:
                    self._check_frozen(frame)
                return True
            self.damaged += 1
            late = "damaged ones only: try another cable or USB port"
        return False

    def _stamp(self, frame: Frame, picture: Picture) -> None:
        """The driver's time, unless it is nonsense (some count from their own start)."""
        now = time.monotonic_ns()
        age = now - picture.monotonic_ns
        if not 0 <= age <= 60 * 10**9:
            age = 0
        frame.monotonic_ns = now - age
        frame.wall_ns = time.time_ns() - age

    def _check_frozen(self, frame: Frame) -> None:
        """A live sensor is never without noise. What is the same is remembered over ``open``: opening may not help."""
        now = time.monotonic()
        checksum = zlib.crc32(frame.memory.data)
        if checksum != self._last_sum:
            self._last_sum, self._same_since = checksum, now
        elif now - self._same_since >= self._options.frozen_s:
            raise SourceError(self._options.path, "pictures that change", f"the same one for {now - self._same_since:.0f} s",
                              "frozen_s: 0 allows a picture that stands still")

    def interrupt(self) -> None:
        """Make a read return at once; any thread."""
        self._wake.set()

    def close(self) -> None:
        unpack, self._unpack = self._unpack, None
        if unpack is not None:
            unpack.close()
        device, self._device = self._device, None
        if device is not None:
            device.close()
        self._wake.close()
