"""Real inputs for the sources, made once in a session."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.errors import SourceError

WIDTH, HEIGHT, FPS = 64, 48, 10


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The program, or the test is skipped."""
    path = shutil.which("ffmpeg")
    if path is None:
        pytest.skip("ffmpeg is not installed: sudo apt install ffmpeg")
    return path


@pytest.fixture(scope="session")
def video(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of FFmpeg's test picture, 64x48, as MJPEG in AVI: each frame stands alone, so that damage stays local."""
    path = tmp_path_factory.mktemp("video") / "ten frames.avi"
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"testsrc=size={WIDTH}x{HEIGHT}:rate={FPS}:duration=1",
                    "-c:v", "mjpeg", "-q:v", "2", str(path)], check=True, timeout=60)
    return path


@pytest.fixture
def fails() -> Callable[..., str]:
    """Calls something that must raise a SourceError whose message has each of the words; the message."""
    def call(action: Callable[[], object], *words: str) -> str:
        with pytest.raises(SourceError) as caught:
            action()
        message = str(caught.value)
        for word in words:
            assert word in message
        return message
    return call


@pytest.fixture
def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
