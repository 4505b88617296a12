"""What a device's profile means for quantisation."""

from __future__ import annotations

import pytest

from edgeinfer import devices
from edgeinfer.errors import UsageError
from quantize import targets
from quantize.rules import Rules

CPU = Rules()
EXPECTED: dict[str, tuple[Rules, dict[str, str]]] = {
    "raspberry-pi-zero-2": (CPU, {"tflite": "litert", "onnx": "onnxruntime"}),
    "raspberry-pi-4": (CPU, {"tflite": "litert", "onnx": "onnxruntime"}),
    "raspberry-pi-5": (CPU, {"tflite": "litert", "onnx": "onnxruntime"}),
    "coral-dev": (CPU, {"tflite": "edgetpu", "onnx": "onnxruntime"}),
    "x86-64": (Rules(weight_most=63, unsigned=True), {"tflite": "litert", "onnx": "onnxruntime"}),
    "jetson-orin-nano": (Rules(variant="tensorrt", symmetric=True, float_bias=True), {"onnx": "tensorrt"}),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_target_has_the_rules_of_its_hardware(name: str) -> None:
    """Zero points and biases, the range of weights, and who computes each format, the best first."""
    target = targets.load(name)
    assert (target.name, target.rules, target.paths) == (name, *EXPECTED[name])
    assert target.formats[0] == target.profile.runtimes[0].format


def test_every_device_is_a_target_or_refused() -> None:
    """No profile is forgotten."""
    assert set(targets.names()) == set(EXPECTED)
    assert {profile.name for profile in devices.load_all()} - set(EXPECTED) == {"jetson-nano", "jetson-tx2"}


@pytest.mark.parametrize(("name", "got"), [("jetson-nano", "Maxwell GPU"), ("jetson-tx2", "Pascal GPU")])
def test_hardware_without_int8_is_refused_with_what_to_do_instead(name: str, got: str) -> None:
    """The error says why, and names FP16 on the GPU and INT8 on the CPU."""
    with pytest.raises(UsageError, match=rf"(?s)computes in INT8, got .*{got}.*no INT8\n  hint: .*FP16.*raspberry-pi-4"):
        targets.load(name)


def test_an_unknown_target_is_refused_with_the_nearest() -> None:
    """A mistyped name is one error."""
    with pytest.raises(UsageError, match="did you mean 'raspberry-pi-5'"):
        targets.load("raspberry-pi5")
