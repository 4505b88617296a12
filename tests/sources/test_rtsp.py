"""Network cameras: RTSP through the FFmpeg in OpenCV, from a server that speaks TCP only."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edgeinfer.capture import Capture
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.ring import Bell, FrameRing
from edgeinfer.sources.video import Video, VideoOptions
from tests.broker import until
from tests.sources.conftest import HEIGHT, WIDTH
from tests.sources.rtsp import RtspServer, stream


@pytest.fixture(scope="module")
def content(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return stream(ffmpeg, tmp_path_factory.mktemp("rtsp"), WIDTH, HEIGHT)


def _video(port: int, timeout_s: float = 5.0) -> Video:
    return Video(VideoOptions(url=f"rtsp://user:secret@127.0.0.1:{port}/live", width=WIDTH, height=HEIGHT, timeout_s=timeout_s))


def test_a_network_camera_is_asked_for_tcp_and_delivers(content: bytes, free_port: int) -> None:
    """Over UDP pictures come torn where packets are lost."""
    server = RtspServer(free_port, content)
    source = _video(free_port)
    frame = Frame(FrameFormat("BGR", HEIGHT, WIDTH))
    source.open()
    for _ in range(10):
        assert source.read_into(frame)
    assert frame.view.std() > 20, "the test picture, not a blank one"
    assert server.transports
    assert all("RTP/AVP/TCP" in transport for transport in server.transports)
    source.close()
    server.close()


def test_a_camera_that_falls_silent_is_an_error_within_the_time(content: bytes, free_port: int, fails: Callable[..., str]) -> None:
    """The connection stays and nothing comes: a cable that was pulled. The password stays out of the message."""
    server = RtspServer(free_port, content)
    source = _video(free_port, timeout_s=1.0)
    frame = Frame(FrameFormat("BGR", HEIGHT, WIDTH))
    source.open()
    assert source.read_into(frame)
    server.stall.set()
    started = time.monotonic()

    def read_on() -> None:
        while source.read_into(frame):
            assert time.monotonic() - started < 30

    assert "secret" not in fails(read_on, "expected a frame", "within 1 s")
    source.close()
    server.close()


def test_a_camera_that_restarts_is_connected_to_again(content: bytes, free_port: int) -> None:
    """By the capture loop, as often as it takes."""
    server = RtspServer(free_port, content)
    source = _video(free_port, timeout_s=2.0)
    capture = Capture("door", source, FrameRing(source.format(), Bell()))
    capture.start()
    until(lambda: capture.ring.captured > 3, "frames")
    server.close()
    until(lambda: capture.failures and not capture.working, "the failure", 30)
    server = RtspServer(free_port, content)
    seen = capture.ring.captured
    until(lambda: capture.ring.captured > seen + 3, "frames again", 30)
    capture.stop()
    assert capture.join(20)
    server.close()
