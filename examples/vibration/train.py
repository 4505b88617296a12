"""Trains vibration.onnx: an INT8 autoencoder of a healthy motor. Run by hand, about two minutes: python train.py

Needs (Python 3.11): torch==2.13.0 onnx==1.23.2 onnxruntime==1.24.1 numpy.

It is shown healthy vibration only and must say it again through a bottleneck of a third of the numbers. What turns with the
shaft fits through; noise, and the ringing of a broken bearing, do not, and stay in the difference between input and output.
The threshold comes from healthy recordings that training never saw; other recordings, healthy and broken, tell how well it
does, before and after quantisation (accuracy.json). Fixed seeds, one thread.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from simulate import HERE, SECONDS, record
from torch import nn

LENGTH, HOP, PATCH, NARROW = 256, 128, 8, 8
BATCH, STEPS = 128, 4000


class Autoencoder(nn.Module):
    """(1, 256, 3) standardised to the same: 32 patches of 8 samples, 8 numbers left of the 24 of each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(3, 32, 2 * PATCH, PATCH, PATCH // 2), nn.ReLU(), nn.Conv1d(32, 32, 3, padding=1), nn.ReLU(),
            nn.Conv1d(32, NARROW, 1), nn.Conv1d(NARROW, 32, 3, padding=1), nn.ReLU(), nn.Conv1d(32, 32, 3, padding=1),
            nn.ReLU(), nn.Conv1d(32, 3 * PATCH, 1))

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        patches = self.layers(window.transpose(1, 2))
        count = patches.shape[0]
        return patches.transpose(1, 2).reshape(count, LENGTH, 3)


def windows(samples: np.ndarray) -> np.ndarray:
    """(n, LENGTH, 3), one every HOP samples."""
    return np.stack([samples[at:at + LENGTH] for at in range(0, len(samples) - LENGTH + 1, HOP)])


def train(normal: np.ndarray) -> Autoencoder:
    torch.manual_seed(0)
    model, rng = Autoencoder(), np.random.default_rng(0)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 2e-5)
    for step in range(STEPS):
        batch = torch.from_numpy(normal[rng.integers(0, len(normal), BATCH)])
        loss = ((model(batch) - batch) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        if step % 500 == 0:
            print(f"step {step} of {STEPS}: error {loss.item():.4f}", flush=True)
    return model.eval()


class Windows(CalibrationDataReader):
    def __init__(self, normal: np.ndarray) -> None:
        self.rows: Iterator[np.ndarray] = iter(normal)

    def get_next(self) -> dict[str, np.ndarray] | None:
        row = next(self.rows, None)
        return None if row is None else {"window": row[None]}


def convert(model: Autoencoder, calibration: np.ndarray, path: Path) -> None:
    """QDQ ONNX, opset 17, int8 activations and int8 weights a channel; float32 in and out, as is usual for ONNX."""
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = f"{folder}/float.onnx", f"{folder}/ready.onnx"
        torch.onnx.export(model, (torch.zeros(1, LENGTH, 3),), plain, input_names=["window"],
                          output_names=["reconstruction"], opset_version=17, dynamo=False)
        quant_pre_process(plain, ready, skip_optimization=True)  # optimised here, it would be tied to this CPU
        quantize_static(ready, path, Windows(calibration), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8)
    written = onnx.load(path)
    keep_only_used_domains(written)
    onnx.save(written, path)


def keep_only_used_domains(model: onnx.ModelProto) -> None:
    """Drop the operator sets that the tools import and the graph does not use, and the tools' own notes."""
    used = [entry for entry in model.opset_import if any(node.domain == entry.domain for node in model.graph.node)]
    del model.opset_import[:], model.metadata_props[:]
    model.opset_import.extend(used)


Reconstruct = Callable[[np.ndarray], np.ndarray]


def session(path: Path) -> Reconstruct:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    loaded = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda rows: np.concatenate([loaded.run(None, {"window": row[None]})[0] for row in rows])


def errors(reconstruct: Reconstruct, rows: np.ndarray) -> np.ndarray:
    """Mean squared error of each window: what the ``anomaly`` decoder computes."""
    return ((reconstruct(rows) - rows) ** 2).mean((1, 2))


def plain(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recorded = np.concatenate([windows(record(SECONDS, seed)) for seed in range(200)])
    mean, std = (f(recorded, (0, 1), np.float64).round(3).astype(np.float32) for f in (np.mean, np.std))

    def standardised(seeds: range, fault: tuple[float, float] | None = None) -> np.ndarray:
        return np.concatenate([windows((record(SECONDS, seed, fault) - mean) / std) for seed in seeds])

    normal = (recorded - mean) / std
    model = train(normal)
    convert(model, normal[::50], HERE / "vibration.onnx")
    held_out, healthy = standardised(range(1000, 1040)), standardised(range(1100, 1140))
    broken = standardised(range(1200, 1240), (0.0, SECONDS))
    accuracy: dict[str, object] = {"mean": plain(mean), "std": plain(std)}
    accuracy["windows"] = {"healthy": len(healthy), "broken": len(broken)}
    with torch.no_grad():
        for name, reconstruct in (("float", lambda rows: model(torch.from_numpy(rows)).numpy()),
                                  ("int8", session(HERE / "vibration.onnx"))):
            threshold = round(1.15 * float(errors(reconstruct, held_out).max()), 3)
            calm, loud = errors(reconstruct, healthy), errors(reconstruct, broken)
            accuracy[name] = {"threshold": threshold, "healthy_mean": round(float(calm.mean()), 4),
                              "healthy_max": round(float(calm.max()), 4), "broken_mean": round(float(loud.mean()), 4),
                              "broken_min": round(float(loud.min()), 4), "false_alarms": int((calm > threshold).sum()),
                              "missed": int((loud <= threshold).sum())}
    calm, loud = (np.sqrt((rows.astype(np.float64) ** 2).mean((1, 2))) for rows in (healthy, broken))
    accuracy["level_alone"] = {"healthy_max": round(calm.max(), 4), "broken_below_it": int((loud <= calm.max()).sum())}
    print(json.dumps(accuracy, indent=1))
    (HERE / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n")


if __name__ == "__main__":
    main()
