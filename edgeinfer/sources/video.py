"""A video file or a network stream, decoded by the FFmpeg in OpenCV."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.sources.pacing import Pace
from edgeinfer.sources.videoio import open_capture, read_in_place, size_of

__all__ = ["Video"]

_URL = re.compile(r"(rtsps?|https?|rtmp|srt|udp|tcp)://\S+")
_FASTEST_FPS = 1000.0  # some files state 90000, the unit of their time stamps


class VideoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either ``path`` or ``url``. A stream's size must be stated, since memory is counted before anything is opened."""

    path: str = ""
    url: str = ""  # rtsp://user:password@host/… and the like; RTSP goes over TCP, which is OpenCV's own preference
    width: int = 0  # pixels, of a stream only
    height: int = 0  # pixels, of a stream only
    loop: bool = False  # a file begins anew at its end
    pace: Literal["realtime", "fast"] = "realtime"  # a file at its own frame rate, or as fast as the reader
    timeout_s: float = 10.0  # seconds to open, and between two frames

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.url):
            raise ValueError(f"expected either path or url, got {'both' if self.path else 'neither'}")
        if self.url and not _URL.fullmatch(self.url):
            raise ValueError("expected url to be rtsp://, http://, rtmp://, srt://, udp:// or tcp://, got another scheme")
        if self.url and (self.width < 1 or self.height < 1):
            raise ValueError(f"expected the width and height of the stream, got {self.width}x{self.height}")
        if self.path and (self.width or self.height):
            raise ValueError("expected width and height with a url only, got them with a path, which states its own")
        if self.url and self.loop:
            raise ValueError("expected loop with a path only, got a url")
        if not 0 < self.timeout_s <= 600:
            raise ValueError(f"expected timeout_s above 0 and up to 600, got {self.timeout_s}")


class Video:
    """BGR frames, written in place. A stream (``url``) never ends: its end is a SourceError, and the capture loop connects
    again. A damaged file plays as far as FFmpeg can decode it. A blocked read of a stream ends within ``timeout_s``.
    """

    Options = VideoOptions
    yields: ClassVar[Literal["frames", "samples"]] = "frames"

    def __init__(self, options: VideoOptions) -> None:
        self.live = bool(options.url) or options.pace == "realtime"
        self._options = options
        self._where = _shown(options.url) if options.url else options.path
        self._pace = Pace()
        self._gap_s = 0.0
        self._capture: Any = None
        self._delivered = 0

    def format(self) -> FrameFormat:
        """A file is opened for its size. Raises SourceError when it is no video."""
        if self._options.url:
            return FrameFormat("BGR", self._options.height, self._options.width)
        capture = self._open()
        try:
            return FrameFormat("BGR", *size_of(capture))
        finally:
            capture.release()

    def open(self) -> None:
        """Raises SourceError when there is no such file, it is no video, or the stream is not there."""
        import cv2

        self.close()
        self._capture = self._open()
        self._delivered = 0
        self._pace.start()
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        known = math.isfinite(fps) and 0 < fps <= _FASTEST_FPS
        paced = self._options.path and self._options.pace == "realtime"
        self._gap_s = 1 / (fps if known else 25.0) if paced else 0.0

    def _open(self) -> Any:
        import cv2

        path, milliseconds = self._options.path, math.ceil(1000 * self._options.timeout_s)
        if path and not Path(path).is_file():
            raise SourceError(path, "a video file", "a folder" if Path(path).is_dir() else "no such file", f"ls -l {path}")
        if not _is_utf8(path):  # OpenCV ends the process on it
            raise SourceError(repr(path), "a file whose name is UTF-8", "another one", "mv gives it a new name")
        timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds)
        # an absolute path: FFmpeg would take "concat:…" for a protocol
        capture = open_capture(self._options.url or str(Path(path).absolute()), cv2.CAP_FFMPEG, timeouts)
        if capture is None and self._options.url:
            raise SourceError(self._where, f"a stream that opens within {self._options.timeout_s:g} s", "none",
                              "is it on, are user and password right? ffprobe -rtsp_transport tcp URL")
        if capture is None:
            raise SourceError(self._where, "a video that FFmpeg decodes", "one that does not open", f"ffprobe '{self._where}'")
        if min(size_of(capture)) < 1:
            capture.release()
            raise SourceError(self._where, "a video that states its size", "none", f"ffprobe '{self._where}'")
        return capture

    def read_into(self, frame: Frame) -> bool:
        """One picture, at its time; False at the end of a file, or when interrupted. Raises SourceError."""
        if not self._pace.wait(self._gap_s):
            return False
        if read_in_place(self._capture, frame, self._where) or (self._rewind() and self._first(frame)):
            self._delivered += 1
            return True
        if self._options.url:
            raise SourceError(self._where, "a frame", f"none within {self._options.timeout_s:g} s, or the end of the stream",
                              "ffprobe -rtsp_transport tcp URL")
        if self._delivered == 0:
            self._delivered = -1  # told once: the reader of a replay goes on, and finds the end
            raise self._no_frame()
        return False

    def _rewind(self) -> bool:
        """Open anew instead of seeking, which not every container can."""
        if not (self._options.loop and self._delivered > 0):
            return False
        self._capture.release()
        self._capture = self._open()
        return True

    def _first(self, frame: Frame) -> bool:
        if not read_in_place(self._capture, frame, self._where):
            raise self._no_frame()
        return True

    def _no_frame(self) -> SourceError:
        return SourceError(self._where, "at least one frame", "none that can be decoded", f"ffprobe '{self._where}'")

    @property
    def share(self) -> float:
        """How much of the file was read, from 0 to 1; 0 where it does not say how long it is."""
        import cv2

        if self._capture is None or (count := self._capture.get(cv2.CAP_PROP_FRAME_COUNT)) < 1:
            return 0.0
        return min(1.0, float(self._capture.get(cv2.CAP_PROP_POS_FRAMES) / count))

    def interrupt(self) -> None:
        self._pace.interrupt()

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _is_utf8(path: str) -> bool:
    return not any("\udc80" <= sign <= "\udcff" for sign in str(Path(path).absolute()))


def _shown(url: str) -> str:
    """Scheme, host and port: a password may stand before them, with any signs, and in the path or the query of some cameras."""
    scheme, _, rest = url.partition("://")
    host = re.split("[/?#]", rest.rpartition("@")[2], maxsplit=1)[0]
    return f"{scheme}://{host}/…"
