"""Trains a spotter of "on" and "off" in plain numpy, and quantises it to bundle/. Run by hand, some minutes on one core:

    python train.py            (needs edgeinfer[quantize])

It hears a second as 61 x 24 logarithms of mel bands, computed by edgeinfer's own code, as on the device. Where no whole keyword is
in the second the answer is "nothing" or "other". Seeds are fixed; the voices of room.wav are none of those it learns from.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from nets import Adam, Conv, Dense, Mean, backward, falling, forward, make_bundle, softmax_slope, write_onnx  # noqa: E402
from speak import KEYWORDS, OTHERS, RATE, SOUNDS, room, say, somebody  # noqa: E402

from edgeinfer.model.frame import Frame, WindowFormat  # noqa: E402
from edgeinfer.model.preprocess.features import features_of  # noqa: E402
from edgeinfer.oneshot import WindowSpec  # noqa: E402

LABELS = ("nothing", "other", "on", "off")
CLIPS, BATCH, STEPS, CALIBRATION = 5000, 32, 2200, 200


def clip(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """One second (RATE,), and which of LABELS it is."""
    sound = room(RATE, rng, float(np.exp(rng.uniform(np.log(0.001), np.log(0.02)))))
    kind = int(rng.choice(4, p=(0.12, 0.40, 0.24, 0.24)))
    if kind == 0:
        return sound, kind
    word = LABELS[kind] if kind > 1 else ""
    sounds = KEYWORDS[word] if word else _other(rng)
    spoken = say(sounds, somebody(rng), rng)[:RATE - 200] * rng.uniform(0.3, 1.0)
    start = int(rng.integers(0, RATE - len(spoken)))
    if not word and sounds in KEYWORDS.values():  # a keyword of which at least a half is cut away is none
        left, right = int(rng.uniform(0.45, 0.8) * len(spoken)), int(rng.uniform(0.2, 0.55) * len(spoken))
        start = -left if rng.random() < 0.5 else RATE - right
    begin, end = max(start, 0), min(start + len(spoken), RATE)
    sound[begin:end] += spoken[begin - start:end - start]
    return sound, kind


def _other(rng: np.random.Generator) -> str:
    chance = rng.random()
    if chance < 0.45:
        return list(OTHERS.values())[rng.integers(len(OTHERS))]
    if chance < 0.75:
        return list(KEYWORDS.values())[rng.integers(2)]  # a part of it
    made = "".join(rng.choice(list(SOUNDS), rng.integers(1, 5)))
    return made if made not in KEYWORDS.values() and set(made) != {"-"} else "ma"


def heard(sounds: np.ndarray, spec: WindowSpec) -> np.ndarray:
    """Features (n, rows, columns) as the device computes them."""
    frame, features, rows = Frame(WindowFormat(spec.length, 1)), features_of(spec), []
    for sound in sounds:
        frame.view[:, 0] = np.round(np.clip(sound, -1, 1) * 32767) / 32768
        features.forget()
        rows.append(features.of(frame).copy())
    return np.stack(rows)


def main() -> None:
    rng = np.random.default_rng(0)
    import msgspec

    spec = msgspec.convert(yaml.safe_load((HERE / "recipe.yaml").read_text())["preprocess"] | {"kind": "window"}, WindowSpec)
    sounds, labels = zip(*(clip(rng) for _ in range(CLIPS)), strict=True)
    sounds, labels = np.stack(sounds), np.array(labels)
    seen = ((heard(sounds, spec) - spec.mean[0]) / spec.std[0]).astype(np.float32)
    print(f"mean {seen.mean():.2f}, deviation {seen.std():.2f}, {seen.shape}")
    held = CLIPS // 5
    trunk = [Conv(rng, 1, 16, stride=2), Conv(rng, 16, 24, stride=2), Conv(rng, 24, 32, stride=2), Conv(rng, 32, 32), Mean()]
    head = [Dense(rng, 32, 32), Dense(rng, 32, len(LABELS), relu=False)]
    optimizer = Adam([*trunk, *head], decay=1e-3)
    for step in range(STEPS):
        chosen = rng.integers(held, CLIPS, BATCH)
        loss, slope = softmax_slope(forward([*trunk, *head], seen[chosen][..., None]), labels[chosen])
        backward([*trunk, *head], slope)
        optimizer.step(falling(step, STEPS, 3e-3))
        if step % 200 == 0:
            print(f"step {step} of {STEPS}: loss {loss:.3f}", flush=True)
    right = forward([*trunk, *head], seen[:held][..., None]).argmax(1) == labels[:held]
    accuracy = {"seconds": held, "right": round(float(right.mean()), 4),
                **{label: round(float(right[labels[:held] == index].mean()), 4) for index, label in enumerate(LABELS)}}
    print(accuracy)
    (HERE / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        model, samples = Path(folder) / "keyword.onnx", Path(folder) / "samples.npy"
        write_onnx(model, "sound", (1, spec.rows, spec.columns), trunk, {"words": head})
        np.save(samples, np.round(np.clip(sounds[:CALIBRATION], -1, 1) * 32767).astype(np.float32)[..., None] / 32768)
        make_bundle(HERE, model, samples, "--format", "onnx")


if __name__ == "__main__":
    main()
