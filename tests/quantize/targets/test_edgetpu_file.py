"""The checker of TFLite files for the Edge TPU: files that its compiler takes pass, and each thing that it leaves is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import ModelError
from quantize.targets.edgetpu_file import faults
from tests import litert
from tests.models import Op, Tensor, tiny_tflite, write_tflite

X = (1, 8, 8, 4)


def value(name: str, shape: tuple[int, ...] = X, dtype: str = "int8", scale: float = 0.1, values: Any = None) -> Tensor:
    return Tensor(name, shape, dtype, scale, 0, values)


def numbers(name: str, *values: Any) -> Tensor:
    array = np.asarray(values[0] if len(values) == 1 else values)
    return Tensor(name, array.shape, "int32", values=array)


def told(path: Path, tensors: Sequence[Tensor], op: str, options: dict[str, Any], inputs: tuple[str, ...] = ("x",)) -> list[str]:
    """The faults of a file of one operator, whose first varying tensor is "x" and whose output is "y"."""
    names = tuple(tensor.name for tensor in tensors if tensor.name != "y")
    ops = [Op(op, names, ("y",), options)]
    write_tflite(path, tensors, ops, inputs, ("y",))
    return [str(fault) for fault in faults(path.read_bytes(), "m.tflite")]


def pool(fused: int = 0) -> dict[str, Any]:
    return {"Pool2DOptions": {"padding": 0, "strideW": 1, "strideH": 1, "filterWidth": 2, "filterHeight": 2,
                              "fusedActivationFunction": fused}}


def convolution(height: int = 1, width: int = 1) -> dict[str, Any]:
    return {"Conv2DOptions": {"padding": 0, "strideW": 1, "strideH": 1, "dilationHFactor": height, "dilationWFactor": width}}


KERNEL = value("w", (4, 3, 3, 4), values=np.ones((4, 3, 3, 4)))
BIAS = Tensor("b", (4,), "int32", 0.01, 0, np.zeros(4))
MEAN = {"ReducerOptions": {"keepDims": True}}
JOIN = {"ConcatenationOptions": {"axis": 3}}
PADS = [[0, 0], [1, 1], [1, 1], [0, 0]]
WHOLE = {"StridedSliceOptions": {"beginMask": 0, "endMask": 0, "ellipsisMask": 0, "newAxisMask": 0, "shrinkAxisMask": 0}}

TAKEN: dict[str, tuple[list[Tensor], str, dict[str, Any]]] = {
    "a convolution": ([value("x"), KERNEL, BIAS, value("y")], "CONV_2D", convolution()),
    "a dilated convolution": ([value("x"), KERNEL, BIAS, value("y")], "CONV_2D", convolution(2, 2)),
    "uint8": ([value("x", dtype="uint8"), value("y", dtype="uint8")], "LOGISTIC", {}),
    "pooling": ([value("x"), value("y")], "AVERAGE_POOL_2D", pool()),
    "a mean over the picture": ([value("x"), numbers("a", 1, 2), value("y", (1, 1, 1, 4))], "MEAN", MEAN),
    "a mean over four channels": ([value("x"), numbers("a", [3]), value("y", (1, 8, 8, 1))], "MEAN", MEAN),
    "padding": ([value("x"), numbers("p", PADS), value("y", (1, 10, 10, 4))], "PAD", {"PadOptions": {}}),
    "one row of softmax": ([value("x", (1, 1000)), value("y", (1, 1000))], "SOFTMAX", {"SoftmaxOptions": {"beta": 1.0}}),
    "one row of a matrix": ([value("x", (1, 16)), value("w", (4, 16), values=np.ones((4, 16))), BIAS, value("y", (1, 4))],
                            "FULLY_CONNECTED", {"FullyConnectedOptions": {}}),
    "a join with zeros": ([value("x"), value("z", values=np.zeros(X)), value("y", (1, 8, 8, 8))], "CONCATENATION", JOIN),
    "a slice": ([value("x"), numbers("b", 0, 0, 0, 0), numbers("e", 1, 4, 8, 4), numbers("s", 1, 1, 1, 1), value("y", (1, 4, 8, 4))],
                "STRIDED_SLICE", WHOLE),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_edge_tpu_has_is_taken(name: str, tmp_path: Path) -> None:
    """An operator within its limits has no fault."""
    assert told(tmp_path / "m.tflite", *TAKEN[name]) == []


LEFT: dict[str, tuple[list[Tensor], str, dict[str, Any], str]] = {
    "a float input": ([value("x", dtype="float32", scale=0), value("y")], "QUANTIZE", {"QuantizeOptions": {}},
                      "input 'x': expected int8 or uint8, got float32"),
    "a float output": ([value("x"), value("y", dtype="float32", scale=0)], "DEQUANTIZE", {"DequantizeOptions": {}},
                       "output 'y': expected int8 or uint8, got float32"),
    "no scale": ([value("x", scale=0), value("y")], "LOGISTIC", {}, "LOGISTIC 0 'y': expected one scale for a value, got 0 in 'x'"),
    "another operator": ([value("x"), value("y")], "GELU", {"GeluOptions": {}}, "the Edge TPU has no GELU"),
    "a new version": ([value("x"), numbers("s", 1, 256), value("y", (1, 256))], "EXPAND_DIMS", {}, "expected version 1 at most, got 2"),
    "a batch": ([value("x", (2, 8, 8, 4)), value("y", (2, 8, 8, 4))], "LOGISTIC", {}, "only the 3 innermost sides may exceed 1"),
    "an activation in a pool": ([value("x"), value("y")], "MAX_POOL_2D", pool(1), "no activation fused"),
    "unlike dilations": ([value("x"), KERNEL, BIAS, value("y")], "CONV_2D", convolution(1, 2), "the same in height and width"),
    "varying weights": ([value("x"), value("w", (4, 3, 3, 4)), BIAS, value("y")], "CONV_2D", convolution(),
                        "expected constant parameters, got input 1 that varies"),
    "a mean over five channels": ([value("x", (1, 8, 8, 5)), numbers("a", [3]), value("y", (1, 8, 8, 1))], "MEAN", MEAN,
                                  "a multiple of 4 of them, and there are 5"),
    "a mean over the batch": ([value("x"), numbers("a", [0]), value("y")], "MEAN", MEAN, "must leave the batch alone"),
    "padding of the batch": ([value("x"), numbers("p", [[0, 1], [0, 0], [0, 0], [0, 0]]), value("y", (2, 8, 8, 4))], "PAD",
                             {"PadOptions": {}}, "3 innermost"),
    "a picture of softmax": ([value("x"), value("y")], "SOFTMAX", {"SoftmaxOptions": {"beta": 1.0}}, "softmax takes one row"),
    "a long row of softmax": ([value("x", (1, 16_001)), value("y", (1, 16_001))], "SOFTMAX", {"SoftmaxOptions": {"beta": 1.0}},
                              "at most 16000"),
    "rows of a matrix": ([value("x", (8, 16)), value("w", (4, 16), values=np.ones((4, 16))), BIAS, value("y", (8, 4))],
                         "FULLY_CONNECTED", {"FullyConnectedOptions": {}}, "the output must be one row"),
    "a join with ones": ([value("x"), value("z", values=np.ones(X)), value("y", (1, 8, 8, 8))], "CONCATENATION", JOIN, "must be zeros"),
    "a slice with strides": ([value("x"), numbers("b", 0, 0, 0, 0), numbers("e", 1, 8, 8, 4), numbers("s", 1, 2, 1, 1),
                              value("y", (1, 4, 8, 4))], "STRIDED_SLICE", WHOLE, "slices must have strides of 1"),
    "slopes of each pixel": ([value("x"), value("s", (8, 8, 4), values=np.ones((8, 8, 4))), value("y")], "PRELU", {}, "one a channel"),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_it_lacks_is_named(name: str, tmp_path: Path) -> None:
    """The fault names the operator, its place and its output."""
    *model, expected = LEFT[name]
    assert any(expected in line for line in told(tmp_path / "m.tflite", *model)), told(tmp_path / "m.tflite", *model)


def test_an_open_side_is_named_once(tmp_path: Path) -> None:
    """A side that the file leaves open is a fault of its tensor, though it has a size for now."""
    import flatbuffers

    schema = litert.schema()
    model = schema.ModelT.InitFromPackedBuf(tiny_tflite(tmp_path / "m.tflite", dtype="int8").read_bytes(), 0)
    model.subgraphs[0].tensors[0].shapeSignature = [-1, 8, 8, 3]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (fault,) = faults(bytes(builder.Output()), "m.tflite")
    assert fault.expected == "constant sides"
    assert fault.got == "[-1, 8, 8, 3] in 'image'"


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["classify/mobilenet_v2_1.0_224_quant.tflite", "audio/micro_speech_quantized.tflite"])
def test_real_files_that_are_compiled_for_it_are_taken(name: str, zoo: Path) -> None:
    """Coral's own example and a small speech model have no fault."""
    assert faults((zoo / name).read_bytes(), name) == []


@pytest.mark.zoo
def test_real_files_that_are_not_are_refused(zoo: Path) -> None:
    """A float output, casts in uint8 and open batches are what keeps others from it."""
    assert any("output" in fault.where for fault in faults((zoo / "pose/movenet_single_pose_lightning_ptq.tflite").read_bytes(), "m"))
    assert {fault.expected for fault in faults((zoo / "classify/vww_96_int8.tflite").read_bytes(), "m")} == {"constant sides"}


@pytest.mark.parametrize("change", [lambda whole: b"", lambda whole: whole[:100], lambda whole: b"\xff" * 200])
def test_what_is_no_file_is_one_error(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Damaged bytes raise no other exception."""
    with pytest.raises(ModelError, match="a whole TFLite flatbuffer"):
        faults(change(tiny_tflite(tmp_path / "m.tflite").read_bytes()), "m.tflite")
