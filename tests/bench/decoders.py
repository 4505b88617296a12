"""Microseconds of each decoder on heads as large as real ones, at the numbers of survivors that real pictures have."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.tensor import Array, DType, TensorSpec
from tests.model.decoders.cases import tensor

ROUNDS = 400
SIDE = 640
CELLS = 8400  # of strides 8, 16, 32 at 640 x 640
THINGS = 12  # objects in the picture, each seen by four candidates


def decoders(zoo: Path, folder: Path) -> None:
    """p50 and p95; the bar of 300 us is for 8400 candidates of 80 classes."""
    here = Geometry(input_height=SIDE, input_width=SIDE)
    for name, (decoder, parameters, outputs) in _heads().items():
        for dtype in ("int8", "float32"):
            specs, stored = _stored(outputs, dtype)
            labels = ["a"] * (specs[0].shape[-1] - 1) if decoder == "ctc" else []
            made = DECODERS.load(decoder, "bench")(parameters, specs, labels, [tensor("picture", (1, SIDE, SIDE, 3), "uint8")])
            p50, p95, result = _times(made, stored, here)
            found = result.count if hasattr(result, "count") else 1
            print(f"{name:<28} {dtype:<8} p50 {p50:7.1f} us   p95 {p95:7.1f} us   {found} found", flush=True)


def _times(made: Any, stored: list[Array], geometry: Geometry) -> tuple[float, float, Any]:
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter_ns()
        result = made.decode(stored, [], geometry)
        taken.append(time.perf_counter_ns() - started)
    p50, p95 = np.percentile(taken, (50, 95)) / 1000
    return float(p50), float(p95), result


Outputs = list[tuple[str, Array, float, float]]  # name, real values, and what 8 bits of them span


def _heads() -> dict[str, tuple[str, dict[str, Any], Outputs]]:
    rng = np.random.default_rng(1)
    boxes, scores = _candidates(rng, CELLS, 80)
    boxes /= SIDE
    unit = {"box_unit": "fraction"}
    v8 = np.concatenate((boxes, scores), axis=1)
    sure = scores.max(axis=1, keepdims=True)
    v5 = np.concatenate((boxes, sure, scores), axis=1)
    queries, classes = _candidates(rng, 300, 80)
    queries /= SIDE
    finished = np.concatenate((queries, classes.max(axis=1, keepdims=True), classes[:, :1]), axis=1)
    logits = np.log(np.clip(scores, 1e-3, 0.999) / (1 - np.clip(scores, 1e-3, 0.999)))
    raw = np.concatenate((np.zeros((CELLS, 64)), logits), axis=1)
    maps: Outputs = [(f"p{side}", raw[start : start + side * side].T.reshape(144, side, side), -8, 8)
                     for side, start in ((80, 0), (40, 6400), (20, 8000))]
    pose = np.concatenate((boxes, sure, np.tile(boxes[:, :1], 51)), axis=1)
    outlined = np.concatenate((boxes, scores, rng.normal(0, 1, (CELLS, 32))), axis=1)
    outlines: Outputs = [("o", outlined.T, -4, 4), ("p", rng.normal(0, 1, (32, 160, 160)), -4, 4)]
    turned: Outputs = [outlines[0], ("p", np.moveaxis(outlines[1][1], 0, -1), -4, 4)]
    part: Outputs = [("boxes", boxes.T, 0, 1), ("scores", scores.T, 0, 1)]
    return {
        "yolo v8, channels first": ("yolo", {"variant": "v8", **unit}, [("o", v8.T, 0, 1)]),
        "yolo v8, channels last": ("yolo", {"variant": "v8", **unit}, [("o", v8, 0, 1)]),
        "yolo v8, in parts": ("yolo", {"variant": "v8", **unit}, part),
        "yolo v5": ("yolo", {"variant": "v5", **unit}, [("o", v5, 0, 1)]),
        "grid dfl (v8 by maps)": ("grid", {"encoding": "dfl"}, maps),
        "end to end": ("end_to_end", {"box_unit": "fraction", "columns": ["x", "y", "width", "height", "score", "-"]}, [("o", finished, 0, 1)]),
        "detr": ("detr", {"activation": "none"}, [("boxes", queries, 0, 1), ("scores", classes, 0, 1)]),
        "pose yolo": ("pose", {"variant": "yolo", **unit}, [("o", pose.T, 0, 1)]),
        "instances, 12 masks": ("instances", unit, outlines),
        "instances, 12, channels last": ("instances", unit, turned),
        "instances, 6 masks": ("instances", {**unit, "max_detections": 6}, outlines),
        "segment 256 x 256": ("segment", {"logits": True}, [("o", _disc(256), -4, 4)]),
        "segment 256 x 256 of 21": ("segment", {}, [("o", rng.normal(0, 1, (64, 64, 21)).repeat(4, 0).repeat(4, 1), -4, 4)]),
        "pose movenet": ("pose", {"variant": "movenet"}, [("o", rng.random((1, 17, 3)), 0, 1)]),
        "ctc 40 x 6625": ("ctc", {}, [("o", rng.random((40, 6625)), 0, 1)]),
        "embed 512": ("embed", {}, [("o", rng.normal(0, 1, 512), -4, 4)]),
    }


def _candidates(rng: np.random.Generator, count: int, classes: int) -> tuple[Array, Array]:
    """Boxes by their centre in pixels, and scores: nearly all quiet, a few things seen by four candidates each."""
    boxes = np.concatenate((rng.random((count, 2)) * SIDE, 20 + rng.random((count, 2)) * 40), axis=1)
    scores = rng.random((count, classes)) * 0.05
    for thing in range(THINGS):
        box, label = [60 + thing % 4 * 160, 80 + thing // 4 * 200, 90, 110], rng.integers(0, classes)
        for candidate in int(rng.integers(0, count - 4)) + np.arange(4):  # neighbours
            boxes[candidate], scores[candidate, label] = box + rng.normal(0, 2, 4), 0.5 + 0.45 * rng.random()
    return boxes, scores


def _disc(side: int) -> Array:
    y, x = np.mgrid[:side, :side] - side / 2
    return np.where(np.hypot(x, y) < side / 3, 3.0, -3.0)


def _stored(outputs: Outputs, dtype: DType) -> tuple[list[TensorSpec], list[Array]]:
    specs = [tensor(name, (1, *values.shape), dtype, *([(high - low) / 255, round(-low * 255 / (high - low)) - 128]
                                                        if dtype == "int8" else [])) for name, values, low, high in outputs]
    return specs, [np.ascontiguousarray(spec.quantize(values[np.newaxis])) for spec, (_, values, _, _) in zip(specs, outputs, strict=True)]
