"""Bundles of the zoo's models, made by ``quantize pack`` from the bare files and what a user would say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeinfer.model.bundle import Bundle
from quantize.pack import Given, pack

__all__ = ["KWS_WORDS", "MICRO_SPEECH_WORDS", "ad01", "fastestdet", "kws", "kws_of_sound", "micro_speech", "micro_speech_of_sound",
           "mobilenet_onnx", "mobilenet_tflite", "movenet"]

KWS_WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown")
MICRO_SPEECH_WORDS = ("silence", "unknown", "yes", "no")

IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


def _pack(model: Path, out: Path, **said: Any) -> Bundle:
    return pack(model, out, Given(**said)).bundle


def mobilenet_tflite(zoo: Path, out: Path) -> Bundle:
    """The INT8 ImageNet classifier for LiteRT, uint8 in and out, 1001 classes with a background."""
    return _pack(zoo / "classify/mobilenet_v2_1.0_224_quant.tflite", out, decoder="classify",
                 labels=str(zoo / "classify/imagenet_labels.txt"), parameters={"background": 0})


def mobilenet_onnx(zoo: Path, out: Path) -> Bundle:
    """The INT8 ImageNet classifier for ONNX Runtime, float NCHW in, 1000 logits out."""
    labels = (zoo / "classify/imagenet_labels.txt").read_text().splitlines()[1:]
    file = out.parent / "imagenet1000.txt"
    file.write_text("".join(f"{label}\n" for label in labels))
    return _pack(zoo / "classify/mobilenet_v2_quant.onnx", out, decoder="classify", labels=str(file),
                 parameters={"softmax": True}, preprocess=IMAGENET)


def ad01(zoo: Path, out: Path, kind: str) -> Bundle:
    """The machine sound autoencoder: five frames of 128 log-mel bands. ``kind``: int8 or fp32."""
    return _pack(zoo / f"anomaly/ad01_{kind}.tflite", out, decoder="anomaly", task="anomaly",
                 parameters={"mode": "reconstruction", "threshold": 10.0},
                 preprocess={"kind": "window", "length": 5, "channels": 128, "hop": 1, "normalize": "none"})


def kws(zoo: Path, out: Path) -> Bundle:
    """Keyword spotting: 49 frames of 10 MFCC, 12 classes."""
    return _pack(zoo / "audio/kws_ref_model.tflite", out, decoder="classify", parameters={"top_k": 1},
                 preprocess={"kind": "window", "length": 49, "channels": 10, "hop": 49, "normalize": "none"})


def micro_speech(zoo: Path, out: Path) -> Bundle:
    """Four classes from 49 frames of 40 mel bands."""
    return _pack(zoo / "audio/micro_speech_quantized.tflite", out, decoder="classify", parameters={"top_k": 1},
                 preprocess={"kind": "window", "length": 49, "channels": 40, "hop": 49, "normalize": "none"})


def kws_of_sound(zoo: Path, out: Path, model: str = "kws_ref_model.tflite") -> Bundle:
    """The same from a second of sound each 20 ms, with the features of MLPerf Tiny's reference (get_dataset.py, "mfcc")."""
    features = {"kind": "mfcc", "frame": 480, "step": 320, "bands": 40, "low": 20.0, "high": 4000.0, "triangles": "mel", "power": 1,
                "offset": 1e-6, "floor": 0.0, "dct_norm": "htk", "coefficients": 10, "scale": "max"}
    return _pack(zoo / "audio" / model, out, decoder="classify", parameters={"top_k": 1}, labels=_words(out, KWS_WORDS),
                 preprocess={"kind": "window", "length": 16000, "hop": 320, "rate": 16000, "normalize": "none", "features": features})


def micro_speech_of_sound(zoo: Path, out: Path) -> Bundle:
    """Four classes from 49 frames of 30 ms, one each 20 ms, through the micro frontend."""
    features = {"kind": "micro_frontend", "frame": 480, "step": 320}
    return _pack(zoo / "audio/micro_speech_quantized.tflite", out, decoder="classify", parameters={"top_k": 1},
                 labels=_words(out, MICRO_SPEECH_WORDS),
                 preprocess={"kind": "window", "length": 15840, "hop": 320, "rate": 16000, "normalize": "none", "features": features})


def _words(out: Path, words: tuple[str, ...]) -> str:
    file = out.parent / f"{out.name}-words.txt"
    file.write_text("".join(f"{word}\n" for word in words))
    return str(file)


def movenet(zoo: Path, out: Path) -> Bundle:
    """Seventeen key points (y, x, score), through ``raw``."""
    return _pack(zoo / "pose/movenet_single_pose_lightning_ptq.tflite", out, decoder="raw")


def fastestdet(zoo: Path, out: Path) -> Bundle:
    """A float detector that only a third-party decoder understands."""
    return _pack(zoo / "detect/FastestDet.onnx", out, decoder="fastestdet", labels=str(zoo / "detect/coco.names"),
                 preprocess={"colour": "BGR", "mean": [0.0], "std": [255.0]})
