"""Video files, whole and damaged, and streams."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.sources.video import Video, VideoOptions

from .conftest import FPS, HEIGHT, WIDTH


def _play(source: Video, most: int = 1000) -> list[np.ndarray]:
    """Every frame up to the end."""
    source.open()
    frame = Frame(source.format())
    memory = frame.view
    pictures = []
    while len(pictures) < most and source.read_into(frame):
        assert frame.view is memory
        pictures.append(frame.view.copy())
    source.close()
    return pictures


def test_a_file_plays_as_opencv_decodes_it(video: Path) -> None:
    """The ten frames of the file, in BGR, in order, written into the frame's own memory; then the end."""
    capture = cv2.VideoCapture(str(video))
    expected = [capture.read()[1] for _ in range(10)]
    source = Video(VideoOptions(path=str(video), pace="fast"))
    assert source.format() == FrameFormat("BGR", HEIGHT, WIDTH)
    pictures = _play(source)
    assert len(pictures) == 10
    assert all(np.array_equal(*pair) for pair in zip(pictures, expected, strict=True))
    assert not np.array_equal(pictures[0], pictures[9])


def test_the_real_pace_is_that_of_the_file(video: Path) -> None:
    """Four frames of ten a second take at least three tenths; a fast replay is not live."""
    source = Video(VideoOptions(path=str(video)))
    assert source.live
    assert not Video(VideoOptions(path=str(video), pace="fast")).live
    frame = Frame(source.format())
    start = time.monotonic_ns()
    source.open()
    for _ in range(4):
        assert source.read_into(frame)
    source.close()
    assert frame.monotonic_ns - start >= 3 / FPS * 1e9


def test_a_loop_begins_anew(video: Path) -> None:
    """The 11th frame of a looped file of ten is the first."""
    pictures = _play(Video(VideoOptions(path=str(video), pace="fast", loop=True)), 25)
    assert len(pictures) == 25
    assert np.array_equal(pictures[0], pictures[10])
    assert np.array_equal(pictures[4], pictures[24])


def test_what_is_no_video_is_refused(tmp_path: Path, fails: Callable[..., str]) -> None:
    """Noise, an empty file and a text are one SourceError each, at ``format`` and at ``open``."""
    noise = np.random.default_rng(1).bytes(5000)
    for name, content in (("noise.mp4", noise), ("empty.mp4", b""), ("text.avi", b"no video\n" * 99)):
        path = tmp_path / name
        path.write_bytes(content)
        source = Video(VideoOptions(path=str(path), loop=True))
        fails(source.format, name, "expected a video that FFmpeg decodes", "ffprobe")
        fails(source.open, name)


def test_a_folder_is_no_video(tmp_path: Path, fails: Callable[..., str]) -> None:
    """It is called a folder."""
    fails(Video(VideoOptions(path=str(tmp_path))).open, "expected a video file, got a folder")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("loop", [False, True])
def test_a_truncated_video_ends(video: Path, tmp_path: Path, kept: float, loop: bool) -> None:
    """What is whole is played, and then the stream is over: no error, no endless loop; ``loop`` plays it anew."""
    path = tmp_path / "cut.avi"
    content = video.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    pictures = _play(Video(VideoOptions(path=str(path), pace="fast", loop=loop)), 30)
    assert len(pictures) == 30 if loop else 1 <= len(pictures) <= 10


def test_a_video_of_which_nothing_can_be_decoded_is_an_error_not_an_endless_loop(
        video: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    """The header is whole and every picture is overwritten: one SourceError, then the end, though ``loop`` is set."""
    content = bytearray(video.read_bytes())
    first, index = content.index(b"movi") + 4, content.index(b"idx1")
    noise = np.random.default_rng(2).bytes(index - first)
    content[first:index] = noise
    path = tmp_path / "damaged.avi"
    path.write_bytes(content)
    source = Video(VideoOptions(path=str(path), pace="fast", loop=True))
    frame = Frame(FrameFormat("BGR", HEIGHT, WIDTH))
    source.open()
    fails(lambda: source.read_into(frame), "expected at least one frame")
    assert not source.read_into(frame)
    source.close()


def test_a_name_in_another_encoding_is_an_error(tmp_path: Path, fails: Callable[..., str]) -> None:
    """OpenCV would end the process on it."""
    (tmp_path / "caf\udce9.avi").write_bytes(b"RIFF")
    fails(Video(VideoOptions(path=str(tmp_path / "caf\udce9.avi"))).format, "caf", "a file whose name is UTF-8")


@pytest.mark.parametrize("hidden", ["user:secret@{}/live", "user:p@secret@{}", "user:p/secret@{}/live", "{}/live?user=a&password=secret",
                                    "{}/user=admin_password=secret_channel=1.sdp"])
def test_a_stream_that_is_not_there_is_an_error_without_its_password(fails: Callable[..., str], hidden: str) -> None:
    """The size is known without a connection. Cameras have their password before the host, behind it, and in the path."""
    source = Video(VideoOptions(url=f"rtsp://{hidden.format('127.0.0.1:9')}", width=64, height=48, timeout_s=2.0))
    assert source.format() == FrameFormat("BGR", 48, 64)
    assert source.live
    assert "secret" not in fails(source.open, "rtsp://127.0.0.1:9/…", "a stream that opens within 2 s")


def _serve(ffmpeg: str, video: Path, port: int) -> subprocess.Popen[bytes]:
    """FFmpeg as a one-shot TCP server of the file, which waits for one client."""
    return subprocess.Popen([ffmpeg, "-v", "quiet", "-i", str(video), "-c", "copy", "-f", "avi", f"tcp://127.0.0.1:{port}?listen=1"],
                            stdin=subprocess.DEVNULL)


def test_a_stream_delivers_and_its_end_is_an_error(
        ffmpeg: str, video: Path, fails: Callable[..., str], free_port: int) -> None:
    """A live stream has no end: when its server goes, the read raises, so that the capture loop connects again."""
    server = _serve(ffmpeg, video, free_port)
    try:
        source = Video(VideoOptions(url=f"tcp://127.0.0.1:{free_port}", width=WIDTH, height=HEIGHT, timeout_s=5.0))
        frame = Frame(source.format())
        _open_when_there(source)
        for _ in range(10):
            assert source.read_into(frame)
        fails(lambda: source.read_into(frame), "expected a frame")
        source.close()
    finally:
        server.kill()
        server.wait()


def test_a_stream_of_another_size_is_refused(ffmpeg: str, video: Path, fails: Callable[..., str], free_port: int) -> None:
    """Memory was sized for what the options said."""
    server = _serve(ffmpeg, video, free_port)
    try:
        source = Video(VideoOptions(url=f"tcp://127.0.0.1:{free_port}", width=32, height=32, timeout_s=5.0))
        _open_when_there(source)
        fails(lambda: source.read_into(Frame(source.format())), "(32, 32, 3)", f"({HEIGHT}, {WIDTH}, 3)")
        source.close()
    finally:
        server.kill()
        server.wait()


def _open_when_there(source: Video) -> None:
    """As the capture loop does it: again, until the server listens."""
    for _ in range(100):
        try:
            return source.open()
        except SourceError:
            time.sleep(0.05)
    raise AssertionError("the server never listened")
