"""Pictures for people: what is drawn, and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.annotate import SUFFIXES, annotate, save, to_bgr
from edgeinfer.drawing.canvas import Canvas
from edgeinfer.drawing.fills import Trail, Zone
from edgeinfer.errors import StorageError, UsageError
from edgeinfer.model.frame import Frame, FrameFormat, PixelFormat, WindowFormat
from edgeinfer.model.result import (
    Anomaly,
    Area,
    Box,
    Classes,
    Detections,
    Identity,
    Keypoint,
    Label,
    Mask,
    Raw,
    Region,
    Regression,
    Result,
    Segmentation,
    Text,
)
from edgeinfer.model.tensor import Array


def picture(height: int = 480, width: int = 640) -> Array:
    """Noise of a fixed seed: a pixel that was drawn on differs almost surely."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def found(*boxes: tuple[float, float, float, float]) -> Detections:
    return Detections([Box(index, f"thing {index}", 0.9, *box) for index, box in enumerate(boxes)], len(boxes))


RESULTS: dict[str, Result] = {
    "detections": found((0.3, 0.3, 0.7, 0.6), (0.35, 0.3, 0.9, 0.5)),
    "nothing detected": Detections([Box()] * 3, 0),
    "classes": Classes([Label(i, f"class {i}", 1 / (i + 1)) for i in range(9)], 9),
    "no class": Classes([], 0),
    "anomaly": Anomaly(value=3.0, threshold=1.0),
    "regression": Regression(("distance", "angle"), [1.25, float("nan")]),
    "identity": Identity("ada", True, 0.8),
    "raw": Raw(("a",), ((1, 900),), [[0.5] * 900]),
}


@pytest.mark.parametrize("name", RESULTS)
def test_the_picture_given_is_left_as_it_is_and_the_result_is_the_same_each_time(name: str) -> None:
    """Annotating draws on a copy of the same size, twice the same bytes, and something is drawn."""
    given_, kept = picture(), picture()
    first, second = annotate(given_, RESULTS[name], "model:1"), annotate(given_, RESULTS[name], "model:1")
    assert np.array_equal(given_, kept)
    assert first.shape == given_.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert not np.array_equal(first, given_)


def test_pixels_outside_of_what_is_drawn_keep_their_values() -> None:
    """Beyond the box's line, its label above it and the title in the lower left corner, all pixels are the picture's."""
    before = picture()
    after = annotate(before, found((0.5, 0.5, 0.75, 0.75)), "model:1")
    changed = (before != after).any(axis=2)
    drawn = np.zeros(changed.shape, bool)
    drawn[236:364, 316:484] = True  # the box, 240..360 by 320..480, and half of its line
    drawn[244:356, 324:476] = False  # nothing inside
    drawn[210:240, 316:484] = True  # the label
    drawn[450:, :120] = True  # the title
    assert not (changed & ~drawn).any()
    assert changed[240, 400]
    assert changed[300, 320]
    assert changed[221:237, 330:380].mean() > 0.9, "the label has a ground of its own"
    assert changed[462:479, 2:48].mean() > 0.9, "and so has the title"


def test_a_box_has_its_class_s_colour() -> None:
    """The same class has the same colour, another class another one."""
    blank = np.full((480, 640, 3), 128, np.uint8)
    result = found((0.1, 0.3, 0.2, 0.5), (0.4, 0.3, 0.5, 0.5), (0.7, 0.3, 0.8, 0.5))
    result.rows[2].index = 0
    drawn = annotate(blank, result, "m")
    first, second, third = (tuple(drawn[190, int(left * 640)]) for left in (0.1, 0.4, 0.7))
    assert first == third
    assert first != second


def test_a_bar_has_its_class_s_colour_wherever_it_ranks() -> None:
    """What was first and is second in the next frame keeps its colour."""
    blank = np.full((480, 640, 3), 128, np.uint8)
    ranked = [annotate(blank, Classes([Label(index, "same", 1.0) for index in order], 2), "m") for order in ((3, 7), (7, 3))]
    ground = {(128, 128, 128), (24, 24, 24), (96, 96, 96), (44, 44, 44)}
    first, second = ([colour for colour in dict.fromkeys(map(tuple, drawn[425:, 90].tolist())) if colour not in ground][:2]
                     for drawn in ranked)
    assert len(set(first)) == 2
    assert first == second[::-1]


def test_labels_do_not_hide_each_other() -> None:
    """Two boxes in the same place have both of their labels shown, in their two colours."""
    blank = np.full((480, 640, 3), 128, np.uint8)
    both = annotate(blank, found((0.3, 0.3, 0.6, 0.7), (0.3, 0.3, 0.6, 0.7)), "m")
    grounds = [annotate(blank, found(*[(0.3, 0.3, 0.6, 0.7)] * (n + 1)), "m") for n in range(2)]
    colours = {tuple(colour) for colour in both[100:190, 200:205].reshape(-1, 3).tolist()}
    assert len(colours - {(128, 128, 128), (24, 24, 24)}) >= 2
    assert not np.array_equal(*grounds)


@pytest.mark.parametrize(("height", "width", "factor"), [(96, 96, 4), (96, 128, 3), (28, 28, 14), (1, 1, 384), (384, 10, 1)])
def test_a_picture_too_small_for_text_is_enlarged_by_a_whole_factor(height: int, width: int, factor: int) -> None:
    """Each pixel becomes a square of them, so that the longer side has at least 384 pixels."""
    before = picture(height, width)
    after = annotate(before, Detections([], 0), "m")
    assert after.shape == (height * factor, width * factor, 3)
    upper = height * factor // 2  # the title is below
    if factor < 14:
        assert np.array_equal(after[:upper], before.repeat(factor, 0).repeat(factor, 1)[:upper])


@pytest.mark.parametrize("result", [Text(text="AB 12", confidence=0.9), Detections([], 0)])
def test_a_line_of_text_is_not_hidden_by_what_was_read(result: Result) -> None:
    """What is said stands on a strip below a flat picture; the picture itself is whole."""
    before = picture(64, 400)
    after = annotate(before, result, "m")
    assert np.array_equal(after[:64], before)
    assert 70 < len(after) < 128


any_float = st.floats() | st.floats(-0.5, 1.5)
any_row = st.tuples(any_float, any_float, any_float, any_float, any_float, st.integers(0, 10**6), st.text(max_size=80))
sizes = st.sampled_from([(480, 640), (96, 96), (7, 300), (400, 1), (1, 1)])


@settings(max_examples=150, deadline=None)
@given(sizes, st.lists(any_row, max_size=6), st.text(max_size=100))
def test_any_box_can_be_drawn(size: tuple[int, int], boxes: list[tuple[float, float, float, float, float, int, str]],
                              title: str) -> None:
    """Boxes outside of the picture, inverted, empty, not a number; labels of any letters: a picture, and no error."""
    rows = [Box(index, label, score, *box) for *box, score, index, label in boxes]
    assert annotate(picture(*size), Detections(rows, len(rows)), title).dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(sizes, st.lists(st.tuples(st.integers(0, 10**6), st.text(max_size=80), any_float), max_size=8), st.text(max_size=100))
def test_any_classes_can_be_drawn(size: tuple[int, int], classes: list[tuple[int, str, float]], title: str) -> None:
    """Scores beyond 0..1 or not a number, labels of any letters, a picture of one pixel: no error."""
    rows = [Label(*row) for row in classes]
    assert annotate(picture(*size), Classes(rows, len(rows)), title).dtype == np.uint8


def test_a_window_into_a_larger_picture_can_be_annotated() -> None:
    """A view that is not contiguous is drawn like its copy."""
    wide = picture(480, 1280)[:, ::2]
    assert np.array_equal(annotate(wide, RESULTS["classes"], "m"), annotate(wide.copy(), RESULTS["classes"], "m"))


def test_a_long_name_is_cut_before_its_score_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a label and in a panel, on a narrow picture: the name ends in dots, the score is whole, and nothing lies over it."""
    written: list[tuple[str, int, int]] = []
    put = Canvas._text

    def text(canvas: Canvas, text: str, x: int, y: int, colour: Any) -> None:
        written.append((text, x, x + canvas._size(text)[0][0]))
        put(canvas, text, x, y, colour)

    monkeypatch.setattr(Canvas, "_text", text)
    long = "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"
    annotate(picture(400, 200), Detections([Box(1, long, 0.87, 0.1, 0.1, 0.9, 0.9)], 1), "m")
    label, _, end = written.pop()
    assert label.endswith("... 0.87")
    assert end <= 200
    written.clear()
    annotate(picture(400, 200), Classes([Label(1, long, 0.87)], 1), "m")
    (score, left, end), (name, _, stop) = written[1:]
    assert (score, name[-3:]) == ("0.87", "...")
    assert stop < left < end <= 200


@pytest.mark.parametrize(("name", "drawn"), [("Zoë Weiß", "Zoe Weiss"), ("Łukasz Sørensen", "Lukasz Sorensen"), ("行人", "??")])
def test_names_are_drawn_in_letters_that_every_font_has(name: str, drawn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accents are dropped, and letters that have none are written as people do without them."""
    written: list[str] = []
    monkeypatch.setattr(Canvas, "_text", lambda canvas, text, x, y, colour: written.append(text))
    annotate(picture(), Identity(name, True, 0.8), "m")
    assert written == ["m", "0.80", drawn]


FORMATS: dict[PixelFormat, int] = {"BGR": 0, "RGB": 0, "GREY": 0, "YUYV": 3, "NV12": 3, "I420": 3}


@pytest.mark.parametrize("name", FORMATS)
def test_a_frame_of_any_format_becomes_bgr(name: PixelFormat) -> None:
    """A plain orange picture (or grey) in each format is that colour again, and a copy."""
    frame = Frame(FrameFormat(name, 8, 12))
    blue, green, red = (40, 120, 220) if name != "GREY" else (90, 90, 90)
    luma, u, v = 137, 78, 178  # BT.601, studio range, of that orange
    match name:
        case "BGR" | "RGB":
            frame.view[:] = (blue, green, red) if name == "BGR" else (red, green, blue)
        case "GREY":
            frame.view[:] = 90
        case "YUYV":
            frame.view[..., 0] = luma
            frame.view[:, 0::2, 1], frame.view[:, 1::2, 1] = u, v
        case "NV12":
            frame.view[:8], frame.view[8:, 0::2], frame.view[8:, 1::2] = luma, u, v
        case "I420":
            frame.view[:8], frame.view[8:10], frame.view[10:] = luma, u, v
    converted = to_bgr(frame)
    assert converted.shape == (8, 12, 3)
    assert np.abs(converted.astype(int) - (blue, green, red)).max() <= FORMATS[name]
    assert not np.shares_memory(converted, frame.memory)


def test_a_window_of_samples_is_no_picture() -> None:
    """Wrong use of the code is a RuntimeError."""
    with pytest.raises(RuntimeError, match="no picture"):
        to_bgr(Frame(WindowFormat(10, 1)))


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG"])
def test_a_saved_picture_reads_back(suffix: str, tmp_path: Path) -> None:
    """The file alone is left, in its format; PNG, BMP hold the same pixels."""
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"an earlier one")
    save(path, picture(64, 48))
    read = cv2.imread(str(path))
    assert read is not None
    assert read.shape == (64, 48, 3)
    assert list(tmp_path.iterdir()) == [path]
    if suffix.lower() in (".png", ".bmp"):
        assert np.array_equal(read, picture(64, 48))


@pytest.mark.parametrize(("name", "expected"), [
    ("out.txt", r"a suffix of \.png, .* got '\.txt'"), ("out", r"a suffix of .* got ''"),
    ("missing/out.png", r"a folder that exists, .*\n  hint: mkdir -p "),
])
def test_a_wrong_path_is_one_clear_error(name: str, expected: str, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match=expected):
        save(tmp_path / name, picture(8, 8))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_a_storage_error(tmp_path: Path) -> None:
    """A folder in the file's place, or a full disk: the error names the path, and no partial file stays."""
    (tmp_path / "out.png").mkdir()
    with pytest.raises(StorageError, match=r"out\.png: expected a file that can be written, got Is a directory"):
        save(tmp_path / "out.png", picture(8, 8))
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def _drawn(result: Result, **more: Any) -> Array:
    """Where the annotated picture differs from a grey one, (height, width) bool."""
    blank = np.full((480, 640, 3), 128, np.uint8)
    return np.asarray((annotate(blank, result, "m", **more) != blank).any(axis=2))


def test_a_mask_covers_its_cells_and_no_others() -> None:
    """A mask of the left half of its box tints that half, but for a smooth edge, and leaves the rest of the box alone."""
    mask = Mask(2, 2, 0.25, 0.25, 0.75, 0.75, [0, 2, 2])
    changed = _drawn(Detections([Box(0, "cat", 0.9, 0.25, 0.25, 0.75, 0.75, mask=mask)], 1))
    assert changed[180:300, 170:260].all()
    assert not changed[180:300, 400:460].any()


def test_a_segmentation_is_drawn_with_and_without_masks() -> None:
    """With masks the cells, without them the boxes of the regions; shares stand in the panel."""
    rows = [Area(1, "person", 0.5, Mask(1, 2, 0.0, 0.0, 1.0, 1.0, [1, 1]))]
    regions = [Region(1, "person", 0.5, 0.5, 0.1, 0.9, 0.6)]
    assert _drawn(Segmentation(rows, regions, 1, 1))[100:200, 450:600].all()
    rows[0].mask = None
    changed = _drawn(Segmentation(rows, regions, 1, 1))
    assert changed[48, 330:570].all()
    assert not changed[100:200, 350:550].any()


def test_limbs_join_the_keypoints_that_are_there() -> None:
    """From shoulder to elbow, not to the wrist that was left out; a mesh without names has no limbs."""
    points = [Keypoint("left shoulder", 0.3, 0.3, 0.9), Keypoint("left elbow", 0.6, 0.3, 0.9)]
    changed = _drawn(Detections([Box(0, "person", 0.9, 0.2, 0.2, 0.8, 0.8, points)], 1))
    assert changed[144, 200:380].all()
    assert not changed[200:280, 200:380].any()
    for point in points:
        point.name = ""
    assert not _drawn(Detections([Box(0, "face", 0.9, 0.2, 0.2, 0.8, 0.8, points)], 1))[144, 220:360].any()


def test_zones_and_trails_lie_over_the_picture() -> None:
    """A zone tints its inside faintly, more so while it is active; a line is no area; a trail ends where the thing is."""
    square = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.7), (0.2, 0.7)]
    nothing = Detections([Box()], 0)
    assert _drawn(nothing, overlays=[Zone("door", square, note="2 in")])[150:300, 200:400].all()
    blank = np.full((480, 640, 3), 128, np.uint8)
    tints = [int(abs(annotate(blank, nothing, "m", [Zone("", square, active)])[200, 300].astype(int) - 128).max())
             for active in (False, True)]
    assert 0 < tints[0] < tints[1]
    line = _drawn(nothing, overlays=[Zone("", [(0.1, 0.5), (0.9, 0.5)])])
    assert line[240, 100:540].all()
    assert not line[100:200, 100:540].any()
    trail = _drawn(nothing, overlays=[Trail(3, [(0.2, 0.2), (0.5, 0.2), (0.5, 0.6)]), Trail(4)])
    assert trail[96, 150:300].all()
    assert trail[288, 320]
