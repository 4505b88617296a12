"""The motion gate: it holds back what is still and misses nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer.model.frame import Frame, FrameFormat, PixelFormat
from edgeinfer.model.tensor import Array
from edgeinfer.scene.motion import Motion, MotionOptions
from tests.scene.film import Actor, Film, shape

FPS = 10
SECOND = 1_000_000_000
HEIGHT, WIDTH = 240, 320


def scenery() -> Array:
    """Light and shadow, with edges."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    grey = 60 + 0.4 * columns + 40 * ((rows // 40 + columns // 40) % 2)
    return np.dstack([grey, grey * 0.9, grey * 0.8]).astype(np.uint8)


class Camera:
    """Shows a film to a motion gate in the film's own time, with the noise of a sensor."""

    def __init__(self, options: MotionOptions, pixel_format: PixelFormat = "BGR", noise: float = 3.0) -> None:
        self._noise = np.random.default_rng(7).normal(0, noise, (4, HEIGHT, WIDTH, 3))
        self._frame = Frame(FrameFormat(pixel_format, HEIGHT, WIDTH))
        self._shown = 0
        self.gate = Motion(options, FrameFormat(pixel_format, HEIGHT, WIDTH))

    def show(self, picture: Array) -> bool:
        noisy = np.clip(picture + self._noise[self._shown % 4], 0, 255).astype(np.uint8)
        convert(noisy, self._frame)
        self._frame.monotonic_ns = SECOND * self._shown // FPS
        self._shown += 1
        return self.gate.admit(self._frame)

    def play(self, film: Film, seconds: float) -> list[bool]:
        return [self.show(film.picture(number / FPS)) for number in range(round(seconds * FPS))]


def convert(picture: Array, frame: Frame) -> None:
    assert isinstance(frame.format, FrameFormat)
    match frame.format.pixel_format:
        case "BGR":
            frame.view[:] = picture
        case "RGB":
            frame.view[:] = picture[:, :, ::-1]
        case "GREY":
            frame.view[:] = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        case "YUYV":
            frame.view[:] = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_YUYV)
        case _:
            frame.view[:] = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)


def across(start: float, speed: float, y: float = 200) -> Callable[[float], tuple[float, float] | None]:
    """From beyond the left edge to beyond the right one, so many pixels a second."""
    return lambda t: (-40 + speed * (t - start), y) if t >= start and -40 + speed * (t - start) < WIDTH + 40 else None


PERSON = shape((30, 40, 50), 80, 30)
ENTRIES: dict[str, Actor] = {
    "walks through": Actor("a", PERSON, across(10, 60)),
    "runs through": Actor("a", PERSON, across(10, 300)),
    "creeps in and stays": Actor("a", PERSON, lambda t: (min(-15 + 8 * (t - 10), 60), 200) if t >= 10 else None),
    "far away, a tenth of the height": Actor("a", shape((20, 20, 120), 24, 10), across(10, 40, 60)),
    "in clothes of nearly the wall's colour": Actor("a", shape((150, 135, 120), 80, 30), across(10, 60)),
    "appears at once": Actor("a", PERSON, lambda t: (160, 200) if 10 <= t < 12 else None),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("pixel_format", ["BGR", "YUYV"])
def test_nobody_who_enters_is_missed_and_what_is_still_is_held_back(entry: str, pixel_format: PixelFormat) -> None:
    """From the first frame that shows all of it every one is looked at while it moves; before and long after it none is."""
    actor = ENTRIES[entry]
    admitted = Camera(MotionOptions(awake_s=3), pixel_format).play(Film(scenery(), [actor]), 40)
    boxes = [actor.box(number / FPS) for number in range(len(admitted))]
    inside = [number for number, box in enumerate(boxes) if box is not None and box[0] >= 0 and box[2] <= WIDTH]
    moving = [number for number in inside if boxes[number] != boxes[number - 1]]
    assert all(admitted[number] for number in moving)
    assert all(admitted[number] for number in inside if number - moving[0] <= 30)
    assert not any(admitted[40:95])  # the first frame moves, and keeps it awake for three seconds
    ended = next((number for number in range(inside[-1], len(boxes)) if boxes[number] is None), moving[-1])
    assert not any(admitted[min(ended + 130, 390) :])


@pytest.mark.parametrize("pixel_format", ["BGR", "RGB", "GREY", "YUYV", "NV12", "I420"])
def test_every_pixel_format_is_seen(pixel_format: PixelFormat) -> None:
    camera = Camera(MotionOptions(awake_s=0), pixel_format)
    assert [camera.show(scenery()) for _ in range(10)] == [True, *[False] * 9]
    assert camera.show(Film(scenery(), [Actor("a", PERSON, lambda _: (160, 200))]).picture(0))


def test_light_that_changes_slowly_is_no_movement() -> None:
    camera = Camera(MotionOptions(awake_s=0))
    admitted = [camera.show(np.clip(scenery() * (1 + number / 3000), 0, 255)) for number in range(600)]
    assert sum(admitted) == 1


def test_what_moves_behind_the_mask_does_not_matter() -> None:
    tree = Actor("tree", PERSON, lambda t: (50 + 20 * (round(t * FPS) % 2), 100))
    options: dict[str, Any] = {"awake_s": 0}
    assert sum(Camera(MotionOptions(**options)).play(Film(scenery(), [tree]), 3)) > 12
    corner = ((0.0, 0.0), (0.4, 0.0), (0.4, 0.5), (0.0, 0.5))
    assert sum(Camera(MotionOptions(**options, mask=(corner,))).play(Film(scenery(), [tree]), 3)) == 1


def test_it_looks_now_and_then_though_nothing_moves() -> None:
    admitted = Camera(MotionOptions(awake_s=0, look_s=2)).play(Film(scenery(), []), 10)
    assert [number for number, one in enumerate(admitted) if one] == [0, 20, 40, 60, 80]


def test_less_sensitive_sees_less() -> None:
    pale = Film(scenery(), [Actor("a", shape((150, 135, 120), 80, 30), across(1, 60))])
    seen = [sum(Camera(MotionOptions(awake_s=0, sensitivity=sensitivity)).play(pale, 5)) for sensitivity in (0.0, 0.2, 0.5)]
    assert seen[0] < seen[1] < seen[2]


@pytest.mark.parametrize(("height", "width", "noise"), [(24, 32, 3), (120, 160, 6), (240, 320, 10), (480, 640, 12)])
def test_the_noise_of_a_sensor_is_no_movement(height: int, width: int, noise: float) -> None:
    """Of a small frame, too, whose pixels are not averaged on their way to 160: at dusk each grey level is off by so much."""
    chance, frame = np.random.default_rng(9), Frame(FrameFormat("GREY", height, width))
    gate = Motion(MotionOptions(awake_s=0, look_s=0), FrameFormat("GREY", height, width))
    for number in range(30):
        frame.view[:] = np.clip(chance.normal(90, noise, (height, width)), 0, 255)
        frame.monotonic_ns = number * SECOND // FPS
        assert gate.admit(frame) == (number == 0)


def test_another_size_of_picture_is_movement() -> None:
    gate = Motion(MotionOptions(awake_s=0), FrameFormat("GREY", 240, 320))
    frame = Frame(FrameFormat("GREY", 240, 320))
    assert [gate.admit(frame) for _ in range(2)] == [True, False]
    frame.reshape(FrameFormat("GREY", 100, 100))
    assert [gate.admit(frame) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (1080, 2), (3, 1920), (1080, 1920)])
def test_pictures_of_any_size_are_looked_at(height: int, width: int) -> None:
    formats: tuple[PixelFormat, ...] = ("GREY", "BGR")
    for format in (FrameFormat(pixel_format, height, width) for pixel_format in formats):
        assert Motion(MotionOptions(), format).admit(Frame(format))


@pytest.mark.parametrize(("options", "says"), [
    ({"sensitivity": 2}, "sensitivity between 0 and 1"), ({"awake_s": -1}, "awake_s between"),
    ({"mask": (((0.0, 0.0), (1.0, 1.0)),)}, "mask of 3 to 64 points")])
def test_options_that_cannot_be_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        MotionOptions(**options)
