"""Trains a gauge of the bearing's wear from statistics of the vibration, in plain numpy, and quantises it to bundle/. Run by hand,
some minutes on one core: python train.py (needs edgeinfer[quantize])

A second of each axis becomes 6 numbers, by edgeinfer's own code as on the device: level, crest, kurtosis, kurtosis of the
envelope, and what rings at 260 to 360 Hz, altogether and at the rate at which balls strike. Two small layers make one number of the
18: how hard they strike, 0 for a healthy bearing and 1 for one that should be exchanged today. Seeds are fixed; the recordings are
other ones than vibration.csv.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import yaml

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

import simulate  # noqa: E402
from nets import Adam, Dense, backward, falling, forward, make_bundle, write_onnx  # noqa: E402

from edgeinfer.model.frame import Frame, WindowFormat  # noqa: E402
from edgeinfer.model.preprocess.features import features_of  # noqa: E402
from edgeinfer.model.preprocess.spec import WindowSpec  # noqa: E402

SECONDS, RECORDINGS, BATCH, STEPS, CALIBRATION = 24.0, 160, 64, 3000, 300
STRIKE = simulate.STRIKE


def recording(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples (n, 3), and how hard the balls strike at each (n,): for a third of the recordings not at all."""
    rng = np.random.default_rng(10_000 + seed)
    hard = 0.0 if rng.random() < 0.3 else float(rng.uniform(0.1, 1.15))
    begins = float(rng.uniform(0, SECONDS / 2))
    simulate.STRIKE = tuple(hard * part for part in STRIKE)
    samples = simulate.record(SECONDS, 20_000 + seed, (begins, SECONDS) if hard else None)
    time = np.arange(len(samples)) / simulate.RATE
    return samples, hard * np.interp(time, (begins, SECONDS), (0.7, 1.1), left=0, right=0)


def windows(spec: WindowSpec, seeds: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows (n, length, 3), their features (n, 18), and the wear of each."""
    frame, features = Frame(WindowFormat(spec.length, 3)), features_of(spec)
    raw, rows, wear = [], [], []
    for seed in seeds:
        samples, hard = recording(seed)
        for at in range(0, len(samples) - spec.length + 1, spec.length // 2):
            frame.view[:] = samples[at:at + spec.length]
            features.forget()
            raw.append(frame.view.copy())
            rows.append(features.of(frame)[0].copy())
            wear.append(hard[at:at + spec.length].mean())
    return np.stack(raw), np.stack(rows), np.array(wear, np.float32)


def main() -> None:
    rng = np.random.default_rng(0)
    recipe = yaml.safe_load((HERE / "recipe.yaml").read_text())["preprocess"]
    spec = msgspec.convert(recipe | {"kind": "window"}, WindowSpec)
    raw, rows, wear = windows(spec, range(RECORDINGS))
    print("mean", [round(float(v), 3) for v in rows.mean(0)], "\nstd ", [round(float(v), 3) for v in rows.std(0)])
    seen = (rows - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    layers = [Dense(rng, rows.shape[1], 24), Dense(rng, 24, 16), Dense(rng, 16, 1, relu=False)]
    optimizer = Adam(layers, decay=1e-3)
    for step in range(STEPS):
        chosen = rng.integers(0, len(seen), BATCH)
        apart = forward(layers, seen[chosen])[:, 0] - wear[chosen]
        backward(layers, (np.clip(apart, -0.3, 0.3) / BATCH)[:, None].astype(np.float32))
        optimizer.step(falling(step, STEPS, 4e-3))
    _, rows, wear = windows(spec, range(5000, 5040))
    said = forward(layers, (rows - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32))[:, 0]
    accuracy = {"windows": len(rows), "mean_error": round(float(abs(said - wear).mean()), 4),
                "healthy_most": round(float(said[wear == 0].max()), 3), "worn_least": round(float(said[wear > 0.5].min()), 3)}
    print(accuracy)
    (HERE / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        model, samples = Path(folder) / "severity.onnx", Path(folder) / "samples.npy"
        write_onnx(model, "statistics", (1, rows.shape[1]), [], {"wear": layers})
        np.save(samples, raw[::max(1, len(raw) // CALIBRATION)])
        make_bundle(HERE, model, samples, "--format", "onnx")


if __name__ == "__main__":
    main()
