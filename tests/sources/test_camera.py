"""The camera over a driver that is not there: what it makes of every answer that a kernel can give.

Real drivers (vivid, v4l2loopback) are tried in the virtual machine; with a camera at hand, EDGEINFER_CAMERA=/dev/video0 runs the
last test.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.sources import videodev2 as abi
from edgeinfer.sources.camera import Camera, CameraOptions

from .kernel import Kernel

Fails = Callable[..., str]
WIDTH, HEIGHT = 8, 4
YUYV = bytes(range(WIDTH * HEIGHT * 2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "video0"


@pytest.fixture
def kernel(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A driver that has YUYV without padding."""
    made = Kernel(path, {"YUYV": 2 * WIDTH}).install(monkeypatch)
    yield made
    made.close()


def _camera(kernel: Kernel, **options: object) -> Camera:
    given = {"pixel_format": "YUYV", "width": WIDTH, "height": HEIGHT, "timeout_s": 0.2, **options}
    return Camera(CameraOptions(device=kernel.path, **given))  # type: ignore[arg-type]


@pytest.fixture
def camera(kernel: Kernel) -> Iterator[Camera]:
    """Open."""
    source = _camera(kernel)
    source.open()
    yield source
    source.close()


def test_a_missing_camera_is_told_with_what_to_try(fails: Fails) -> None:
    """The path, that there is no such device, and how to see which there are."""
    fails(Camera(CameraOptions(device="/dev/video99")).open, "/dev/video99: expected a camera, got no such device", "ls /dev/video*")
    fails(Camera(CameraOptions(device=99)).open, "/dev/video99")


def test_what_is_no_camera_is_told(tmp_path: Path, fails: Fails) -> None:
    """A file that is there and no video device does not open."""
    path = tmp_path / "video0"
    path.write_bytes(b"")
    fails(Camera(CameraOptions(device=str(path))).open, "captures video", "v4l2-ctl --list-devices")


@pytest.mark.parametrize("pixel_format", ["BGR", "NV12"])
def test_the_format_is_what_the_options_ask_for(pixel_format: str) -> None:
    """Known without opening the device, raw or converted."""
    source = Camera(CameraOptions(pixel_format=pixel_format, width=320, height=240))
    assert source.format() == FrameFormat(pixel_format, 240, 320)
    assert source.live


@pytest.mark.parametrize(("number", "words"), [(errno.EACCES, "usermod -aG video"), (errno.EBUSY, "busy"), (errno.EIO, "Input/output")])
def test_a_device_that_does_not_open_says_why(kernel: Kernel, number: int, words: str, fails: Fails) -> None:
    """Rights, another program that has it, and the rest."""
    kernel.fails[0] = number
    fails(_camera(kernel).open, kernel.path, words)


@pytest.mark.parametrize("request_", [abi.VIDIOC_REQBUFS, abi.VIDIOC_STREAMON, abi.VIDIOC_S_FMT, abi.VIDIOC_QUERYBUF])
def test_a_device_that_another_program_streams_from_is_busy(kernel: Kernel, request_: int, fails: Fails) -> None:
    """Whichever request tells it; and it is let go, for the next attempt."""
    kernel.fails[request_] = errno.EBUSY
    source = _camera(kernel)
    before = len(os.listdir("/proc/self/fd"))
    fails(source.open, "busy", "fuser -v")
    kernel.fails.clear()
    source.open()
    source.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 6  # the fake's own


def test_a_device_that_only_plays_video_is_no_camera(kernel: Kernel, fails: Fails) -> None:
    """An output, or the metadata node that many a webcam has beside its camera."""
    kernel.capabilities = abi.CAP_STREAMING
    fails(_camera(kernel).open, "captures video")


def test_a_camera_that_has_no_such_size_is_refused(kernel: Kernel, fails: Fails) -> None:
    """A driver answers with the nearest size that it has, and that is not what memory was made for."""
    for pixel_format in ("YUYV", "BGR"):
        source = _camera(kernel, width=640, height=480, pixel_format=pixel_format)
        fails(source.open, f"expected 640x480, got {WIDTH}x{HEIGHT}", "--list-formats-ext")


def test_a_camera_that_lacks_the_pixel_format_is_refused(kernel: Kernel, fails: Fails) -> None:
    """Raw frames in another format would be read as noise."""
    fails(_camera(kernel, pixel_format="NV12").open, "expected pixel format NV12, got 'YUYV'")


# pixel format, V4L2's name, bytes a row with padding, (rows, bytes of pixels, bytes with padding) of each plane
PADDED = [("YUYV", "YUYV", 24, [(4, 16, 24)]), ("GREY", "GREY", 10, [(4, 8, 10)]), ("NV12", "NV12", 12, [(6, 8, 12)]),
          ("I420", "YU12", 12, [(4, 8, 12), (4, 4, 6)])]


@pytest.mark.parametrize("padded", [False, True], ids=["as it is", "padded"])
@pytest.mark.parametrize(("wanted", "fourcc", "stride", "planes"), PADDED, ids=[row[0] for row in PADDED])
def test_raw_frames_are_the_pixels_without_the_padding(
        kernel: Kernel, wanted: str, fourcc: str, stride: int, planes: list[tuple[int, int, int]], padded: bool) -> None:
    """Rows are as long as the driver says (bytesperline); what it pads them with is not in the frame."""
    kernel.has = {fourcc: stride if padded else planes[0][1]}
    source = _camera(kernel, pixel_format=wanted)
    source.open()
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (rows, size), np.uint8) for rows, size, _ in planes]
    buffer = b"".join(np.pad(plane, ((0, 0), (0, length - size if padded else 0)), constant_values=99).tobytes()
                      for plane, (_, size, length) in zip(pixels, planes, strict=True))
    frame = Frame(source.format())
    kernel.fill(buffer)
    assert source.read_into(frame)
    assert frame.memory.tobytes() == b"".join(plane.tobytes() for plane in pixels)
    source.close()


CONVERTED = {"YUYV": (2, cv2.COLOR_YUV2BGR_YUYV, (HEIGHT, WIDTH, 2)), "UYVY": (2, cv2.COLOR_YUV2BGR_UYVY, (HEIGHT, WIDTH, 2)),
             "NV12": (1, cv2.COLOR_YUV2BGR_NV12, (HEIGHT * 3 // 2, WIDTH)), "YU12": (1, cv2.COLOR_YUV2BGR_I420, (HEIGHT * 3 // 2, WIDTH)),
             "RGB3": (3, cv2.COLOR_RGB2BGR, (HEIGHT, WIDTH, 3)), "GREY": (1, cv2.COLOR_GRAY2BGR, (HEIGHT, WIDTH)),
             "BGR3": (3, None, (HEIGHT, WIDTH, 3))}


@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("fourcc", CONVERTED)
def test_bgr_is_made_from_whatever_the_camera_has(kernel: Kernel, fourcc: str, padding: int) -> None:
    """By OpenCV's conversion, into the frame's own memory, with padded rows too."""
    bytes_a_pixel, code, shape = CONVERTED[fourcc]
    stride = bytes_a_pixel * WIDTH + padding
    kernel.has = {fourcc: stride}
    source = _camera(kernel, pixel_format="BGR")
    source.open()
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    rows = pixels.reshape(shape[0], -1)
    if fourcc == "YU12" and padding:
        chroma = np.pad(rows[HEIGHT:].reshape(HEIGHT, -1), ((0, 0), (0, padding // 2)))
        kernel.fill(np.pad(rows[:HEIGHT], ((0, 0), (0, padding))).tobytes() + chroma.tobytes())
    else:
        kernel.fill(np.pad(rows, ((0, 0), (0, padding))).tobytes())
    frame = Frame(source.format())
    assert source.read_into(frame)
    np.testing.assert_array_equal(frame.view, pixels if code is None else cv2.cvtColor(pixels, code))
    source.close()


def test_a_jpeg_is_decoded_and_half_of_one_is_no_frame(kernel: Kernel) -> None:
    """What a USB camera sends on a bad cable is counted as damaged."""
    kernel.has = {"MJPG": 0}
    source = _camera(kernel, pixel_format="BGR", width=32, height=16)
    kernel.width, kernel.height = 32, 16
    source.open()
    picture = np.full((16, 32, 3), (200, 100, 50), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    frame = Frame(source.format())
    kernel.fill(b"")
    kernel.fill(b"\xff\xd8 no jpeg")
    reading = threading.Thread(target=lambda: source.read_into(frame))
    reading.start()
    deadline = time.monotonic() + 10
    while not kernel.queued and time.monotonic() < deadline:
        time.sleep(0.001)
    kernel.fill(jpeg)
    reading.join(10)
    assert source.damaged == 2
    np.testing.assert_allclose(frame.view.astype(int), picture, atol=3)
    source.close()


RATES = [({"YUYV": 30.0, "MJPG": 30.0}, "YUYV"), ({"YUYV": 5.0, "MJPG": 30.0}, "MJPG"), ({"YUYV": 5.0, "MJPG": 10.0}, "MJPG"),
         ({"YUYV": 10.0, "MJPG": 5.0}, "YUYV")]


@pytest.mark.parametrize(("rates", "chosen"), RATES)
def test_bgr_is_made_from_the_format_that_is_fast_enough(kernel: Kernel, rates: dict[str, float], chosen: str) -> None:
    """A USB camera has few uncompressed frames a second at a large size: then JPEG is taken; else what needs no decoding."""
    kernel.has = {"YUYV": 2 * WIDTH, "MJPG": 0}
    kernel.rates = rates
    source = _camera(kernel, pixel_format="BGR", fps=30.0)
    source.open()
    assert kernel.fourcc == chosen
    source.close()


def test_a_buffer_that_the_driver_calls_damaged_is_no_frame(kernel: Kernel, camera: Camera) -> None:
    """V4L2_BUF_FLAG_ERROR: counted, given back, and the next one is taken. So is one that is not full."""
    frame = Frame(camera.format())
    kernel.fill(bytes(len(YUYV)), flags=abi.BUF_FLAG_ERROR)
    kernel.fill(YUYV)
    assert camera.read_into(frame)
    assert frame.memory.tobytes() == YUYV
    kernel.fill(YUYV[:-1])
    kernel.fill(YUYV)
    assert camera.read_into(frame)
    assert camera.counts() == {"damaged": 2, "missed": 0}


def test_only_damaged_buffers_are_an_error_in_the_end(kernel: Kernel, camera: Camera, fails: Fails) -> None:
    """A cable that lets nothing through whole is a camera that does not deliver."""
    stopping = threading.Event()

    def damage() -> None:
        while not stopping.wait(0.005):
            if kernel.queued:
                kernel.fill(YUYV, flags=abi.BUF_FLAG_ERROR)

    driver = threading.Thread(target=damage)
    driver.start()
    fails(lambda: camera.read_into(Frame(camera.format())), "damaged ones only")
    stopping.set()
    driver.join()


def test_pictures_that_the_driver_had_no_buffer_for_are_counted(kernel: Kernel, camera: Camera) -> None:
    """By the gaps in its numbers, over their wrap at 32 bits; a driver that counts anew missed none."""
    frame = Frame(camera.format())
    for start, skipped in ((0, 0), (1, 3), (2**32 - 2, 0), (2**32 - 1, 2)):
        kernel.sequence = start if skipped == 0 else kernel.sequence
        kernel.fill(YUYV, skipped=skipped)
        assert camera.read_into(frame)
    assert camera.missed == 3 + 2


def test_a_frame_has_the_time_of_the_driver(kernel: Kernel, camera: Camera) -> None:
    """Where its clock is CLOCK_MONOTONIC and what it says can be; the wall clock's time goes back by the same."""
    frame = Frame(camera.format())
    taken = (time.monotonic_ns() - 50_000_000) // 1000 * 1000
    kernel.fill(YUYV, flags=abi.BUF_FLAG_TIMESTAMP_MONOTONIC, stamp_ns=taken)
    assert camera.read_into(frame)
    assert frame.monotonic_ns == taken
    assert time.time_ns() - frame.wall_ns >= 50_000_000
    for flags, stamp in ((0, taken), (abi.BUF_FLAG_TIMESTAMP_MONOTONIC, 1000), (abi.BUF_FLAG_TIMESTAMP_MONOTONIC, 2**62)):
        before = time.monotonic_ns()
        kernel.fill(YUYV, flags=flags, stamp_ns=stamp)
        assert camera.read_into(frame)
        assert before <= frame.monotonic_ns <= time.monotonic_ns()


def test_a_camera_that_stalls_is_an_error_after_its_time(camera: Camera, fails: Fails) -> None:
    """No frame within ``timeout_s``; each read waits anew."""
    for _ in range(2):
        fails(lambda: camera.read_into(Frame(camera.format())), "expected a frame, got none: the camera stalled")


@pytest.mark.timeout(30)
def test_a_camera_that_is_unplugged_is_an_error_at_once_and_opens_again(kernel: Kernel, fails: Fails) -> None:
    """POLLHUP and POLLERR are not waited out; then the device is back."""
    source = _camera(kernel, timeout_s=60.0)
    frame = Frame(source.format())
    for _ in range(2):
        source.open()
        kernel.fill(YUYV)
        assert source.read_into(frame)
        kernel.unplug()
        fails(lambda: source.read_into(frame), "unplugged")
    source.close()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("request_", [abi.VIDIOC_DQBUF, abi.VIDIOC_QBUF])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENODEV, errno.EINVAL])
def test_a_request_that_fails_is_an_error_at_once(kernel: Kernel, request_: int, number: int, fails: Fails) -> None:
    """Whichever the driver answers so."""
    source = _camera(kernel, timeout_s=60.0)
    source.open()
    kernel.fill(YUYV)
    kernel.fails[request_] = number
    fails(lambda: source.read_into(Frame(source.format())), os.strerror(number))
    source.close()


@pytest.mark.timeout(30)
def test_a_camera_that_changes_its_size_is_opened_anew_and_then_refused(kernel: Kernel, fails: Fails) -> None:
    """The driver tells of it by an event; the size that it has then is not the one asked for."""
    source = _camera(kernel, timeout_s=60.0)
    source.open()
    kernel.width = 2 * WIDTH
    kernel.tell(abi.EVENT_SOURCE_CHANGE)
    fails(lambda: source.read_into(Frame(source.format())), "a change of its size")
    fails(source.open, f"expected {WIDTH}x{HEIGHT}, got {2 * WIDTH}x{HEIGHT}")


def test_buffers_smaller_than_the_picture_are_refused(kernel: Kernel, fails: Fails) -> None:
    """A driver that is wrong about its own memory must not make us read beyond it."""
    kernel.length = len(YUYV) - 1
    fails(_camera(kernel).open, f"buffers of {len(YUYV)} bytes", f"one of {len(YUYV) - 1}")


def test_a_picture_that_never_changes_is_an_error_where_that_is_asked_for(kernel: Kernel, fails: Fails) -> None:
    """A frozen camera goes on to deliver. Opening it anew does not make the same picture a new one."""
    source = _camera(kernel, frozen_s=0.05)
    frame = Frame(source.format())
    source.open()
    for content in (YUYV, YUYV[::-1], YUYV):
        kernel.fill(content)
        assert source.read_into(frame)
    time.sleep(0.06)
    kernel.fill(YUYV)
    fails(lambda: source.read_into(frame), "pictures that change", "frozen_s: 0")
    source.open()
    kernel.fill(YUYV)
    fails(lambda: source.read_into(frame), "pictures that change")
    source.open()
    kernel.fill(YUYV[::-1])
    assert source.read_into(frame)
    source.close()


@pytest.mark.timeout(30)
def test_an_interruption_ends_a_read_at_once(kernel: Kernel) -> None:
    """From another thread, and before the read began; closed or not, and the camera opens again."""
    source = _camera(kernel, timeout_s=60.0)
    source.interrupt()
    source.open()
    answers: list[bool] = []
    reading = threading.Thread(target=lambda: answers.append(source.read_into(Frame(source.format()))))
    reading.start()
    source.interrupt()
    reading.join(20)
    assert answers == [False]
    source.close()
    source.interrupt()
    source.open()
    kernel.fill(YUYV)
    assert source.read_into(Frame(source.format()))
    source.close()


def test_reading_holds_no_more_memory_and_no_more_descriptors(kernel: Kernel) -> None:
    """Opened and closed twenty times, with frames between: nothing is left open."""
    source = _camera(kernel)
    frame = Frame(source.format())
    counts = []
    for _ in range(20):
        source.open()
        for _ in range(3):
            kernel.fill(YUYV)
            assert source.read_into(frame)
        source.close()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[-1] <= counts[1]


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
