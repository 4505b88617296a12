"""Crops for a second model: the same arithmetic as a whole picture, and answers in fractions of the frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.cascade import Cascade, ThenOptions, crop_format
from edgeinfer.crop import Aim, Crop, turned_format
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, FrameFormat, PixelFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.result import Box, Detections, Keypoint
from edgeinfer.model.tensor import TensorSpec
from edgeinfer.scene.tracker import Tracker, TrackOptions
from tests import bundles
from tests.scene.blobs import blobs

HEIGHT, WIDTH = 240, 320
SPEC = ImageSpec(height=48, width=64, colour="RGB")
TENSOR = TensorSpec(name="image", shape=(1, 48, 64, 3), dtype="uint8")
FORMATS: tuple[PixelFormat, ...] = ("RGB", "BGR", "GREY", "YUYV", "NV12", "I420")


def frame_of(pixel_format: PixelFormat, height: int = HEIGHT, width: int = WIDTH) -> Frame:
    frame = Frame(FrameFormat(pixel_format, height, width))
    frame.view[:] = np.random.default_rng(3).integers(0, 256, frame.view.shape)
    return frame


def cut(frame: Frame, left: int, top: int, width: int, height: int) -> Frame:
    """A rectangle of a frame, by another way: planes taken apart and put together."""
    assert isinstance(frame.format, FrameFormat)
    kind = frame.format.pixel_format
    made = Frame(FrameFormat(kind, height, width))
    rows, columns = slice(top, top + height), slice(left, left + width)
    half = slice(top // 2, (top + height) // 2), slice(left // 2, (left + width) // 2)
    if kind == "NV12":
        luma, chroma = frame.view[:HEIGHT], frame.view[HEIGHT:].reshape(HEIGHT // 2, WIDTH // 2, 2)
        parts = [luma[rows, columns], chroma[half]]
    elif kind == "I420":
        planes = frame.memory[HEIGHT * WIDTH :].reshape(2, HEIGHT // 2, WIDTH // 2)
        parts = [frame.view[:HEIGHT][rows, columns], planes[0][half], planes[1][half]]
    else:
        parts = [frame.view[rows, columns]]
    made.memory[:] = np.concatenate([part.reshape(-1) for part in parts])
    return made


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_a_crop_is_written_as_a_picture_of_its_own_would_be(pixel_format: PixelFormat) -> None:
    frame, made, wanted = frame_of(pixel_format), np.zeros(TENSOR.shape, np.uint8), np.zeros(TENSOR.shape, np.uint8)
    assert isinstance(frame.format, FrameFormat)
    crop = Crop(build(SPEC, TENSOR, frame.format), frame.format, turns=False)
    for left, top, width, height in ((40, 20, 200, 120), (0, 0, 320, 240), (300, 200, 20, 40), (100, 100, 2, 2)):
        crop.aim(Aim(left + width / 2, top + height / 2, width, height))
        crop.run(frame, made)
        alone = cut(frame, left, top, width, height)
        assert isinstance(alone.format, FrameFormat)
        itself = build(SPEC, TENSOR, alone.format)
        itself.run(alone, wanted)
        assert (made == wanted).all(), (left, top, width, height)
        assert crop.geometry.x(0.25) == pytest.approx((left + itself.geometry.x(0.25) * width) / WIDTH)
        assert crop.geometry.y(0.75) == pytest.approx((top + itself.geometry.y(0.75) * height) / HEIGHT)


def test_reals_are_those_of_calibration() -> None:
    frame = frame_of("RGB")
    assert isinstance(frame.format, FrameFormat)
    crop, made = Crop(build(SPEC, TENSOR, frame.format), frame.format, turns=False), np.zeros(TENSOR.shape, np.uint8)
    crop.aim(Aim(100, 100, 50, 60))
    crop.run(frame, made)
    assert (crop.reals(frame) == made).all()


pieces = st.tuples(st.floats(-50, 400), st.floats(-50, 300), st.floats(0, 700), st.floats(0, 700), st.floats(-4, 4))


@settings(max_examples=60)
@given(st.sampled_from(FORMATS), st.booleans(), pieces)
def test_whatever_is_aimed_at_lies_within_the_frame(pixel_format: PixelFormat, turns: bool, aim: tuple[float, ...]) -> None:
    frame, made = Frame(FrameFormat(pixel_format, HEIGHT, WIDTH)), np.zeros(TENSOR.shape, np.uint8)
    assert isinstance(frame.format, FrameFormat)
    crop = Crop(build(SPEC, TENSOR, turned_format(frame.format) if turns else frame.format), frame.format, turns)
    crop.aim(Aim(*aim))
    crop.run(frame, made)
    if not turns:
        corners = [crop.geometry.offset_x, crop.geometry.offset_y, crop.geometry.offset_x + crop.geometry.scale_x,
                   crop.geometry.offset_y + crop.geometry.scale_y]
        assert all(-1e-9 <= corner <= 1 + 1e-9 for corner in corners)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Engine]]:
    """A classifier of colours, and the detector of blocks as a second model."""
    folder = tmp_path_factory.mktemp("second")
    DECODERS.entries["blobs"] = "tests.scene.blobs:Blobs"
    made = {"colours": Engine(bundles.colours(folder), RuntimeOptions()), "blobs": Engine(blobs(folder), RuntimeOptions())}
    yield made
    del DECODERS.entries["blobs"]
    for engine in made.values():
        engine.close()


def cascade(engine: Engine, pixel_format: PixelFormat = "RGB", **options: Any) -> Cascade:
    return Cascade(ThenOptions(bundle="-", **options), engine, FrameFormat(pixel_format, HEIGHT, WIDTH))


def painted(pixel_format: PixelFormat = "RGB", angle: float = 0.0) -> Frame:
    """A blue block of 20 x 10 pixels at (170, 100) on grey, turned about (160, 120)."""
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    corners = np.array([[160, 95], [180, 95], [180, 105], [160, 105]], float) - (160, 120)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    cv2.fillPoly(picture, [np.round(corners @ turn + (160, 120)).astype(np.int32)], (0, 0, 255))
    frame = Frame(FrameFormat(pixel_format, HEIGHT, WIDTH))
    code = {"YUYV": cv2.COLOR_RGB2YUV_YUYV, "I420": cv2.COLOR_RGB2YUV_I420}.get(pixel_format)
    frame.view[:] = picture if code is None else cv2.cvtColor(picture, code)
    return frame


def found(answer: Any) -> list[float]:
    return answer.document["detections"][0]["box"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("pixel_format", ["RGB", "YUYV", "I420"])
def test_a_box_in_a_crop_comes_back_in_the_frame(engines: dict[str, Engine], pixel_format: PixelFormat) -> None:
    thing = Detections([Box(0, "thing", 0.9, 0.3, 0.2, 0.7, 0.7)], 1)
    (answer,) = cascade(engines["blobs"], pixel_format, margin=0.1).answer(painted(pixel_format), thing, None)
    assert found(answer) == pytest.approx([160 / WIDTH, 95 / HEIGHT, 180 / WIDTH, 105 / HEIGHT], abs=0.008)


@pytest.mark.parametrize("pixel_format", ["RGB", "YUYV", "I420"])
@pytest.mark.parametrize("angle", [0.0, 0.5, -0.7, math.pi / 2, 3.0])
def test_what_is_turned_stands_upright_for_the_second_model(engines: dict[str, Engine], pixel_format: PixelFormat,
                                                             angle: float) -> None:
    """Two keypoints lie level in the crop; the block above them is a level box there, and comes back around the turned one."""
    ahead = math.cos(angle) * 40, math.sin(angle) * 40
    points = [Keypoint("a", (160 - ahead[0]) / WIDTH, (120 - ahead[1]) / HEIGHT),
              Keypoint("b", (160 + ahead[0]) / WIDTH, (120 + ahead[1]) / HEIGHT)]
    thing = Detections([Box(0, "thing", 0.9, 100 / WIDTH, 60 / HEIGHT, 220 / WIDTH, 180 / HEIGHT, points)], 1)
    second = cascade(engines["blobs"], pixel_format, margin=0, rotate=("a", "b"))
    frame = painted(pixel_format, angle)
    (answer,) = second.answer(frame, thing, None)
    left, top, right, bottom = found(answer)
    x, y = (left + right) / 2 * WIDTH, (top + bottom) / 2 * HEIGHT
    true = 160 + math.cos(angle) * 10 - math.sin(angle) * -20, 120 + math.sin(angle) * 10 + math.cos(angle) * -20
    assert (x, y) == pytest.approx(true, abs=1.5)
    around = 20 * abs(math.cos(angle)) + 10 * abs(math.sin(angle))
    assert (right - left) * WIDTH == pytest.approx(around, abs=5)


def tracked(boxes: list[Box]) -> tuple[Tracker, Detections]:
    tracker, detections = Tracker(TrackOptions(confirm=1)), Detections(boxes, len(boxes))
    tracker.update(detections, 0)
    return tracker, detections


def people(count: int) -> list[Box]:
    return [Box(0, "person", 0.9 - 0.1 * number, 0.2 * number, 0.1, 0.2 * number + 0.15, 0.9) for number in range(count)]


def test_without_a_tracker_the_best_of_each_frame_are_looked_at(engines: dict[str, Engine]) -> None:
    second, frame = cascade(engines["colours"], most=2), painted()
    for _ in range(3):
        answers = second.answer(frame, Detections(people(4), 4), None)
        assert [answer is not None and answer.document is not None for answer in answers] == [True, True, False, False]
    assert second.figures()["inferred"] == 6
    assert second.figures()["put_off"] == 6


def test_with_a_tracker_everybody_has_a_turn_and_none_too_often(engines: dict[str, Engine]) -> None:
    tracker, detections = tracked(people(4))
    second, frame = cascade(engines["colours"], most=1, every_s=2.0), painted()
    looked = []
    for number in range(8):
        frame.monotonic_ns = number * 500_000_000
        answers = second.answer(frame, detections, tracker)
        looked.append([row for row, answer in enumerate(answers) if answer is not None and answer.at_ns == frame.monotonic_ns])
    assert looked == [[0], [1], [2], [3], [0], [1], [2], [3]]
    assert all(answer is not None and answer.document is not None for answer in answers)  # what was said stays


def test_what_was_said_of_one_is_never_said_of_another(engines: dict[str, Engine]) -> None:
    tracker, detections = tracked(people(1))
    second, frame = cascade(engines["colours"], most=1, every_s=60), painted()
    second.answer(frame, detections, tracker)
    tracker.forget()
    other = Detections([Box(0, "person", 0.2, 0.5, 0.1, 0.52, 0.12)], 1)  # too small to be looked at
    tracker.update(other, 1)
    (answer,) = second.answer(frame, other, tracker)
    assert answer is not None
    assert answer.document is None


def test_labels_scores_and_sizes_decide_who_is_worth_it(engines: dict[str, Engine]) -> None:
    boxes = [Box(0, "person", 0.9, 0.1, 0.1, 0.5, 0.5), Box(1, "cat", 0.9, 0.1, 0.1, 0.5, 0.5),
             Box(0, "person", 0.3, 0.1, 0.1, 0.5, 0.5), Box(0, "person", 0.9, 0.1, 0.1, 0.13, 0.5)]
    second = cascade(engines["colours"], labels=("person",), min_score=0.5, min_pixels=12)
    answers = second.answer(painted(), Detections(boxes, 4), None)
    assert [answer is not None and answer.document is not None for answer in answers] == [True, False, False, False]


def test_a_second_model_that_fails_costs_its_answer_only(engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    second = cascade(engines["colours"])

    def fail(*_: object) -> None:
        raise ValueError("on purpose")

    monkeypatch.setattr(second.lane.decoder, "decode", fail)
    (answer,) = second.answer(painted(), Detections(people(1), 1), None)
    assert answer is not None
    assert answer.document is None
    assert second.figures()["failed"] == 1
    assert "on purpose" in second.figures()["error"]


def test_its_memory_is_stated_and_stays(engines: dict[str, Engine]) -> None:
    """Thousands of crops, each of another size: plans and frames are not kept."""
    import tracemalloc

    second, frame = cascade(engines["colours"], margin=0), painted()
    sizes = np.random.default_rng(1).uniform(0.05, 0.5, (1500, 2))

    def run() -> None:
        for width, height in sizes:
            second.answer(frame, Detections([Box(0, "a", 0.9, 0.2, 0.2, 0.2 + width, 0.2 + height)], 1), None)

    run()
    tracemalloc.start()
    run()
    before = tracemalloc.get_traced_memory()[0]
    run()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 16 * 1024
    assert second.nbytes > HEIGHT * WIDTH * 3


@pytest.mark.parametrize(("options", "says"), [
    ({"bundle": "a", "model": "b"}, "either bundle or model, got both"), ({"model": "../x"}, "model of 1 to 64 letters"),
    ({"bundle": "a", "margin": 3}, "margin between 0 and 2"), ({"bundle": "a", "most": 0}, "most between 1 and 64")])
def test_options_that_cannot_be_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ThenOptions(**options)


def test_turned_crops_are_squares_in_colour() -> None:
    options = ThenOptions(bundle="a", rotate=("0", "1"))
    assert crop_format(options, FrameFormat("NV12", 480, 640)) == FrameFormat("RGB", 480, 480)
    assert crop_format(options, FrameFormat("GREY", 480, 640)) == FrameFormat("GREY", 480, 480)


