"""Targets: what a device's profile means for quantisation, and where operators run on it.

A target has a path for each format: who computes the INT8 file there.

    tflite   "litert": XNNPACK and LiteRT's own kernels; "edgetpu": the Edge TPU, the rest as litert
    onnx     "onnxruntime": ONNX Runtime on the CPU; "tensorrt": a Jetson's GPU
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeinfer import devices
from edgeinfer.devices import DeviceProfile
from edgeinfer.errors import UsageError
from quantize.rules import Rules

__all__ = ["Format", "Path", "Target", "load", "names"]

Format = Literal["tflite", "onnx"]
Path = Literal["litert", "edgetpu", "onnxruntime", "tensorrt"]


@dataclass(frozen=True)
class Target:
    """``rules``: how to quantise for it. ``paths``: who computes each format that it wants, the best first."""

    profile: DeviceProfile
    rules: Rules
    paths: dict[Format, Path]

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def formats(self) -> tuple[Format, ...]:
        return tuple(self.paths)


def names() -> list[str]:
    """The devices that compute in INT8."""
    return [profile.name for profile in devices.load_all() if profile.quantization.int8]


def load(name: str) -> Target:
    """The target of a device. Raises UsageError for one that is not known, and for one whose hardware has no INT8."""
    profile = devices.load(name)
    asked = profile.quantization
    if not asked.int8:
        raise UsageError(f"target {name}", "a device that computes in INT8", f"the {profile.title}: {asked.notes[0]}",
                         asked.instead)
    paths: dict[Format, Path] = {}
    for runtime in profile.runtimes:
        path = _path(runtime.format, runtime.accelerators)
        if asked.bias == "int32" or path == "tensorrt":  # one plan serves all files, and LiteRT's kernels need int32 biases
            paths.setdefault(runtime.format, path)
    return Target(profile, _rules(profile, paths), paths)


def _path(format: Format, accelerators: tuple[str, ...]) -> Path:
    if format == "tflite":
        return "edgetpu" if "edgetpu" in accelerators else "litert"
    return "tensorrt" if "tensorrt" in accelerators else "onnxruntime"


def _rules(profile: DeviceProfile, paths: dict[Format, Path]) -> Rules:
    """TFLite files always have integer inputs and outputs: the device's table from pixel to tensor costs nothing more."""
    asked = profile.quantization
    saturates = profile.cpu.architecture == "x86_64" and not profile.cpu.dot_product
    return Rules(variant="tensorrt" if "tensorrt" in paths.values() else "cpu", symmetric=asked.activations.symmetric,
                 per_axis=asked.weights.per_axis, float_bias=asked.bias == "float32", weight_most=63 if saturates else 127,
                 unsigned=profile.cpu.architecture == "x86_64")
