"""Faces of nobody: drawn from a dozen numbers each. Run by hand: python faces.py (needs numpy and OpenCV)

Writes enrol/NAME-1.jpg … (three pictures each of Ada, Grace and Alan) and door/*.jpg (who comes to the door, in that order), and
truth.json. ``train.py`` draws other faces with the same hand and never sees these.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
SIDE, SHARP = 160, 2  # pixels; drawn so many times larger, then averaged
Colour = tuple[int, int, int]

SKINS = ((196, 218, 244), (160, 194, 232), (126, 166, 214), (94, 132, 186), (66, 98, 146), (48, 70, 108))
HAIRS = ((30, 28, 30), (36, 56, 92), (62, 110, 168), (104, 176, 222), (44, 74, 172), (170, 174, 180), (70, 46, 58))
EYES = ((60, 46, 36), (150, 110, 60), (70, 120, 70), (40, 70, 110), (120, 120, 120))
CLOTHES = ((176, 120, 70), (80, 80, 190), (90, 150, 90), (60, 160, 210), (150, 90, 140), (210, 210, 215), (70, 64, 60))
RIM = (40, 40, 44)  # of glasses
STYLES = ("short", "long", "bun", "curly", "bald", "fringe")


@dataclass(frozen=True)
class Face:
    """What makes somebody who they are. Lengths are fractions of the picture."""

    skin: Colour
    hair: Colour
    iris: Colour
    style: str
    wide: float
    long: float
    eyes_apart: float
    eye: float
    brow: float
    nose: float
    mouth: float
    beard: bool
    glasses: int  # 0: none, 1: round, 2: square
    freckles: bool


def somebody(rng: np.random.Generator) -> Face:
    def near(colours: tuple[Colour, ...]) -> Colour:
        return tuple(int(v) for v in np.clip(np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 9, 3), 0, 255))

    skin = near(SKINS)
    return Face(skin, near(HAIRS), near(EYES), STYLES[rng.integers(len(STYLES))], float(rng.uniform(0.23, 0.31)),
                float(rng.uniform(0.31, 0.38)), float(rng.uniform(0.095, 0.14)), float(rng.uniform(0.030, 0.046)),
                float(rng.uniform(-0.02, 0.02)), float(rng.uniform(0.05, 0.10)), float(rng.uniform(0.06, 0.12)),
                bool(rng.random() < 0.25), int(rng.choice([0, 0, 0, 1, 2])), bool(rng.random() < 0.2))


KNOWN = {
    "ada": Face((160, 194, 232), (30, 28, 30), (60, 46, 36), "bun", 0.25, 0.34, 0.115, 0.042, 0.01, 0.07, 0.08, False, 0, False),
    "grace": Face((66, 98, 146), (36, 40, 46), (40, 56, 80), "curly", 0.28, 0.33, 0.12, 0.036, 0.0, 0.08, 0.11, False, 1, False),
    "alan": Face((196, 218, 244), (62, 110, 168), (150, 110, 60), "short", 0.26, 0.36, 0.11, 0.033, -0.015, 0.09, 0.075, True, 0,
                 False),
}
STRANGERS = {
    "stranger-1": Face((126, 166, 214), (170, 174, 180), (70, 120, 70), "fringe", 0.27, 0.35, 0.13, 0.034, 0.0, 0.06, 0.10,
                       False, 2, True),
    "stranger-2": Face((48, 70, 108), (30, 28, 30), (60, 46, 36), "bald", 0.285, 0.36, 0.125, 0.034, 0.01, 0.10, 0.12,
                       True, 0, False),
}
AT_THE_DOOR = ("ada", "stranger-1", "grace", "alan", "stranger-2", "ada")


def draw(face: Face, rng: np.random.Generator) -> np.ndarray:
    """BGR (SIDE, SIDE, 3): this face in some light, some mood, a little turned, before something."""
    size = SIDE * SHARP
    tint = rng.uniform(90, 225, 3)
    picture = np.clip(tint * np.linspace(1.08, 0.88, size)[:, None, None] * np.ones((1, size, 1)), 0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 4)):  # out of focus, behind them
        cv2.circle(picture, tuple(int(v) for v in rng.integers(0, size, 2)), int(rng.uniform(0.05, 0.2) * size),
                   tuple(int(v) for v in np.clip(tint + rng.normal(0, 25, 3), 0, 255)), -1, cv2.LINE_AA)
    picture = cv2.GaussianBlur(picture, (0, 0), size / 60)
    _Portrait(picture, face, rng).draw()
    angle, zoom = rng.uniform(-7, 7), rng.uniform(0.94, 1.08)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), angle, zoom)
    turn[:, 2] += rng.uniform(-0.025, 0.025, 2) * size
    picture = cv2.warpAffine(picture, turn, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    side = 1 + rng.uniform(-0.18, 0.18) * np.linspace(-1, 1, SIDE)[None, :, None]
    return np.clip(small * side * rng.uniform(0.8, 1.12) * rng.uniform(0.96, 1.04, 3) + rng.uniform(-8, 8), 0, 255).astype(np.uint8)


class _Portrait:
    def __init__(self, picture: np.ndarray, face: Face, rng: np.random.Generator) -> None:
        self.picture, self.face, self.size = picture, face, picture.shape[0]
        self.look = rng.uniform(-0.012, 0.012, 2)
        self.turned = rng.uniform(-0.02, 0.02)  # features move sideways on a head that turns
        self.smile = rng.uniform(0.1, 1.0)
        self.open = rng.uniform(0.75, 1.0)
        self.clothes = CLOTHES[rng.integers(len(CLOTHES))]

    def draw(self) -> None:
        face, shade = self.face, _darker(self.face.skin, 0.84)
        if face.style in ("long", "curly"):
            self._hair_behind()
        self.oval(0.5, 1.03, 0.40, 0.24, self.clothes)
        self.oval(0.5, 0.83, 0.11, 0.12, shade)
        self.oval(0.5, 0.80, 0.10, 0.10, face.skin)
        for side in (-1, 1):
            self.oval(0.5 + side * face.wide, 0.52, 0.035, 0.055, shade)
        if face.style == "bun":
            self.oval(0.5, 0.13, 0.10, 0.09, face.hair)
        if face.style != "bald":
            self.oval(0.5, 0.42, face.wide + 0.02, face.long - 0.01, face.hair)
        self.oval(0.5, 0.51, face.wide, face.long, face.skin)
        if face.beard:
            self.oval(0.5 + self.turned, 0.70, face.wide * 0.86, 0.165, face.hair)
            self.oval(0.5 + self.turned, 0.60, face.wide * 0.80, 0.12, face.skin)
        self._hair_before()
        self._features(shade)

    def _hair_behind(self) -> None:
        face = self.face
        if face.style == "long":
            self.oval(0.5, 0.60, face.wide + 0.10, 0.42, face.hair)
            return
        for angle in np.linspace(-200, 20, 14):
            x, y = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
            self.oval(0.5 + x * (face.wide + 0.03), 0.42 + y * (face.long - 0.05), 0.085, 0.085, face.hair)

    def _hair_before(self) -> None:
        face = self.face
        if face.style == "bald":
            return
        drop = {"fringe": 0.15, "short": 0.075, "bun": 0.06, "long": 0.085, "curly": 0.08}[face.style]
        top = self.picture[: int((0.51 - face.long + drop + 0.06) * self.size)].copy()
        self.oval(0.5, 0.51, face.wide + 0.006, face.long + 0.006, face.hair)
        after = self.picture[: len(top)].copy()
        self._again(top, after, drop)

    def _again(self, top: np.ndarray, after: np.ndarray, drop: float) -> None:
        """Skin again below the hair line, which is a curve."""
        face = self.face
        self.oval(0.5, 0.51, face.wide, face.long, face.skin)
        if face.beard:
            self.oval(0.5 + self.turned, 0.70, face.wide * 0.86, 0.165, face.hair)
            self.oval(0.5 + self.turned, 0.60, face.wide * 0.80, 0.12, face.skin)
        line = np.zeros(self.picture.shape[:2], np.uint8)
        bend = 0.03 if face.style == "fringe" else 0.10
        xs = np.linspace(0.5 - face.wide - 0.03, 0.5 + face.wide + 0.03, 24)
        ys = 0.51 - face.long + drop + 0.045 + bend * (((xs - 0.5) / face.wide) ** 2 - 0.4)
        edge = np.stack([xs, ys], 1)
        shape = np.concatenate([edge, [[edge[-1, 0], 0.0], [edge[0, 0], 0.0]]]) * self.size
        cv2.fillPoly(line, [shape.astype(np.int32)], 255, cv2.LINE_AA)
        weight = (line[: len(after), :, None] / 255.0).astype(np.float32)
        part = self.picture[: len(after)]
        part[:] = (part * (1 - weight) + after * weight).astype(np.uint8)

    def _features(self, shade: Colour) -> None:
        face, middle = self.face, 0.5 + self.turned
        for side in (-1, 1):
            x = middle + side * face.eyes_apart
            self.oval(x, 0.49, face.eye * 1.25, face.eye * 0.85 * self.open, (245, 245, 245))
            self.oval(x + self.look[0], 0.49 + self.look[1] / 2, face.eye * 0.62, face.eye * 0.66, face.iris)
            self.oval(x + self.look[0], 0.49 + self.look[1] / 2, face.eye * 0.30, face.eye * 0.32, (20, 20, 20))
            self.line((x - 0.055, 0.415 + side * face.brow), (x + 0.055, 0.415 - side * face.brow), _darker(face.hair, 0.8), 0.018)
            if face.glasses == 1:
                cv2.circle(self.picture, self.at(x, 0.49), int(0.085 * self.size), RIM, int(0.014 * self.size), cv2.LINE_AA)
            elif face.glasses == 2:
                cv2.rectangle(self.picture, self.at(x - 0.085, 0.435), self.at(x + 0.085, 0.55), RIM, int(0.014 * self.size))
            self.oval(middle + side * face.wide * 0.62, 0.60, 0.05, 0.035, _blush(face.skin))
        if face.glasses:
            self.line((middle - face.eyes_apart + 0.085, 0.48), (middle + face.eyes_apart - 0.085, 0.48), RIM, 0.014)
        self.line((middle + 0.004, 0.52), (middle + 0.02, 0.52 + face.nose), shade, 0.018)
        self.line((middle + 0.02, 0.52 + face.nose), (middle - 0.012, 0.525 + face.nose), shade, 0.018)
        y, bend = 0.70, 0.05 * self.smile
        points = np.array([self.at(middle + t * face.mouth, y + bend * (1 - t * t) - bend / 2) for t in np.linspace(-1, 1, 15)])
        cv2.polylines(self.picture, [points], False, (84, 76, 176), int(0.022 * self.size), cv2.LINE_AA)
        if face.freckles:
            for dx, dy in ((-0.10, 0.0), (-0.07, 0.02), (-0.12, 0.025), (0.09, 0.0), (0.06, 0.02), (0.11, 0.025)):
                self.oval(middle + dx, 0.585 + dy, 0.007, 0.007, shade)

    def at(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self.size), round(y * self.size)

    def oval(self, x: float, y: float, wide: float, high: float, colour: Colour) -> None:
        at, axes = (tuple(round(value * self.size * 16) for value in pair) for pair in ((x, y), (wide, high)))
        cv2.ellipse(self.picture, at, axes, 0, 0, 360, colour, -1, cv2.LINE_AA, 4)

    def line(self, one: tuple[float, float], other: tuple[float, float], colour: Colour, thick: float) -> None:
        cv2.line(self.picture, self.at(*one), self.at(*other), colour, max(1, round(thick * self.size)), cv2.LINE_AA)


def _darker(colour: Colour, by: float) -> Colour:
    return tuple(int(value * by) for value in colour)


def _blush(colour: Colour) -> Colour:
    blue, green, red = colour
    return int(blue * 0.92), int(green * 0.92), min(255, int(red * 1.02) + 4)


def main() -> None:
    rng = np.random.default_rng(21)
    for folder in ("enrol", "door"):
        (HERE / folder).mkdir(exist_ok=True)
    for name, face in KNOWN.items():
        for number in range(1, 4):
            cv2.imwrite(str(HERE / "enrol" / f"{name}-{number}.jpg"), draw(face, rng), [cv2.IMWRITE_JPEG_QUALITY, 88])
    truth: dict[str, str] = {}
    for number, who in enumerate(AT_THE_DOOR, 1):
        for view in "ab":
            file = f"{number}{view}-{who}.jpg"
            cv2.imwrite(str(HERE / "door" / file), draw({**KNOWN, **STRANGERS}[who], rng), [cv2.IMWRITE_JPEG_QUALITY, 88])
            truth[file] = who if who in KNOWN else "unknown"
    (HERE / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
