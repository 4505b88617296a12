"""Reports to test with: one with everything in it, one with nothing, one in which every string is hostile."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from quantize.compare import OutputParity, Parity, TensorComparison
from quantize.metrics import Figure
from quantize.report.document import (
    Accuracy,
    Calibration,
    Cause,
    Document,
    File,
    Finding,
    Histogram,
    Island,
    Ladder,
    Latency,
    Machine,
    Operator,
    Provenance,
    Run,
    Rung,
    Sample,
    TargetOperators,
    Verdict,
)
from quantize.report.thumbnail import thumbnail

__all__ = ["BARE", "HOSTILE", "full", "with_strings"]

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x00\u202egpj.\udcff.onnx"
BARE = Document(model="m.onnx", verdict=Verdict(outcome="unlabelled", sentence="Nothing was measured."))


def figure(name: str, value: float, half: float | None, unit: str = "%", better: Any = "higher") -> Figure:
    low, high = (None, None) if half is None else (float(value - half), float(value + half))
    return Figure(name=name, value=float(value), low=low, high=high, unit=unit, better=better, count=417)


def full(layers: int = 80, worst: int = 12) -> Document:
    """Every section, with names as long as those of real exports."""
    random = np.random.default_rng(0)
    name = "efficientnet-lite0/model/blocks_{}/depthwise_conv2d/tpu_batch_normalization_{}/FusedBatchNormV3:0".format
    picture = random.integers(0, 255, (60, 80, 3), np.uint8)
    titles = ("Float", "INT8 ONNX", "INT8 TFLite")
    runs = tuple(Run(title=title, runs_on="ONNX Runtime 1.32.0, 2 threads", figures=(
        figure("top-1", 75 - index / 2, 3.5), figure("top-1 agreement", 90 - index, 3), figure("signal to noise", 17.2, .3, "dB"),
        figure("largest error", 7.0, None, "LSB", "lower")),
        drops=(figure("drop of top-1", index / 2, 1.1, "points", "lower"),) if index else ()) for index, title in enumerate(titles))
    answers = {"Float": "cellular telephone, cellphone, mobile phone 0.41", "INT8 ONNX": "iPod 0.38", "INT8 TFLite": "iPod 0.37"}
    rows = [TensorComparison(
        name=name(index, index), op="Conv", sqnr_db=50 - 40 * index / layers - 7 * (index % 9 == 8), cosine=0.998, max_lsb=12.0,
        float_low=-3.0, float_high=9.0, grid_low=-2.9, grid_high=8.8, saturated=0.0004, dtype="int16" if index == 3 else "int8")
        for index in range(layers - 1)]
    rows.append(TensorComparison(name="probabilities", op="Softmax", sqnr_db=12.0, cosine=0.98, max_lsb=None, float_low=0.0,
                                 float_high=1.0, grid_low=None, grid_high=None, saturated=0.0, dtype="float32"))
    counts = tuple(int(1e4 * math.exp(-((bar - 30) / 12) ** 2)) for bar in range(64))
    latency = Latency(p50=12.1, p95=13.0, p99=14.2, mean=12.4, max=21.0, count=417)
    return Document(
        model="efficientnet_lite0_fp32.onnx", target="raspberry-pi-5",
        verdict=Verdict(outcome="passed", sentence="INT8 TFLite lowers top-1 by 1.0 points: 74.0 % instead of 75.0 %.",
                        reasons=("The INT8 files give the same answer on 99.8 % of the pictures.",)),
        accuracy=Accuracy(samples=417, labelled=True, what="pictures", source="photos", runs=runs),
        worst=tuple(Sample(name=f"animals__mammals__rodents__beaver_{index}.jpg", answers=answers, sqnr_db=5.0 + index, truth="iPod",
                           image=thumbnail(picture) if index % 2 == 0 else b"",
                           signal=() if index % 2 == 0 else tuple(math.sin(x / 5) for x in range(100))) for index in range(worst)),
        layers=tuple(rows),
        histograms=tuple(Histogram(name=name(index, index), low=-5.0, high=15.0, counts=counts, chosen_low=-2.0, chosen_high=9.0,
                                   clipped=0.0012, method="mse") for index in range(9)),
        ladder=Ladder(bar=90.0, ended="The bar is reached.", rungs=tuple(
            Rung(did=f"Attempt {index}, which is told in a rather long sentence", figure=figure("top-1 agreement", 82 + index, 3),
                 gain=float(index and 1), seconds=12.5 + 30 * index, kept=index != 3, why="Because." if index else "")
            for index in range(6))),
        diagnosis=(Cause(kind="activation-outlier", sentence="Three activations have outliers.", advice="Cut them off.",
                         tensors=tuple(name(index, index) for index in range(6))),
                   Cause(kind="too-few-samples", sentence="Ranges still grew.", severity="bad")),
        islands=tuple(Island(node=name(index, index), op="Resize", reason="cubic resizing has no integer kernel", file="INT8 TFLite")
                      for index in range(14)),
        operators=(TargetOperators(target="raspberry-pi-5", integer=78, other=2, note="Twice as fast as float.", leaving=(
            Operator(op="Softmax", count=2, reason="XNNPACK has no INT8 Softmax", node=name(1, 2)),)),
            TargetOperators(target="coral", integer=80, other=0)),
        parity=Parity(samples=417, agreement=figure("top-1 agreement", 99.5, 0.4), outputs=(
            OutputParity(name="probabilities", max_lsb=2.0, mean_lsb=0.031, identical=0.97),)),
        files=tuple(File(title=title, name=f"model_{index}.onnx", bytes=18_000_000 // (1 + 3 * (index > 0)), latency=latency,
                         runs_on="ONNX Runtime 1.32.0") for index, title in enumerate(titles)),
        calibration=Calibration(source="photos", samples=139, severity="good", sentence="The set looks as expected.", method="mse",
                                findings=(Finding(severity="warning", sentence="3 pictures are alike.", hint="rm a.jpg b.jpg"),)),
        provenance=Provenance(command="quantize m.onnx --data photos --target raspberry-pi-5 --max-drop 1.0 --max-minutes 10 -o m",
                              recipe="model: m.onnx\n", versions={"numpy": "2.4.6", "onnxruntime": "1.32.0"}, seed=0,
                              hashes={"efficientnet_lite0_fp32.onnx": "9f86d081884c7d65" * 4}, assumed=("resize = stretch",),
                              machine=Machine(cpu="AMD EPYC", architecture="x86_64", cores=2, flags=("avx2", "avx512_vnni"),
                                              vnni=True)))


def with_strings(document: Document, text: str) -> Document:
    """The same document with every free string replaced; those of a fixed choice stay."""
    fixed = {"outcome", "severity", "better", "image", "dtype", "unit"}

    def replaced(value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            return value if key in fixed else text
        if isinstance(value, dict):
            free = key in ("answers", "versions", "hashes")
            return {f"{text}{index}" if free else name: replaced(item, name) for index, (name, item) in enumerate(value.items())}
        return [replaced(item, key) for item in value] if isinstance(value, list | tuple) else value

    return msgspec.convert(replaced(msgspec.to_builtins(document)), Document)
