"""Folders, patterns and lists of pictures of every kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.sources.images import Images, ImagesOptions
from edgeinfer.sources.picture_size import picture_size

COLOUR = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of several sizes and kinds, and what is none."""
    cv2.imwrite(str(tmp_path / "a.png"), COLOUR)
    cv2.imwrite(str(tmp_path / "b 16 bit.png"), COLOUR[:, :24].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "c alpha.png"), cv2.cvtColor(COLOUR[:10], cv2.COLOR_BGR2BGRA))
    cv2.imwrite(str(tmp_path / "d grey.png"), COLOUR[:, :, 0])
    cv2.imwrite(str(tmp_path / "e.bmp"), COLOUR[:5, :40])
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "sub").mkdir()
    cv2.imwrite(str(tmp_path / "sub" / "f.png"), np.zeros((50, 2, 3), np.uint8))
    return tmp_path


def _show(source: Images) -> list[np.ndarray]:
    source.open()
    frame = Frame(source.format())
    pictures = []
    while source.read_into(frame):
        assert frame.view.dtype == np.uint8
        pictures.append(frame.view.copy())
    source.close()
    return pictures


def test_pictures_of_every_kind_come_as_8_bit_bgr_in_their_own_size(folder: Path) -> None:
    """Sorted by name; 16 bit, alpha and grey are converted; other files and deeper folders are left out."""
    expected = [COLOUR, COLOUR[:, :24], COLOUR[:10], np.repeat(COLOUR[:, :, :1], 3, axis=2), COLOUR[:5, :40]]
    pictures = _show(Images(ImagesOptions(path=str(folder))))
    assert [picture.shape for picture in pictures] == [picture.shape for picture in expected]
    assert all(np.array_equal(*pair) for pair in zip(pictures, expected, strict=True))


def test_the_format_is_the_largest_height_and_the_largest_width(folder: Path) -> None:
    """They may belong to different pictures."""
    assert Images(ImagesOptions(path=str(folder))).format() == FrameFormat("BGR", 20, 30)
    assert Images(ImagesOptions(path=str(folder), recursive=True)).format() == FrameFormat("BGR", 50, 30)


@pytest.mark.parametrize(("paths", "count"), [("{}", 5), ("{}/a.png", 1), ("{}/*.png", 4), ("{}/**/*.png", 5), (["{}/e.bmp", "{}/a.png"], 2)])
def test_a_path_is_a_picture_a_folder_a_pattern_or_a_list(folder: Path, paths: str | list[str], count: int) -> None:
    """Each way of naming pictures finds them."""
    named = [paths] if isinstance(paths, str) else paths
    path = tuple(name.format(folder) for name in named)
    assert len(_show(Images(ImagesOptions(path=path if len(path) > 1 else path[0])))) == count


def test_nothing_found_is_an_error(tmp_path: Path, fails: Callable[..., str]) -> None:
    """An empty folder and a pattern without a match."""
    fails(Images(ImagesOptions(path=str(tmp_path))).open, str(tmp_path), "expected pictures", "got none")
    fails(Images(ImagesOptions(path=str(tmp_path / "*.png"))).format, "*.png")


@pytest.mark.parametrize("interval_s", [0.0, 0.001])
def test_a_broken_picture_is_named_and_the_next_one_follows(folder: Path, fails: Callable[..., str], interval_s: float) -> None:
    """The read that fails names the file; the next read goes on behind it, and so does a reader that opens anew (a live one)."""
    (folder / "b 16 bit.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    source = Images(ImagesOptions(path=str(folder), interval_s=interval_s))
    frame = Frame(source.format())
    source.open()
    assert source.read_into(frame)
    fails(lambda: source.read_into(frame), "b 16 bit.png", "expected a picture that OpenCV can decode")
    if source.live:
        source.close()
        source.open()
    shapes = []
    while source.read_into(frame):
        shapes.append(frame.view.shape)
    assert shapes == [(10, 30, 3), (20, 30, 3), (5, 30, 3)]


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_jpeg_that_was_cut_short_is_refused(tmp_path: Path, fails: Callable[..., str], share: float) -> None:
    """OpenCV would deliver it with grey in place of the rest; the toolkit refuses it too."""
    whole = cv2.imencode(".jpg", COLOUR)[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(whole[: int(share * len(whole))])
    source = Images(ImagesOptions(path=str(tmp_path)))
    frame = Frame(FrameFormat("BGR", 20, 30))
    source.open()
    fails(lambda: source.read_into(frame), "a.jpg", "expected a whole JPEG", "got one that was cut short")


def test_a_name_need_not_be_utf_8(tmp_path: Path) -> None:
    """OpenCV's own reading of files dies of such a one."""
    (tmp_path / os.fsdecode(b"bad\xff.png")).write_bytes(cv2.imencode(".png", COLOUR)[1].tobytes())
    assert np.array_equal(_show(Images(ImagesOptions(path=str(tmp_path))))[0], COLOUR)


def test_a_folder_of_broken_pictures_ends_though_it_loops(tmp_path: Path, fails: Callable[..., str]) -> None:
    """A round without one picture would never end."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"broken")
    source = Images(ImagesOptions(path=str(tmp_path), loop=True))
    fails(source.format, "got none that can be read")
    source.open()
    frame = Frame(FrameFormat("BGR", 9, 9))
    for name in ("a.png", "b.png"):
        fails(lambda: source.read_into(frame), name)
    assert not source.read_into(frame)


def test_a_loop_goes_round(folder: Path) -> None:
    """The sixth of five pictures is the first."""
    source = Images(ImagesOptions(path=str(folder), loop=True))
    source.open()
    frame = Frame(source.format())
    for _ in range(6):
        assert source.read_into(frame)
    assert np.array_equal(frame.view, COLOUR)


def test_a_picture_that_grew_since_memory_was_sized_is_refused(folder: Path, fails: Callable[..., str]) -> None:
    """It does not fit its slot, and nothing is written."""
    source = Images(ImagesOptions(path=str(folder / "a.png")))
    frame = Frame(source.format())
    cv2.imwrite(str(folder / "a.png"), np.zeros((100, 100, 3), np.uint8))
    source.open()
    fails(lambda: source.read_into(frame), "a.png", "100x100")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (20, 30), (301, 257)])
def test_the_size_in_the_header_is_that_of_the_decoded_picture(tmp_path: Path, suffix: str, height: int, width: int) -> None:
    """For each format whose header is read, colour and grey."""
    for name, shape in (("colour", (height, width, 3)), ("grey", (height, width))):
        path = tmp_path / f"{name}.{suffix}"
        cv2.imwrite(str(path), np.zeros(shape, np.uint8))
        assert picture_size(path) == (height, width)


@pytest.mark.parametrize("lossless", [False, True])
def test_webp_says_its_size_in_each_of_its_ways(tmp_path: Path, lossless: bool) -> None:
    """Lossy (VP8) and lossless (VP8L), and extended (VP8X), which holds alpha."""
    quality = [cv2.IMWRITE_WEBP_QUALITY, 101 if lossless else 80]
    for channels in (3, 4):
        path = tmp_path / f"{channels}.webp"
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (21, 35, channels), np.uint8), quality)
        assert picture_size(path) == (21, 35)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_that_exif_turns_has_its_sides_swapped(tmp_path: Path, orientation: int) -> None:
    """As OpenCV decodes it, for all eight orientations, in both byte orders."""
    for order, mark in (("little", b"II"), ("big", b"MM")):
        def number(value: int, size: int, order: str = order) -> bytes:
            return value.to_bytes(size, order)  # type: ignore[arg-type]

        tiff = (mark + number(42, 2) + number(8, 4) + number(1, 2)
                + number(0x0112, 2) + number(3, 2) + number(1, 4) + number(orientation, 2) + bytes(2) + bytes(4))
        segment = b"Exif\0\0" + tiff
        coded = cv2.imencode(".jpg", COLOUR)[1].tobytes()
        path = tmp_path / f"{order}.jpg"
        path.write_bytes(coded[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + coded[2:])
        assert picture_size(path) == cv2.imread(str(path)).shape[:2] == ((30, 20) if orientation >= 5 else (20, 30))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8", b"BM", b"RIFF\0\0\0\0WEBPVP8 ",
                              b"RIFF\0\0\0\0WEBPVP8L", b"RIFF\0\0\0\0WEBPVP8X", b"\xff\xd8\xff\xe1\0\x20Exif\0\0II*\0"]),
       rest=st.binary(max_size=80))
def test_no_header_however_damaged_raises(tmp_path: Path, start: bytes, rest: bytes) -> None:
    """It has a size or it has none."""
    path = tmp_path / "damaged"
    path.write_bytes(start + rest)
    size = picture_size(path)
    assert size is None or all(side >= 0 for side in size) or start == b"BM"
