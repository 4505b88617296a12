"""Trains a score for payments in plain numpy, and quantises it to bundle/. Run by hand, half a minute:

    python train.py            (needs edgeinfer[quantize])

A payment becomes 13 numbers by the recipe's table, with edgeinfer's own code, as on the device; two layers of 24 make two classes
of them. Seeds are fixed; the payments of payments.jsonl are none of those it learns from.
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
sys.path.insert(0, str(HERE.parent))

from nets import Adam, Dense, backward, falling, forward, make_bundle, softmax_slope, write_onnx  # noqa: E402
from shop import payments  # noqa: E402

from edgeinfer.model.preprocess.columns import Column, Columns  # noqa: E402

COUNT, BATCH, STEPS, CALIBRATION = 20000, 128, 2500, 1000


def numbers(rows: list[dict[str, object]], columns: Columns) -> np.ndarray:
    """(n, 13) float32 as the device makes them of rows."""
    made = np.zeros((len(rows), columns.width), np.float32)
    for row, into in zip(rows, made, strict=True):
        columns.write(row, into)
    return made


def main() -> None:
    rng = np.random.default_rng(0)
    spec = yaml.safe_load((HERE / "recipe.yaml").read_text())["preprocess"]
    columns = Columns(msgspec.convert(spec["table"], tuple[Column, ...]))
    mean, std = np.array(spec["mean"], np.float32), np.array(spec["std"], np.float32)
    rows, stolen = payments(rng, COUNT, 0.3)
    raw, labels = numbers(rows, columns), stolen.astype(int)
    seen = (raw - mean) / std
    layers = [Dense(rng, columns.width, 24), Dense(rng, 24, 24), Dense(rng, 24, 2, relu=False)]
    optimizer = Adam(layers, decay=1e-3)
    for step in range(STEPS):
        chosen = rng.integers(0, COUNT, BATCH)
        loss, slope = softmax_slope(forward(layers, seen[chosen]), labels[chosen])
        backward(layers, slope)
        optimizer.step(falling(step, STEPS, 3e-3))
        if step % 500 == 0:
            print(f"step {step} of {STEPS}: loss {loss:.3f}", flush=True)
    rows, stolen = payments(np.random.default_rng(99), 20000, 0.12)
    logits = forward(layers, (numbers(rows, columns) - mean) / std)
    said = logits[:, 1] > logits[:, 0]
    accuracy = {"payments": len(rows), "fraud": int(stolen.sum()), "fraud_found": round(float(said[stolen].mean()), 4),
                "honest_stopped": round(float(said[~stolen].mean()), 4)}
    print(accuracy)
    (HERE / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        model, samples = Path(folder) / "transactions.onnx", Path(folder) / "samples.npy"
        write_onnx(model, "payment", (1, columns.width), [], {"classes": layers})
        np.save(samples, raw[:CALIBRATION, None])
        make_bundle(HERE, model, samples, "--format", "onnx")


if __name__ == "__main__":
    main()
