"""What INT8 keeps of EfficientNet-Lite0, and what getting there costs: this toolkit beside ONNX Runtime's and NNCF.

    accuracy   all tools calibrate on the same photos (every fourth) and all files answer the same others, preprocessed once
    photos     ``quantize`` with all photos and with twice as many: seconds and peak memory

NNCF wants an environment of its own: ``scripts/bench-accuracy`` makes ``.venv-nncf`` and runs both.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quantize.dataset import tensors
from quantize.graph.execute import Runner
from quantize.metrics.classification import Agreement
from quantize.metrics.fidelity import SQNR
from quantize.recipe import Recipe
from quantize.setting import establish
from tests.conftest import ROOT
from tests.quantize.answers import answers

__all__ = ["accuracy", "photos"]

_MODEL, _PHOTOS = "quantize/efficientnet_lite0_fp32.onnx", "quantize/photos"
_RIVALS = {"ort-per-channel": "ONNX Runtime, per channel", "ort-percentile": "ONNX Runtime, percentile 99.99",
           "nncf": "NNCF, default"}


class Cost(NamedTuple):
    """Of one process: wall clock, and its largest resident set."""

    seconds: float
    peak_mb: float


def accuracy(zoo: Path, folder: Path) -> None:
    """Agreement with float, signal to noise of the logits, seconds and peak memory of each tool."""
    setting = establish(Recipe(model=str(zoo / _MODEL), data=str(zoo / _PHOTOS), preprocess={"mean": (127.0,), "std": (128.0,)}))
    samples = folder / "calibration.f32"
    with samples.open("wb") as file:
        for _, feeds in tensors(setting.calibration, setting.spec, setting.inputs):
            file.write(np.ascontiguousarray(next(iter(feeds.values())), np.float32).tobytes())
    judged = [next(iter(feeds.values())).copy() for _, feeds in tensors(setting.judging, setting.spec, setting.inputs)]
    float_model = Runner(setting.graph)
    truth = [np.ravel(next(iter(float_model.run({setting.graph.inputs[0]: feed}).values()))) for feed in judged]
    print(f"{len(setting.calibration)} photos calibrate, {len(judged)} judge; seconds of a whole process: for quantize they hold "
          "its own judging, packing and report")
    print(f"{'':32} {'agreement':>10} {'dB':>6} {'seconds':>8} {'peak MB':>8}")
    cost = measured(run_command(zoo, zoo / _PHOTOS, folder / "out"), folder / "log")
    for kind, title in (("onnx", "quantize, ONNX"), ("tflite", "quantize, TFLite")):
        line(title, folder / f"out/{Path(_MODEL).stem}.{kind}", judged, truth, cost)
    for name, title in _RIVALS.items():
        python = ROOT / ".venv-nncf/bin/python" if name == "nncf" else Path(sys.executable)
        if not python.is_file():
            print(f"{title:32} not measured: no {python} (scripts/bench-accuracy makes it)")
            continue
        out = folder / f"{name}.onnx"
        cost = measured([str(python), str(ROOT / "tests/bench/rivals.py"), name, str(zoo / _MODEL), str(samples), str(out)],
                        folder / "log")
        line(title, out, judged, truth, cost)


def photos(zoo: Path, folder: Path) -> None:
    """All photos, then each of them twice, the second time a little darker and under another name."""
    import cv2

    twice = folder / "twice"
    twice.mkdir()
    for path in sorted((zoo / _PHOTOS).glob("*.jpg")):
        (twice / path.name).symlink_to(path)
        cv2.imwrite(str(twice / f"{path.stem}-darker.jpg"), (cv2.imread(str(path)) * 0.97).astype(np.uint8))
    for title, data in (("once", zoo / _PHOTOS), ("twice", twice)):
        cost = measured(run_command(zoo, data, folder / f"out-{title}"), folder / "log")
        print(f"photos {title}: {len(list(data.iterdir()))} photos, {cost.seconds:.0f} s, peak {cost.peak_mb:.0f} MB", flush=True)


def run_command(zoo: Path, data: Path, out: Path) -> list[str]:
    """One run of the toolkit as a person starts it."""
    return [sys.executable, "-m", "quantize.cli", str(zoo / _MODEL), "--data", str(data), "--target", "raspberry-pi-4", "--mean",
            "127", "--std", "128", "-o", str(out)]


def measured(command: list[str], log: Path) -> Cost:
    """Run it, and say what it took. Ends the bench with what it wrote where it fails."""
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: ended with {process.returncode}\n{log.read_text(errors='replace')[-4000:]}")
    return Cost(time.perf_counter() - started, usage.ru_maxrss / 1024)


def line(title: str, file: Path, judged: list[np.ndarray], truth: list[np.ndarray], cost: Cost) -> None:
    """One row of the table."""
    agreement, noise = Agreement(), SQNR()
    for expected, got in zip(truth, answers(file, judged), strict=True):
        agreement.add(expected, got)
        noise.add(expected, got)
    print(f"{title:32} {agreement.result().value:9.1f}% {noise.result().value:6.1f} {cost.seconds:8.0f} {cost.peak_mb:8.0f}", flush=True)
