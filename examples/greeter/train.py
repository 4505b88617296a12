"""Trains a network from faces to 32 numbers that are alike where the face is, in plain numpy, and quantises it to bundle/. Run by
hand, some minutes on one core: python train.py (needs edgeinfer[quantize])

It learns to tell 320 drawn people apart by the angle between a picture's numbers and each person's own (cosine softmax with a
margin; Wang et al., "CosFace", CVPR 2018), and is then used without those people: the angle between two pictures of anybody says
whether they show the same face. Seeds are fixed; Ada, Grace, Alan and the strangers are none of the 320.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from faces import draw, somebody  # noqa: E402
from nets import Adam, Conv, Dense, Mean, backward, falling, forward, make_bundle, softmax_slope, write_onnx, write_pictures  # noqa: E402

SIDE, SIZE = 56, 32
PEOPLE, VIEWS, BATCH, STEPS, CALIBRATION = 320, 14, 32, 3000, 128
SHARP, MARGIN = 16.0, 0.2


def views(rng: np.random.Generator, people: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 RGB (n, SIDE, SIDE, 3), and whose they are."""
    made = []
    for _ in range(people):
        face = somebody(rng)
        made += [cv2.resize(draw(face, rng), (SIDE, SIDE), interpolation=cv2.INTER_AREA)[..., ::-1] for _ in range(each)]
    return np.stack(made), np.repeat(np.arange(people), each)


def main() -> None:
    rng = np.random.default_rng(0)
    pictures, labels = views(rng, PEOPLE, VIEWS)
    trunk = [Conv(rng, 3, 16, stride=2), Conv(rng, 16, 24, stride=2), Conv(rng, 24, 40, stride=2), Conv(rng, 40, 56),
             Mean(), Dense(rng, 56, SIZE, relu=False)]
    own = Dense(rng, SIZE, PEOPLE, relu=False)
    optimizer = Adam([*trunk, own], decay=1e-3)
    for step in range(STEPS):
        chosen = rng.integers(0, len(labels), BATCH)
        batch = pictures[chosen].astype(np.float32)
        batch = np.where(rng.random((BATCH, 1, 1, 1)) < 0.5, batch[:, :, ::-1], batch) + rng.normal(0, 4, batch.shape)
        vectors = forward(trunk, ((batch - 128) / 128).astype(np.float32))
        loss, by_vector, by_own = cosines(vectors, own.weights, labels[chosen])
        own.slopes = [by_own, np.zeros_like(own.bias)]
        backward(trunk, by_vector)
        optimizer.step(falling(step, STEPS, 3e-3))
        if step % 300 == 0:
            print(f"step {step} of {STEPS}: loss {loss:.3f}", flush=True)
    accuracy = proof(trunk, np.random.default_rng(77))
    print(accuracy)
    (HERE / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        model, samples = Path(folder) / "greeter.onnx", pictures[::len(pictures) // CALIBRATION][:CALIBRATION]
        write_onnx(model, "face", (1, 3, SIDE, SIDE), trunk[:-1], {"embedding": trunk[-1:]})
        make_bundle(HERE, model, write_pictures(Path(folder) / "samples", samples), "--format", "tflite", "--io", "uint8")


def cosines(vectors: np.ndarray, own: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss, and its slopes by the vectors (n, SIZE) and by each person's own (SIZE, people)."""
    long = np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-6
    thick = np.linalg.norm(own, axis=0, keepdims=True) + 1e-6
    one, other = vectors / long, own / thick
    alike = one @ other
    shifted = alike.copy()
    shifted[np.arange(len(labels)), labels] -= MARGIN
    loss, slope = softmax_slope(SHARP * shifted, labels)
    slope = SHARP * slope
    by_one, by_other = slope @ other.T, one.T @ slope
    return (loss, (by_one - one * (by_one * one).sum(1, keepdims=True)) / long,
            (by_other - other * (by_other * other).sum(0, keepdims=True)) / thick)


def proof(trunk: list, rng: np.random.Generator) -> dict[str, float]:
    """60 others, never seen: how alike are two pictures of one, and pictures of two; and how often one is taken for another."""
    pictures, who = views(rng, 60, 6)
    vectors = forward(trunk, (pictures.astype(np.float32) - 128) / 128)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    taught = vectors.reshape(60, 6, -1)[:, :3].sum(1)
    taught /= np.linalg.norm(taught, axis=1, keepdims=True)
    seen, whose = vectors.reshape(60, 6, -1)[:, 3:].reshape(180, -1), who.reshape(60, 6)[:, 3:].ravel()
    alike = seen @ taught.T
    same = alike[np.arange(180), whose]
    alike[np.arange(180), whose] = -2
    return {"same_mean": round(float(same.mean()), 3), "same_least_of_20": round(float(np.quantile(same, 0.05)), 3),
            "other_mean_of_best": round(float(alike.max(1).mean()), 3),
            "other_most_of_20": round(float(np.quantile(alike.max(1), 0.95)), 3),
            "taken_for_another": int((alike.max(1) > same).sum()), "of": 180}


if __name__ == "__main__":
    main()
