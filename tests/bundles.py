"""Bundles of the tiny models, made by ``quantize pack``, and configurations that run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeinfer.model.bundle import Bundle
from quantize.pack import Given, pack
from tests.models import tiny_onnx, tiny_tflite, window_tflite

__all__ = ["colours", "colours_onnx", "configuration", "vibration"]


def colours(folder: Path, dtype: str = "uint8") -> Bundle:
    """Pictures: the mean of red, green and blue as three classes, on LiteRT."""
    model = tiny_tflite(folder / "colours.tflite", dtype=dtype)
    return pack(model, folder / "colours", _colours(folder)).bundle


def colours_onnx(folder: Path) -> Bundle:
    """The same on ONNX Runtime: float, NCHW."""
    given = _colours(folder, preprocess={"mean": [0.0], "std": [255.0]})
    return pack(tiny_onnx(folder / "colours.onnx"), folder / "colours_onnx", given).bundle


def _colours(folder: Path, **said: Any) -> Given:
    labels = folder / "labels.txt"
    labels.write_text("red\ngreen\nblue\n")
    return Given(decoder="classify", labels=str(labels), **said)


def vibration(folder: Path) -> Bundle:
    """Windows of 16 samples of one channel, a new one each 8, through a model that reconstructs them: never an anomaly."""
    model = window_tflite(folder / "vibration.tflite")
    given = Given(decoder="anomaly", parameters={"threshold": 0.5},
                  preprocess={"kind": "window", "length": 16, "channels": 1, "hop": 8, "normalize": "none"})
    return pack(model, folder / "vibration", given).bundle


def configuration(port: int, pipelines: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration on a broker of this machine, with quick retries."""
    sink = {"kind": "mqtt", "host": "127.0.0.1", "port": port, "plain_text": True, "first_retry_s": 0.2, "last_retry_s": 1.0}
    return {"node": "test", "pipelines": pipelines, "sink": {**sink, **more.pop("sink", {})}, "health": {"interval_s": 0.5},
            **more}
