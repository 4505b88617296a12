"""Frames and samples from a child's stdout; every way that a child can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.command import _DTYPES, Command, CommandOptions

from .conftest import HEIGHT, WIDTH


def _python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def _frames(command: str | tuple[str, ...], **options: object) -> Command:
    return Command(CommandOptions(command=command, width=8, height=4, **options))  # type: ignore[arg-type]


def _alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(condition: Callable[[], bool]) -> None:
    """The test's own time limit is the deadline."""
    while not condition():
        time.sleep(0.01)


def test_raw_frames_of_ffmpeg_are_the_pictures_of_the_video(ffmpeg: str, video: Path) -> None:
    """``ffmpeg -f rawvideo`` piped in gives ten frames and the end; a path with a space survives the quoting."""
    source = Command(CommandOptions(command=f"{ffmpeg} -v error -i '{video}' -f rawvideo -pix_fmt bgr24 -", width=WIDTH,
                                    height=HEIGHT, live=False))
    assert source.format() == FrameFormat("BGR", HEIGHT, WIDTH)
    raw = subprocess.run([ffmpeg, "-v", "error", "-i", str(video), "-f", "rawvideo", "-pix_fmt", "bgr24", "-"],
                         capture_output=True, check=True).stdout
    frame, played = Frame(source.format()), b""
    source.open()
    while source.read_into(frame):
        played += frame.memory.tobytes()
    source.close()
    assert played == raw
    assert len(raw) == 10 * WIDTH * HEIGHT * 3


def test_a_planar_format_is_read_as_it_comes(ffmpeg: str, video: Path) -> None:
    """NV12 of ffmpeg, converted by OpenCV, is close to the picture."""
    source = Command(CommandOptions(command=(ffmpeg, "-v", "error", "-i", str(video), "-f", "rawvideo", "-pix_fmt", "nv12", "-"),
                                    width=WIDTH, height=HEIGHT, pixel_format="NV12", live=False))
    frame = Frame(source.format())
    source.open()
    assert source.read_into(frame)
    source.close()
    picture = cv2.VideoCapture(str(video)).read()[1].astype(int)
    assert np.abs(cv2.cvtColor(frame.view, cv2.COLOR_YUV2BGR_NV12).astype(int) - picture).mean() < 12


def test_a_frame_larger_than_any_pipe_is_put_together() -> None:
    """A picture of 6 MB arrives in many reads."""
    source = Command(CommandOptions(command=_python("import sys; sys.stdout.buffer.write(bytes(range(250)) * 24884)"),
                                    width=1920, height=1080, live=False))
    frame = Frame(source.format())
    source.open()
    content = bytes(range(250)) * 24884
    delivered = source.read_into(frame)
    source.close()
    assert delivered is (len(content) >= frame.memory.nbytes)
    assert frame.memory.tobytes() == content[: frame.memory.nbytes]


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("normalise", [True, False])
def test_samples_of_every_dtype_come_as_float32(tmp_path: Path, dtype: str, normalise: bool) -> None:
    """Full scale is -1 to just below 1 when normalised, and the counts themselves when not; floats are left alone."""
    stored = np.dtype(_DTYPES[dtype][0])
    if stored.kind == "f":
        values, expected = np.array([-2.5, -1, 0, 0.5, 1e6]), np.array([-2.5, -1, 0, 0.5, 1e6])
    else:
        limits = np.iinfo(stored)
        values = np.array([limits.min, limits.min // 2 + 1, 0, limits.max // 2, limits.max], np.float64)
        half = 2.0 ** (8 * stored.itemsize - 1)
        expected = (values - (half if stored.kind == "u" else 0)) / half if normalise else values
    path = tmp_path / "raw"
    path.write_bytes(values.astype(stored).tobytes())
    source = Command(CommandOptions(command=("cat", str(path)), dtype=dtype, normalise=normalise, live=False))  # type: ignore[arg-type]
    samples = np.full((9, 1), np.nan, np.float32)
    source.open()
    assert source.read_into(samples) == 5
    assert source.read_into(samples) == 0
    source.close()
    assert np.array_equal(samples[:5, 0], expected.astype(np.float32))


def test_channels_are_interleaved_and_longer_reads_than_the_scratch_work(tmp_path: Path) -> None:
    """100 000 samples of three channels, read in uneven pieces into the middle of other arrays."""
    values = np.random.default_rng(3).standard_normal((100_000, 3)).astype("<f4")
    path = tmp_path / "raw"
    path.write_bytes(values.tobytes())
    source = Command(CommandOptions(command=("cat", str(path)), dtype="f32le", channels=3, rate=50, live=False))
    assert source.format() == SampleFormat(3, 50)
    assert source.yields == "samples"
    read, target, source_end = 0, np.zeros((100_100, 3), np.float32), False
    source.open()
    for piece in (1, 70_000, 7, 40_000):
        read += source.read_into(target[read : read + piece])
    source_end = source.read_into(target[:10]) == 0
    source.close()
    assert read == 100_000
    assert source_end
    assert np.array_equal(target[10:read], values[10:])


def test_a_missing_program_is_told_with_how_to_install_it(fails: Callable[..., str]) -> None:
    """The name, and a command to paste; a folder that cannot be run is told as well."""
    fails(_frames("no-such-program --flag").open, "no-such-program: expected a program on PATH", "sudo apt install no-such-program")
    fails(_frames("/tmp").open, "/tmp: expected a program on PATH, got Permission denied")


def test_the_command_is_never_run_by_a_shell() -> None:
    """Semicolons, variables and backquotes are arguments like any other."""
    source = Command(CommandOptions(command="echo ; $HOME `id`", dtype="u8", normalise=False, live=False))
    samples = np.zeros((100, 1), np.float32)
    source.open()
    count = source.read_into(samples)
    assert bytes(samples[:count, 0].astype(np.uint8)) == b"; $HOME `id`\n"
    source.close()


def test_a_death_is_told_with_its_exit_code_and_last_words(fails: Callable[..., str]) -> None:
    """Only the last lines of a long stderr are kept; a replay then finds the end."""
    code = "import sys\nfor i in range(20000): print('line', i, file=sys.stderr)\nprint('no camera found', file=sys.stderr); sys.exit(3)"
    source = _frames(_python(code), live=False)
    source.open()
    frame = Frame(source.format())
    message = fails(lambda: source.read_into(frame), "exit code 3", "no camera found", "line 19999")
    assert len(message) < 1000
    assert not source.read_into(frame)
    source.close()


def test_a_password_in_a_commands_url_is_not_told(fails: Callable[..., str]) -> None:
    """ffmpeg says which address does not answer, as it was given; and so would the hint."""
    url = "rtsp://user:p@ss/secret@camera/live"
    source = _frames(("sh", "-c", f"echo 'Error opening {url}: refused' >&2; exit 3"))
    source.open()
    message = fails(lambda: source.read_into(Frame(source.format())), "rtsp://camera/live: refused", "exit code 3")
    assert "user" not in message
    assert "secret" not in message
    source.close()


def test_a_child_that_is_killed_is_told_by_its_signal(fails: Callable[..., str]) -> None:
    """As the kernel does it when memory is short."""
    source = _frames(_python("import os; os.kill(os.getpid(), 9)"))
    source.open()
    fails(lambda: source.read_into(Frame(source.format())), "its end with signal 9")
    source.close()


def test_a_live_command_that_ends_well_is_an_error_too(fails: Callable[..., str]) -> None:
    """A camera does not end; the hint names the option for what does. Opened again, it delivers again."""
    source = _frames(("head", "-c", "96", "/dev/zero"))
    frame = Frame(source.format())
    for _ in range(2):
        source.open()
        assert source.read_into(frame)
        fails(lambda: source.read_into(frame), "exit code 0", "live: false")
    source.close()


def test_a_stream_that_is_no_whole_number_of_frames_is_an_error(fails: Callable[..., str]) -> None:
    """Most likely the size or the pixel format is another than the command's."""
    source = _frames(("head", "-c", "100", "/dev/zero"), live=False)
    frame = Frame(source.format())
    source.open()
    assert source.read_into(frame)
    fails(lambda: source.read_into(frame), "whole units of 96 bytes, got 4 bytes", "check width, height and pixel_format")
    source.close()


def test_a_silent_child_is_told_after_the_timeout(fails: Callable[..., str]) -> None:
    """It hangs without a byte, though it goes on to complain on stderr."""
    code = "import sys, time\nwhile True: print('waiting', file=sys.stderr, flush=True); time.sleep(0.02)"
    source = _frames(_python(code), timeout_s=0.5)
    source.open()
    fails(lambda: source.read_into(Frame(source.format())), "expected bytes within 0.5 s, got none", "waiting")
    source.close()


def test_a_child_that_closes_its_stdout_and_lives_on_is_ended(fails: Callable[..., str]) -> None:
    """The stream is over, so the child has no use."""
    source = _frames(_python("import os, time; os.close(1); time.sleep(3600)"))
    source.open()
    fails(lambda: source.read_into(Frame(source.format())), "its end with signal 15")
    source.close()


def test_a_child_that_floods_stderr_does_not_block(fails: Callable[..., str]) -> None:
    """More than a pipe holds goes to stderr before the first frame comes."""
    code = "import sys; sys.stderr.write('x' * 500_000); sys.stdout.buffer.write(bytes(96))"
    source = _frames(_python(code), live=False)
    source.open()
    assert source.read_into(Frame(source.format()))
    source.close()


@pytest.mark.parametrize("stubborn", [False, True])
def test_close_ends_the_whole_group_and_leaves_no_zombie(tmp_path: Path, stubborn: bool) -> None:
    """The child, and what the child started, also when they ignore SIGTERM."""
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    note = tmp_path / "pids"
    code = (f"{ignore}import os, subprocess, sys, time\nchild = subprocess.Popen(['sleep', '3600'])\n"
            f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}\\n')\nsys.stdout.buffer.write(bytes(96))\n"
            "sys.stdout.flush()\ntime.sleep(3600)")
    source = _frames(_python(code))
    source.open()
    assert source.read_into(Frame(source.format()))
    pids = [int(word) for word in note.read_text().split()]
    assert all(map(_alive, pids))
    source.close()
    _until(lambda: not any(map(_alive, pids)))
    with pytest.raises(ChildProcessError):
        os.waitpid(pids[0], os.WNOHANG)


def test_an_interrupted_read_of_a_hanging_child_returns_and_is_no_error() -> None:
    """Another thread lets the reader go; the child is ended by close."""
    source = _frames("sleep 3600", timeout_s=3600.0)
    source.open()
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(source.read_into(Frame(source.format()))))
    thread.start()
    source.interrupt()
    thread.join(20)
    assert outcome == [False]
    source.close()


def test_a_child_dies_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    """After SIGKILL nobody closes anything, but nobody reads the pipe either."""
    note = tmp_path / "pid"
    child = f"import os; open({str(note)!r}, 'w').write(str(os.getpid()))\nwhile True: os.write(1, bytes(96))"
    daemon = (f"from edgeinfer.sources.command import *; from edgeinfer.model.frame import Frame\n"
              f"source = Command(Command.Options(command=({sys.executable!r}, '-c', {child!r}), width=8, height=4))\n"
              "source.open(); frame = Frame(source.format())\nprint(source.read_into(frame), flush=True)\n"
              "while True: source.read_into(frame)")
    process = subprocess.Popen(_python(daemon), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "True\n"
    pid = int(note.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    _until(lambda: not _alive(pid))
