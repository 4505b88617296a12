"""Pictures of handwritten numbers: real digits, written by code on real photographs. Run by hand: python compose.py

Needs (Python 3.11): scikit-learn==1.9.1 scikit-image==0.26.0 opencv-python-headless numpy. Nothing is downloaded.

Writes pictures/*.jpg and truth.json. The digits are scikit-learn's 1797 samples of the UCI set "Optical Recognition of
Handwritten Digits", 8x8 pixels; ``train.py`` sees the first 1437 and the photographs of TRAINING only, and the pictures
written here are made of the last 360 and of the photographs of HELD_OUT only.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import sklearn.datasets

HERE = Path(__file__).parent
WIDTH, HEIGHT = 480, 360
FIRST_HELD_OUT = 1437  # of 1797 digits; they are stored writer after writer, so the last ones are mostly other hands
TRAINING = ("astronaut", "camera", "chelsea", "coins", "flower", "grass", "rocket", "text")
HELD_OUT = ("brick", "china", "coffee", "gravel")
PAPERS = ((245, 245, 240), (250, 235, 140), (250, 190, 200), (180, 225, 245), (190, 235, 180), (215, 190, 150))
MOTLEY = 40  # standard deviation of the pixels above which nobody would write there
INKS = ((25, 25, 30), (20, 40, 130), (150, 25, 35), (20, 85, 45), (70, 35, 90))
Written = tuple[int, float, float, float, float]  # label, left, top, right, bottom in pixels


def photograph(name: str) -> np.ndarray:
    """RGB uint8 (height, width, 3)."""
    if name in {"china", "flower"}:
        return np.asarray(sklearn.datasets.load_sample_image(f"{name}.jpg"))
    picture = getattr(skimage.data, name)()
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB) if picture.ndim == 2 else picture


def digits(held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, 8, 8) of ink 0..1, and the labels."""
    found = sklearn.datasets.load_digits()
    part = slice(FIRST_HELD_OUT, None) if held_out else slice(0, FIRST_HELD_OUT)
    return (found.images[part] / 16).astype(np.float32), found.target[part]


def background(picture: np.ndarray, rng: np.random.Generator, smallest: float = 0.5, tinted: float = 0.5) -> np.ndarray:
    """A crop of the picture at 4:3, perhaps mirrored, perhaps tinted, as RGB uint8 (HEIGHT, WIDTH, 3)."""
    side = min(picture.shape[0] / 3, picture.shape[1] / 4) * rng.uniform(smallest, 1.0)
    height, width = int(3 * side), int(4 * side)
    top, left = rng.integers(picture.shape[0] - height + 1), rng.integers(picture.shape[1] - width + 1)
    crop = picture[top:top + height, left:left + width][:, ::rng.choice([-1, 1])]
    crop = cv2.resize(np.ascontiguousarray(crop), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    tint = rng.uniform(0.75, 1.15, 3) if rng.random() < tinted else np.ones(3)
    return np.clip(crop * tint, 0, 255).astype(np.uint8)


def stroke(sample: np.ndarray, height: float, angle: float, rng: np.random.Generator) -> np.ndarray:
    """The 8x8 sample as ink 0..1 of a pen: enlarged, slanted and turned (degrees), cut to what is written."""
    scale, slant = height / 8, rng.uniform(-0.25, 0.25)
    size, turn = int(2.2 * height), np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[scale * rng.uniform(0.85, 1.15), slant * scale], [0, scale]])
    offset = np.array([size / 2, size / 2]) - matrix @ np.array([3.5, 3.5])
    ink = cv2.warpAffine(sample, np.column_stack([matrix, offset]), (size, size), flags=cv2.INTER_CUBIC)
    edge = rng.uniform(0.33, 0.5)
    ink = np.clip((ink - edge) / 0.2, 0, 1)
    rows, columns = np.flatnonzero(ink.max(1) > 0.5), np.flatnonzero(ink.max(0) > 0.5)
    return ink[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]


def blend(canvas: np.ndarray, alpha: np.ndarray, colour: np.ndarray, left: int, top: int) -> None:
    """Lay ``colour`` over the canvas where ``alpha`` (height, width, 0..1) is, in place."""
    place = canvas[top:top + alpha.shape[0], left:left + alpha.shape[1]]
    place[:] = (place + alpha[..., None] * (colour - place.astype(np.float32))).astype(np.uint8)


def lay_paper(area: np.ndarray, size: tuple[float, float], angle: float, rng: np.random.Generator) -> None:
    """A sheet of ``size`` with a soft shadow in the middle of ``area``, turned by ``angle`` degrees."""
    paper = np.array(PAPERS[rng.integers(len(PAPERS))], np.float32) * rng.uniform(0.8, 1.0)
    height, width = area.shape[:2]
    corners = cv2.boxPoints(((width / 2, height / 2), size, angle))
    sheet, shadow = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    cv2.fillPoly(shadow, [np.int32((corners + np.array([2, 4], np.float32)) * 16)], 0.5, cv2.LINE_AA, 4)
    blend(area, cv2.blur(cv2.blur(shadow, (7, 7)), (7, 7)), np.zeros(3, np.float32), 0, 0)
    cv2.fillPoly(sheet, [np.int32(corners * 16)], 1.0, cv2.LINE_AA, 4)
    shade = cv2.resize(rng.uniform(0.92, 1.0, (3, 4)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    blend(area, sheet, paper * shade[..., None], 0, 0)


def pen(under: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour that can be read on what is under it: chalk on dark, ink on light."""
    if under.mean() < rng.uniform(110, 150):
        return np.clip(np.array([235, 235, 230]) * rng.uniform(0.85, 1.05, 3), 0, 255)
    return np.array(INKS[rng.integers(len(INKS))]) * rng.uniform(0.6, 1.2)


def write_number(canvas: np.ndarray, samples: np.ndarray, labels: np.ndarray, taken: list[tuple[float, ...]],
                 rng: np.random.Generator, *, on_paper: bool) -> list[Written]:
    """One to four digits in a row on a free place, on the photograph itself or on a sheet; none where there is no room."""
    height, count, angle = rng.uniform(46, 105), int(rng.integers(1, 5)), rng.uniform(-12, 12)
    pitch, turn = height * rng.uniform(0.85, 1.05), np.deg2rad(angle)
    half_width, half_height = pitch * count / 2 + 0.2 * height, 0.75 * height
    place = free_place(half_width, half_height, turn, taken, rng)
    if place is None:
        return []
    x, y, reach_x, reach_y = place
    area = canvas[int(y - reach_y):int(y + reach_y), int(x - reach_x):int(x + reach_x)]
    if on_paper:
        lay_paper(area, (2 * half_width, 2 * half_height), angle, rng)
    elif area.std() > MOTLEY:
        return []
    taken.append(place)
    ink, grain, written = pen(area, rng), 0.95 if on_paper else 0.8, []
    for step in range(count):
        index = rng.integers(len(samples))
        alpha = stroke(samples[index], height * rng.uniform(0.92, 1.05), angle + rng.uniform(-4, 4), rng)
        along, across = (step - (count - 1) / 2) * pitch, rng.uniform(-0.06, 0.06) * height
        left = int(x + along * np.cos(turn) - across * np.sin(turn) - alpha.shape[1] / 2)
        top = int(y + along * np.sin(turn) + across * np.cos(turn) - alpha.shape[0] / 2)
        left, top = int(np.clip(left, 0, WIDTH - alpha.shape[1])), int(np.clip(top, 0, HEIGHT - alpha.shape[0]))
        blend(canvas, alpha * rng.uniform(grain, 1.0, alpha.shape).astype(np.float32), ink, left, top)
        written.append((int(labels[index]), left, top, left + alpha.shape[1], top + alpha.shape[0]))
    return written


def free_place(half_width: float, half_height: float, turn: float, taken: list[tuple[float, ...]],
               rng: np.random.Generator) -> tuple[float, float, float, float] | None:
    """Centre and half sides of an upright rectangle around a sheet turned by ``turn`` radians, clear of those ``taken``."""
    reach_x = half_width * np.cos(turn) + half_height * abs(np.sin(turn)) + 8
    reach_y = half_height * np.cos(turn) + half_width * abs(np.sin(turn)) + 8
    if 2 * reach_x > WIDTH or 2 * reach_y > HEIGHT:
        return None
    x, y = rng.uniform(reach_x, WIDTH - reach_x), rng.uniform(reach_y, HEIGHT - reach_y)
    if any(abs(x - a) < reach_x + c and abs(y - b) < reach_y + d for a, b, c, d in taken):
        return None
    return x, y, reach_x, reach_y


def scene(canvas: np.ndarray, samples: np.ndarray, labels: np.ndarray, rng: np.random.Generator, *,
          numbers: int, paper: float) -> list[Written]:
    """Write up to ``numbers`` numbers on the canvas, in place; ``paper`` is the share of them that stand on a sheet."""
    taken: list[tuple[float, ...]] = []
    written: list[Written] = []
    for _ in range(8 * numbers):
        if len(taken) < numbers:
            written += write_number(canvas, samples, labels, taken, rng, on_paper=rng.random() < paper)
    return written


SHIPPED = (  # file, photograph, numbers, share on paper, seed
    ("china-notes", "china", 3, 1.0, 3), ("coffee-notes", "coffee", 3, 1.0, 4), ("coffee-none", "coffee", 0, 0.0, 5),
    ("gravel-notes", "gravel", 3, 1.0, 6), ("brick-notes", "brick", 3, 1.0, 2), ("china-big", "china", 4, 0.7, 7),
    ("gravel-big", "gravel", 4, 1.0, 8),
)


def main() -> None:
    samples, labels = digits(held_out=True)
    truth: dict[str, list[dict[str, object]]] = {}
    (HERE / "pictures").mkdir(exist_ok=True)
    for number, (name, photo, numbers, paper, seed) in enumerate(SHIPPED, 1):
        rng = np.random.default_rng(seed)
        picture = background(photograph(photo), rng, 0.8, 0.0)
        written = scene(picture, samples, labels, rng, numbers=numbers, paper=paper)
        file = f"{number}-{name}.jpg"
        cv2.imwrite(str(HERE / "pictures" / file), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 74])
        scale = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
        truth[file] = [{"label": str(label), "box": np.round(np.array(box) / scale, 4).tolist()} for label, *box in written]
    lines = [f' "{file}": [' + ",".join(f"\n  {json.dumps(row)}" for row in rows) + "]" for file, rows in truth.items()]
    (HERE / "truth.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
