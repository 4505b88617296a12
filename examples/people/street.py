"""A bakery, a square in front of it, and people who come and go: drawn. Run by hand: python street.py (needs numpy, OpenCV, ffmpeg)

Writes street.mp4 (17.5 s, 480 x 288, 12 pictures a second) and truth.json (who came in and went out, and who sat down, by what the
script below says). ``train.py`` draws its pictures with the same hand: other people, other places, other light.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
WIDTH, HEIGHT, FPS, SECONDS = 480, 288, 12, 17.5
SHARP = 2  # drawn so many times larger, then averaged: smooth edges
Colour = tuple[int, int, int]
Point = tuple[float, float]

SKINS = ((140, 172, 212), (170, 200, 235), (88, 126, 178), (60, 85, 120), (150, 185, 225))
HAIRS = ((35, 35, 40), (30, 55, 95), (60, 120, 190), (150, 155, 165), (25, 40, 140))
TOPS = ((60, 70, 200), (190, 110, 40), (70, 150, 70), (50, 180, 230), (160, 80, 150), (225, 225, 225), (70, 60, 55), (180, 170, 60))
TROUSERS = ((110, 70, 45), (55, 50, 50), (120, 135, 150), (70, 90, 110), (140, 90, 90))


@dataclass
class Look:
    """What one person wears (BGR), and how tall they are."""

    skin: Colour
    hair: Colour
    top: Colour
    trousers: Colour
    tall: float = 1.0
    bag: bool = False
    long_hair: bool = False


def somebody(rng: np.random.Generator) -> Look:
    def one_of(colours: tuple[Colour, ...]) -> Colour:
        return tuple(int(value) for value in np.clip(np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 14, 3), 0, 255))

    return Look(one_of(SKINS), one_of(HAIRS), one_of(TOPS), one_of(TROUSERS), float(rng.uniform(0.88, 1.1)),
                bool(rng.random() < 0.3), bool(rng.random() < 0.4))


def height_at(y: float) -> float:
    """Of a person whose feet are at ``y`` (a fraction of the picture), in fractions of the picture's height."""
    return 0.21 + 0.15 * (y - 0.43) / 0.57


def background(rng: np.random.Generator | None = None) -> np.ndarray:
    """The bakery and its square, BGR at SHARP times the size; with ``rng`` in other colours, with other things about."""
    width, height = WIDTH * SHARP, HEIGHT * SHARP
    shift = (lambda colour: colour) if rng is None else (
        lambda colour: tuple(int(v) for v in np.clip(np.array(colour) * rng.uniform(0.75, 1.15) + rng.normal(0, 18, 3), 0, 255)))
    picture = np.empty((height, width, 3), np.uint8)
    wall, floor = np.array(shift((168, 196, 214)), float), np.array(shift((176, 184, 188)), float)
    ground = int(0.42 * height)
    picture[:ground] = np.clip(wall * np.linspace(1.05, 0.92, ground)[:, None, None], 0, 255)
    picture[ground:] = np.clip(floor * np.linspace(0.86, 1.06, height - ground)[:, None, None], 0, 255)
    _paving(picture, ground)
    _front(picture, ground, shift)
    _things(picture, rng, shift)
    return picture


def _paving(picture: np.ndarray, ground: int) -> None:
    height, width = picture.shape[:2]
    shade = tuple(int(value) for value in picture[-1, 0] * 0.9)
    for step in range(10):
        y = ground + int((height - ground) * (step / 9) ** 1.6)
        cv2.line(picture, (0, y), (width, y), shade, 1, cv2.LINE_AA)
    for x in np.linspace(-1.2, 2.2, 30):
        cv2.line(picture, (int((0.5 + (x - 0.5) * 0.55) * width), ground), (int(x * width), height), shade, 1, cv2.LINE_AA)


def _front(picture: np.ndarray, ground: int, shift) -> None:
    height, width = picture.shape[:2]
    frame, glass, wood = shift((70, 82, 96)), shift((142, 128, 104)), shift((52, 78, 118))
    for left, right in ((0.05, 0.22), (0.24, 0.40), (0.62, 0.78), (0.80, 0.96)):
        box = (int(left * width), int(0.14 * height)), (int(right * width), int(0.36 * height))
        cv2.rectangle(picture, *box, frame, -1)
        inner = (box[0][0] + 6, box[0][1] + 6), (box[1][0] - 6, box[1][1] - 6)
        cv2.rectangle(picture, *inner, glass, -1)
        cv2.fillPoly(picture, [np.array([[inner[0][0] + 8, inner[1][1]], [inner[0][0] + 46, inner[0][1]],
                                         [inner[0][0] + 70, inner[0][1]], [inner[0][0] + 32, inner[1][1]]])],
                     tuple(min(255, value + 26) for value in glass), cv2.LINE_AA)
        for loaf in np.linspace(left + 0.03, right - 0.03, 4):
            cv2.ellipse(picture, (int(loaf * width), int(0.335 * height)), (14, 9), 0, 0, 360, (92, 148, 196), -1, cv2.LINE_AA)
    cv2.rectangle(picture, (int(0.435 * width), int(0.12 * height)), (int(0.565 * width), ground), frame, -1)
    cv2.rectangle(picture, (int(0.445 * width), int(0.14 * height)), (int(0.555 * width), ground), shift((44, 48, 52)), -1)
    cv2.rectangle(picture, (0, int(0.395 * height)), (int(0.43 * width), ground), wood, -1)
    cv2.rectangle(picture, (int(0.57 * width), int(0.395 * height)), (width, ground), wood, -1)
    stripes = shift((74, 88, 206)), shift((236, 240, 242))
    for index in range(32):
        left, right = index * width // 32, (index + 1) * width // 32
        cv2.rectangle(picture, (left, int(0.045 * height)), (right - 1, int(0.11 * height)), stripes[index % 2], -1)
        cv2.ellipse(picture, ((left + right) // 2, int(0.11 * height)), ((right - left) // 2, 9), 0, 0, 180, stripes[index % 2], -1,
                    cv2.LINE_AA)
    cv2.rectangle(picture, (0, 0), (width, int(0.045 * height)), shift((58, 70, 84)), -1)
    cv2.putText(picture, "B A K E R Y", (int(0.40 * width), int(0.036 * height)), cv2.FONT_HERSHEY_DUPLEX, 0.62, (214, 226, 232), 1,
                cv2.LINE_AA)


def _things(picture: np.ndarray, rng: np.random.Generator | None, shift) -> None:
    """Plants beside the door and a bench; elsewhere when there is an ``rng``, and more of them."""
    plants = [(0.40, 0.455), (0.60, 0.455)] if rng is None else [
        (float(rng.uniform(0, 1)), float(rng.uniform(0.44, 0.95))) for _ in range(rng.integers(0, 5))]
    for x, y in plants:
        _plant(picture, x, y, shift)
    bench = (0.16, 0.70) if rng is None else (float(rng.uniform(0.05, 0.8)), float(rng.uniform(0.5, 0.95)))
    _bench(picture, *bench, shift)
    for _ in range(0 if rng is None else rng.integers(0, 6)):  # whatever stands about, and is nobody
        x, y, wide, high = rng.uniform(0, 1), rng.uniform(0.3, 1.0), rng.uniform(0.01, 0.1), rng.uniform(0.02, 0.3)
        colour = shift(TOPS[rng.integers(len(TOPS))])
        at = int(x * picture.shape[1]), int(y * picture.shape[0])
        size = int(wide * picture.shape[1]), int(high * picture.shape[0])
        if rng.random() < 0.5:
            cv2.rectangle(picture, (at[0], at[1] - size[1]), (at[0] + size[0], at[1]), colour, -1)
        else:
            cv2.ellipse(picture, at, (size[0] // 2 + 1, size[1] // 2 + 1), 0, 0, 360, colour, -1, cv2.LINE_AA)


def _plant(picture: np.ndarray, x: float, y: float, shift) -> None:
    high, at = height_at(y) * picture.shape[0], (int(x * picture.shape[1]), int(y * picture.shape[0]))
    cv2.ellipse(picture, at, (int(0.16 * high), int(0.05 * high)), 0, 0, 360, (110, 116, 120), -1, cv2.LINE_AA)
    for angle in (-50, -25, 0, 25, 50):
        turn = np.deg2rad(angle)
        middle = int(at[0] + 0.25 * high * np.sin(turn)), int(at[1] - 0.25 * high - 0.21 * high * np.cos(turn))
        cv2.ellipse(picture, middle, (int(0.07 * high), int(0.24 * high)), angle, 0, 360,
                    shift((64, 128 + angle // 3, 72)), -1, cv2.LINE_AA)
    pot = np.array([[-0.13, -0.28], [0.13, -0.28], [0.09, 0.0], [-0.09, 0.0]]) * high + at
    cv2.fillPoly(picture, [pot.astype(np.int32)], shift((74, 104, 176)), cv2.LINE_AA)


def _bench(picture: np.ndarray, x: float, y: float, shift) -> None:
    width, height = picture.shape[1], picture.shape[0]
    wood, dark = shift((78, 118, 160)), shift((50, 62, 74))
    left, right, top = int((x - 0.09) * width), int((x + 0.09) * width), int((y - 0.115) * height)
    for leg in (left + 10, right - 16):
        cv2.rectangle(picture, (leg, top), (leg + 6, int(y * height)), dark, -1)
    for row in range(3):
        cv2.rectangle(picture, (left, top + 12 * row), (right, top + 12 * row + 8), wood, -1)
    cv2.rectangle(picture, (left, int((y - 0.045) * height)), (right, int((y - 0.025) * height)), wood, -1)


def person(picture: np.ndarray, look: Look, x: float, y: float, stride: float, way: int) -> tuple[float, float, float, float]:
    """Draw one person with their feet at (x, y), fractions of the picture. ``stride``: where in a step they are (radians);
    ``way``: -1 left, 1 right, 0 towards us or away. The box (left, top, right, bottom) in fractions."""
    height, width = picture.shape[:2]
    tall = height_at(y) * look.tall * height
    at_x, at_y = x * width, y * height
    swing = np.sin(stride) * 0.11 * tall * (1 if way else 0.45)
    bob = abs(np.cos(stride)) * 0.012 * tall

    def place(dx: float, dy: float) -> tuple[int, int]:
        return round((at_x + dx * tall) * 16), round((at_y - bob - dy * tall) * 16)

    def line(one: tuple[int, int], other: tuple[int, int], colour: Colour, thick: float) -> None:
        cv2.line(picture, one, other, colour, max(1, round(thick * tall)), cv2.LINE_AA, 4)

    def oval(dx: float, dy: float, rx: float, ry: float, colour: Colour) -> None:
        cv2.ellipse(picture, place(dx, dy), (round(rx * tall * 16), round(ry * tall * 16)), 0, 0, 360, colour, -1, cv2.LINE_AA, 4)

    top, left = max(0, int(at_y - 0.06 * tall)), max(0, int(at_x - 0.22 * tall))
    _shadow(picture[top:int(at_y + 0.06 * tall), left:int(at_x + 0.22 * tall)])
    dark = tuple(int(value * 0.82) for value in look.trousers)
    sleeve = tuple(int(value * 0.86) for value in look.top)
    step = swing / tall
    line(place(0.035, 0.46), place(0.035 - step, 0.03), dark, 0.095)
    line(place(0.045 + 0.5 * step, 0.72), place(0.10 + step, 0.46), sleeve, 0.07)
    line(place(-0.035, 0.46), place(-0.035 + step, 0.0), look.trousers, 0.10)
    for foot, lift in ((0.035 - step, 0.03), (-0.035 + step, 0.0)):
        oval(foot + 0.02 * way, lift - 0.005, 0.055, 0.025, (44, 46, 52))
    if look.long_hair:
        oval(-0.01 * way, 0.84, 0.092, 0.12, look.hair)
    line(place(0.0, 0.72), place(0.0, 0.50), look.top, 0.21)
    oval(0.0, 0.73, 0.12, 0.06, look.top)
    line(place(-0.06 - 0.5 * step, 0.72), place(-0.11 - step, 0.47), sleeve, 0.075)
    oval(-0.11 - step, 0.45, 0.032, 0.035, look.skin)
    if look.bag:
        oval(0.12 + step, 0.40, 0.065, 0.08, (60, 96, 150))
    oval(0.0, 0.805, 0.035, 0.05, look.skin)
    oval(0.012 * way, 0.895, 0.075, 0.088, look.skin)
    oval(-0.018 * way, 0.935, 0.082, 0.062, look.hair)
    half = 0.15 + 0.5 * abs(step)
    return x - half * tall / width, y - tall * 0.995 / height, x + half * tall / width, y + 0.02


def _shadow(ground: np.ndarray) -> None:
    if ground.size:
        mask = np.zeros(ground.shape[:2], np.float32)
        high, wide = (side // 2 for side in mask.shape)
        cv2.ellipse(mask, (wide, high), (max(1, wide - 2), max(1, high - 2)), 0, 0, 360, 0.35, -1)
        ground[:] = ground * (1 - cv2.blur(mask, (5, 5))[..., None])


@dataclass
class Walk:
    """Somebody's way: places (fractions; the feet) with the second at which they are there. Two equal places: they stand."""

    look: Look
    way: list[tuple[float, float, float]]

    def at(self, second: float) -> tuple[float, float, float, int] | None:
        """(x, y, where in a step, which way they face) at that second; None when they are not there."""
        if not self.way[0][0] <= second < self.way[-1][0]:
            return None
        times, xs, ys = (np.array(part) for part in zip(*self.way, strict=True))
        x, y = float(np.interp(second, times, xs)), float(np.interp(second, times, ys))
        later = float(np.interp(second + 0.1, times, xs)), float(np.interp(second + 0.1, times, ys))
        moved = later[0] - x, later[1] - y
        if max(abs(moved[0]), abs(moved[1])) < 1e-6:
            return x, y, 0.0, 0
        return x, y, 8.0 * second, 0 if abs(moved[0]) < 0.6 * abs(moved[1]) else int(np.sign(moved[0]))


def story() -> list[Walk]:
    """Who comes and goes. Three go into the bakery and two come out; one of them sits on the bench first; two only pass."""
    rng = np.random.default_rng(11)
    looks = [somebody(rng) for _ in range(8)]
    inside, bench = (0.5, 0.43), (0.17, 0.72)
    return [
        Walk(looks[0], [(0.2, 1.04, 0.90), (2.8, 0.56, 0.74), (4.3, *inside)]),
        Walk(looks[1], [(1.2, -0.04, 0.84), (3.1, *bench), (10.0, *bench), (12.6, 0.50, 0.60), (13.6, *inside)]),
        Walk(looks[2], [(2.4, 1.04, 0.97), (6.9, -0.04, 0.95)]),
        Walk(looks[3], [(5.8, *inside), (7.2, 0.53, 0.66), (10.2, 1.04, 0.80)]),
        Walk(looks[4], [(7.2, -0.04, 0.97), (9.0, 0.36, 0.90), (10.6, 0.48, 0.62), (11.4, *inside)]),
        Walk(looks[5], [(11.6, -0.04, 0.95), (16.6, 1.04, 0.96)]),
        Walk(looks[6], [(14.8, *inside), (16.0, 0.54, 0.66), (17.5, 0.86, 0.90)]),
    ]


TRUTH = {"in": 3, "out": 2, "sat": 1}


def frames():
    """Each picture of the film, BGR (HEIGHT, WIDTH, 3), and the boxes of those on it."""
    behind, walks = background(), story()
    for index in range(int(FPS * SECONDS)):
        picture, boxes = behind.copy(), []
        there = sorted((place for walk in walks if (place := walk.at(index / FPS))), key=lambda place: place[1])
        by_place = {walk.at(index / FPS): walk for walk in walks if walk.at(index / FPS)}
        for place in there:
            boxes.append(person(picture, by_place[place].look, *place))
        yield finished(picture), boxes


def finished(picture: np.ndarray) -> np.ndarray:
    """At its size."""
    return cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def main() -> None:
    size = f"{WIDTH}x{HEIGHT}"
    film = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", str(FPS), "-i", "-",
         "-threads", "1", "-c:v", "libx264", "-crf", "26", "-preset", "slow", "-tune", "animation", "-pix_fmt", "yuv420p",
         str(HERE / "street.mp4")], stdin=subprocess.PIPE)
    for picture, _ in frames():
        film.stdin.write(picture.tobytes())
    film.stdin.close()
    film.wait()
    (HERE / "truth.json").write_text(json.dumps(TRUTH) + "\n")
    print(f"street.mp4: {(HERE / 'street.mp4').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
