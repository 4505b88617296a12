"""Folders of pictures: which, in what order, and what pixels they become."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.errors import DataError, SourceError
from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.sources.images import Images, ImagesOptions
from quantize.dataset import open_dataset
from tests.quantize.dataset import files

SPEC = ImageSpec(height=8, width=12)


def only(path: Path) -> np.ndarray:
    (sample,) = open_dataset(path, SPEC)
    return sample.frame.view.copy()


def test_pictures_come_in_the_order_of_their_names_from_all_folders(tmp_path: Path) -> None:
    """Names are paths below the folder; hidden files, other kinds and labels beside them do not count."""
    for name in ("b/2.jpg", "a/10.png", "a/1.bmp", "C/x.webp", "c.TIFF"):
        files.picture(tmp_path / name)
    files.picture(tmp_path / ".thumbnails/1.jpg")
    files.picture(tmp_path / "a/._1.png")
    (tmp_path / "labels.csv").write_text("name,label\n")
    assert open_dataset(tmp_path, SPEC).names == ["C/x.webp", "a/1.bmp", "a/10.png", "b/2.jpg", "c.TIFF"]


@pytest.mark.parametrize(("name", "colour", "dtype", "expected"), [
    ("bgr.png", (10, 100, 200), "uint8", (10, 100, 200)),
    ("bgr.bmp", (10, 100, 200), "uint8", (10, 100, 200)),
    ("bgr.tiff", (10, 100, 200), "uint8", (10, 100, 200)),
    ("deep.png", (10, 100.49, 200), "uint16", (10, 100, 200)),
    ("deep.tiff", (10, 100.6, 255), "uint16", (10, 101, 255)),
    ("alpha.png", (10, 100, 200, 0), "uint8", (10, 100, 200)),
    ("alpha.tiff", (10, 100, 200, 128), "uint8", (10, 100, 200)),
    ("grey.png", (77,), "uint8", (77, 77, 77)),
    ("grey.pgm", (77,), "uint8", (77, 77, 77)),
    ("deepgrey.png", (77,), "uint16", (77, 77, 77)),
])
def test_every_kind_of_picture_becomes_8_bit_bgr(tmp_path: Path, name: str, colour, dtype: str, expected) -> None:
    """16 bits are divided by 257 and rounded, alpha is dropped, grey is repeated."""
    pixels = only(files.picture(tmp_path / name, colour, dtype=dtype))
    assert pixels.shape == (8, 12, 3)
    assert (pixels == expected).all()


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    """A palette PNG gives its colours, not its indices."""
    indices = np.zeros((8, 12), np.uint8)
    indices[:, 6:] = 1
    pixels = only(files.palette_png(tmp_path / "p.png", indices, [(255, 0, 0), (0, 0, 255)]))
    assert pixels[0, 0].tolist() == [0, 0, 255]
    assert pixels[0, 11].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("orientation", "shape", "white"), [(1, (8, 12, 3), "left"), (3, (8, 12, 3), "right"), (6, (12, 8, 3), "top")])
def test_exif_orientation_is_heeded(tmp_path: Path, orientation: int, shape, white: str) -> None:
    """A picture lies as a viewer shows it."""
    pixels = only(files.turned_jpeg(tmp_path / "t.jpg", orientation))
    edges = {"left": pixels[:, 0], "right": pixels[:, -1], "top": pixels[0], "bottom": pixels[-1]}
    assert pixels.shape == shape
    assert max(edges, key=lambda edge: edges[edge].mean()) == white


def test_pixels_are_those_of_the_device(tmp_path: Path) -> None:
    """The device's own source of images gives the same bytes for the same file."""
    from edgeinfer.model.frame import Frame

    paths = [files.noise(tmp_path / f"{index}.{kind}", index) for index, kind in enumerate(("jpg", "png", "webp", "tiff"))]
    paths.append(files.picture(tmp_path / "9.png", (10, 100.4, 200, 3), dtype="uint16"))
    source = Images(ImagesOptions(path=str(tmp_path)))
    frame = Frame(source.format())
    source.open()
    for sample in open_dataset(tmp_path, SPEC):
        assert source.read_into(frame)
        assert (frame.view == sample.frame.view).all(), sample.name
    assert not source.read_into(frame)


def test_unreadable_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    """Torn, empty and false ones; a JPEG that was cut short would otherwise be half grey."""
    good = files.noise(tmp_path / "a.jpg", 1, 64, 64).read_bytes()
    files.noise(tmp_path / "d.png", 2)
    (tmp_path / "b.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "c.png").write_bytes(b"")
    (tmp_path / "e.bmp").write_text("no picture")
    (tmp_path / "f.jpg").write_bytes(good + b"trailer of a phone \xff\xda")
    dataset = open_dataset(tmp_path, SPEC)
    assert [sample.name for sample in dataset] == ["a.jpg", "d.png", "f.jpg"]
    assert list(dataset.unreadable) == ["b.jpg", "c.png", "e.bmp"]
    assert "cut short" in dataset.unreadable["b.jpg"]
    assert len(dataset) == 6


def test_all_unreadable_is_one_error(tmp_path: Path) -> None:
    """It names how many, and what is wrong with the last."""
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_text("no picture")
    dataset = open_dataset(tmp_path, SPEC)
    with pytest.raises(DataError, match="none of 2"):
        list(dataset)
    with pytest.raises(SourceError, match="none of 2"):
        _ = dataset.format


def test_the_largest_format_covers_pictures_of_all_sizes(tmp_path: Path) -> None:
    """Its height and its width may come from different pictures."""
    files.picture(tmp_path / "a.png", height=5, width=30)
    files.picture(tmp_path / "b.png", height=20, width=4)
    format = open_dataset(tmp_path, SPEC).format
    assert (format.height, format.width) == (20, 30)


def test_opencv_is_as_talkative_as_before(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed about a bad file, and the log level is put back."""
    before = cv2.utils.logging.getLogLevel()
    (tmp_path / "a.tiff").write_bytes(b"II*\0" + b"\x01" * 40)
    files.picture(tmp_path / "b.png")
    assert [sample.name for sample in open_dataset(tmp_path, SPEC)] == ["b.png"]
    assert cv2.utils.logging.getLogLevel() == before
    assert capfd.readouterr().err == ""
