"""Real models: all load, with the facts that their makers state, and describe() agrees with the runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.model.backends import RuntimeOptions, open_session
from edgeinfer.model.modelfile import describe
from edgeinfer.model.tensor import Quantization, TensorSpec
from tests import litert

pytestmark = pytest.mark.zoo

MODELS = (
    "anomaly/ad01_fp32.tflite", "anomaly/ad01_int8.tflite", "audio/kws_ref_model.tflite", "audio/kws_ref_model_float32.tflite",
    "audio/micro_speech_quantized.tflite", "classify/mobilenet_v2_1.0_224_quant.tflite", "classify/mobilenet_v2_quant.onnx",
    "classify/pretrainedResnet.tflite", "classify/pretrainedResnet_quant.tflite", "classify/vww_96_float.tflite",
    "classify/vww_96_int8.tflite", "detect/FastestDet.onnx", "pose/movenet_single_pose_lightning_ptq.tflite",
    "quantize/efficientnet_lite0_fp32.onnx", "segment/selfie_segmentation.tflite",
)


def spec(name: str, shape: tuple[int, ...], dtype: str, scale: float = 0.0, zero_point: int = 0) -> TensorSpec:
    quantization = Quantization(scale=(float(np.float32(scale)),), zero_point=(zero_point,)) if scale else None
    return TensorSpec(name=name, shape=shape, dtype=dtype, quantization=quantization)  # type: ignore[arg-type]


@pytest.mark.parametrize(("file", "input", "output"), [
    ("classify/mobilenet_v2_1.0_224_quant.tflite", spec("input", (1, 224, 224, 3), "uint8", 1 / 128, 128),
     spec("MobilenetV2/Predictions/Softmax", (1, 1001), "uint8", 1 / 256, 0)),
    ("audio/kws_ref_model.tflite", spec("input_1", (1, 49, 10, 1), "int8", 0.5847029089927673, 83),
     spec("Identity", (1, 12), "int8", 1 / 256, -128)),
    ("classify/pretrainedResnet_quant.tflite", spec("input_1_int8", (1, 32, 32, 3), "int8", 1, -128),
     spec("Identity_int8", (1, 10), "int8", 1 / 256, -128)),
    ("classify/mobilenet_v2_quant.onnx", spec("input", (1, 3, 224, 224), "float32"), spec("output", (1, 1000), "float32")),
    ("quantize/efficientnet_lite0_fp32.onnx", spec("image", (1, 3, 224, 224), "float32"),
     spec("logits", (1, 1000), "float32")),
])
def test_specs_are_those_that_the_maker_states(zoo: Path, file: str, input: TensorSpec, output: TensorSpec) -> None:
    """Names, shapes, dtypes, scales and zero points, written down by hand."""
    session = open_session(zoo / file, Path(file).suffix[1:], RuntimeOptions())
    assert (session.inputs, session.outputs) == ((input,), (output,))


@pytest.mark.parametrize("file", MODELS)
def test_every_model_loads_and_runs(zoo: Path, file: str) -> None:
    """Each opens without a fallback, runs, and its tensors are those that describe() found in the file."""
    path = zoo / file
    if "selfie" in file and litert.interpreter().__name__.startswith("tflite_runtime"):
        pytest.skip("tflite-runtime lacks the operator Convolution2DTransposeBias")
    session = open_session(path, path.suffix[1:], RuntimeOptions())
    assert session.fallbacks == ()
    session.invoke()
    found = describe(path)
    for ours, theirs in zip((*session.inputs, *session.outputs), (*found.inputs, *found.outputs), strict=True):
        assert (ours.name, ours.dtype, ours.quantization) == (theirs.name, theirs.dtype, theirs.quantization)
        assert all(side in (1, stated) if stated == -1 else side == stated
                   for side, stated in zip(ours.shape, theirs.shape, strict=True))
    session.close()


@pytest.mark.parametrize("file", [file for file in MODELS if file.endswith(".tflite")])
def test_specs_are_those_of_the_interpreter(zoo: Path, file: str) -> None:
    """What is read from the file is what LiteRT itself reads, float for float."""
    if "selfie" in file and litert.interpreter().__name__.startswith("tflite_runtime"):
        pytest.skip("tflite-runtime lacks the operator Convolution2DTransposeBias")
    interpreter = litert.interpreter().Interpreter(str(zoo / file), num_threads=1)
    session = open_session(zoo / file, "tflite", RuntimeOptions())
    details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    for ours, detail in zip((*session.inputs, *session.outputs), details, strict=True):
        assert (ours.name, ours.shape, ours.dtype) == (detail["name"], tuple(detail["shape"]), np.dtype(detail["dtype"]).name)
        scales, zero_points = (detail["quantization_parameters"][key].tolist() for key in ("scales", "zero_points"))
        assert (list(ours.quantization.scale), list(ours.quantization.zero_point)) == (scales, zero_points) \
            if ours.quantization else not scales


@pytest.mark.parametrize("file", [file for file in MODELS if file.endswith(".tflite")])
def test_operators_are_those_of_the_interpreter(zoo: Path, file: str) -> None:
    """describe() counts the operators that LiteRT lists before any delegate takes them."""
    from collections import Counter

    fresh = litert.interpreter().Interpreter(str(zoo / file), num_threads=1)
    listed = Counter(operator["op_name"] for operator in fresh._get_ops_details())
    assert describe(zoo / file).operators == dict(listed)
