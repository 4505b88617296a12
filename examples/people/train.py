"""Trains a detector of the people whom street.py draws, in plain numpy, and quantises it to bundle/. Run by hand, some minutes
on one core: python train.py (needs edgeinfer[quantize])

Five convolutions and one level of 20 x 12 cells of 8 pixels without anchors, as in YOLOX or NanoDet: each cell says how far its
centre is from the four sides of its person (in cells), and whether there is one. Two outputs, since each then has a scale of its
own. The pictures are drawn anew: other people, other colours, other things about; seeds are fixed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from nets import Adam, Conv, backward, falling, forward, make_bundle, write_onnx, write_pictures  # noqa: E402
from street import background, finished, person, somebody  # noqa: E402

ROWS, COLUMNS, STRIDE = 12, 20, 8
POOL, BATCH, STEPS, CALIBRATION = 2400, 16, 2600, 96


def scene(rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[float, float, float, float]]]:
    """A picture RGB (96, 160, 3) and the boxes of those on it, in fractions."""
    picture = background(None if rng.random() < 0.35 else rng)
    places = sorted(((float(rng.uniform(-0.02, 1.02)), float(rng.uniform(0.425, 1.06))) for _ in range(rng.integers(0, 7))),
                    key=lambda place: place[1])
    boxes = [person(picture, somebody(rng), x, y, float(rng.uniform(0, 6.3)), int(rng.integers(-1, 2))) for x, y in places]
    small = cv2.resize(finished(picture), (COLUMNS * STRIDE, ROWS * STRIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = np.clip(small * rng.uniform(0.75, 1.15, (1, 1, 3)) + rng.uniform(-15, 15) + rng.normal(0, 3, small.shape), 0, 255)
    boxes = [tuple(np.clip(box, 0, 1)) for box in boxes]
    if rng.random() < 0.5:
        small, boxes = small[:, ::-1], [(1 - right, top, 1 - left, bottom) for left, top, right, bottom in boxes]
    return np.ascontiguousarray(small[..., ::-1]).astype(np.uint8), boxes


def targets(boxes: list[tuple[float, float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each cell is in the middle of somebody: 1, 0, or -1 where it does not matter; and its distances to their sides."""
    state, distances = np.zeros((ROWS, COLUMNS), np.float32), np.zeros((ROWS, COLUMNS, 4), np.float32)
    x, y = np.meshgrid(np.arange(COLUMNS) + 0.5, np.arange(ROWS) + 0.5)
    for box in boxes:  # the nearest comes last and hides the others
        left, top, right, bottom = np.array(box) * (COLUMNS, ROWS, COLUMNS, ROWS)
        middle_x, middle_y = (left + right) / 2, top + 0.45 * (bottom - top)
        inside = (x > left) & (x < right) & (y > top) & (y < bottom)
        middle = (abs(x - middle_x) < max(0.55, 0.3 * (right - left))) & (abs(y - middle_y) < 0.28 * (bottom - top))
        state[inside & (state == 0)] = -1
        state[middle] = 1
        distances[middle] = np.stack([x - left, y - top, right - x, bottom - y], -1)[middle]
    return state, distances


def slopes(boxes: np.ndarray, scores: np.ndarray, state: np.ndarray, there: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Focal loss of the scores, smooth L1 of the distances; their sum and the two slopes."""
    sure = 1 / (1 + np.exp(-scores[..., 0]))
    wrong = np.where(state == 1, 1 - sure, sure)
    weight = np.where(state == 1, 0.6, np.where(state == 0, 0.4, 0.0)) * wrong ** 1.5
    many = max(float((state == 1).sum()), 1.0)
    by_score = (weight * (sure - (state == 1)) * 2.5 / many)[..., None]
    apart = boxes - there
    by_box = np.clip(apart, -1, 1) * (state == 1)[..., None] * np.float32(0.5 / many)
    loss = float((weight * -np.log(1 - wrong + 1e-6)).sum() / many + (abs(apart) * (state == 1)[..., None]).sum() / many / 4)
    return loss, by_box.astype(np.float32), by_score.astype(np.float32)


def main() -> None:
    rng = np.random.default_rng(0)
    drawn = [scene(rng) for _ in range(POOL)]
    pictures = np.stack([picture for picture, _ in drawn])
    states, distances = (np.stack(part) for part in zip(*(targets(boxes) for _, boxes in drawn), strict=True))
    trunk = [Conv(rng, 3, 12, stride=2), Conv(rng, 12, 20, stride=2), Conv(rng, 20, 32, stride=2), Conv(rng, 32, 32),
             Conv(rng, 32, 32)]
    boxes, scores = [Conv(rng, 32, 4, kernel=1, relu=False)], [Conv(rng, 32, 1, kernel=1, relu=False)]
    boxes[0].weights *= 0.1
    boxes[0].bias[:] = (1, 1.7, 1, 1.7)
    scores[0].weights *= 0.1
    scores[0].bias[:] = -3
    optimizer = Adam([*trunk, *boxes, *scores])
    for step in range(STEPS):
        chosen = rng.integers(0, POOL, BATCH)
        seen = forward(trunk, (pictures[chosen].astype(np.float32) - 128) / 128)
        loss, by_box, by_score = slopes(forward(boxes, seen), forward(scores, seen), states[chosen], distances[chosen])
        backward(trunk, backward(boxes, by_box) + backward(scores, by_score))
        optimizer.step(falling(step, STEPS, 4e-3))
        if step % 200 == 0:
            print(f"step {step} of {STEPS}: loss {loss:.3f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "people.onnx"
        write_onnx(model, "picture", (1, 3, ROWS * STRIDE, COLUMNS * STRIDE), trunk, {"boxes": boxes, "scores": scores})
        samples = write_pictures(Path(folder) / "samples", pictures[:CALIBRATION])
        make_bundle(HERE, model, samples, "--format", "tflite", "--io", "uint8")


if __name__ == "__main__":
    main()
