"""Model files read without their runtimes: facts, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.errors import ModelError
from edgeinfer.model import protobuf
from edgeinfer.model.modelfile import describe
from edgeinfer.model.protobuf import Reader
from edgeinfer.model.tensor import Quantization
from edgeinfer.model.tflite_schema import BUILTIN_OPERATORS, TENSOR_TYPES
from tests import litert
from tests.conftest import ROOT
from tests.model.backends.edit import custom_operator, edit, tensor
from tests.models import Op, Tensor, tiny_onnx, tiny_tflite, write_onnx
from tests.protobuf import field, varint


def test_a_tflite_file_is_described(tmp_path: Path) -> None:
    """Format, operators, tensors, subgraphs, quantisation."""
    file = describe(tiny_tflite(tmp_path / "model.tflite"))
    assert (file.format, file.opset, file.subgraphs, file.tensors) == ("tflite", 0, 1, 4)
    assert file.operators == {"AVERAGE_POOL_2D": 1, "RESHAPE": 1}
    assert file.custom_operators == ()
    assert [(spec.name, spec.shape, spec.dtype) for spec in (*file.inputs, *file.outputs)] == [
        ("image", (1, 8, 8, 3), "uint8"), ("means", (1, 3), "uint8")]
    assert file.inputs[0].quantization == Quantization(scale=(pytest.approx(1 / 255),), zero_point=(0,))  # type: ignore[arg-type]


def test_an_onnx_file_is_described(tmp_path: Path) -> None:
    """Format, opset, operators, the words for dynamic sides, metadata_props, producer."""
    file = describe(tiny_onnx(tmp_path / "model.onnx", qdq=True, batch="N", metadata={"author": "me", "labels": "a,b"}))
    assert (file.format, file.opset, file.subgraphs, file.description) == ("onnx", 13, 1, "edgeinfer tests")
    assert file.operators == {"QuantizeLinear": 1, "DequantizeLinear": 1, "GlobalAveragePool": 1, "Flatten": 1}
    assert file.metadata == {"author": "me", "labels": "a,b"}
    assert file.inputs[0].shape == (-1, 3, 8, 8)
    assert file.symbols == {"image": ("N", "3", "8", "8"), "means": ("N", "3")}


def test_neither_runtime_is_needed(tmp_path: Path) -> None:
    """describe() imports no runtime, no onnx and no flatbuffers."""
    paths = [tiny_tflite(tmp_path / "model.tflite"), tiny_onnx(tmp_path / "model.onnx")]
    code = ("import sys; from pathlib import Path; from edgeinfer.model.modelfile import describe\n"
            "for path in sys.argv[1:]: print(describe(Path(path)).format)\n"
            "print({'ai_edge_litert', 'onnxruntime', 'onnx', 'flatbuffers', 'google.protobuf', 'cv2'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["tflite", "onnx", "set()"]


def test_custom_operators_are_told_apart(tmp_path: Path) -> None:
    """TFLite: those with the code CUSTOM, under their own name."""
    file = describe(edit(tiny_tflite(tmp_path / "model.tflite"), custom_operator("FlexErf")))
    assert file.custom_operators == ("FlexErf",)
    assert file.operators == {"FlexErf": 1, "RESHAPE": 1}


def test_metadata_of_a_tflite_file_is_listed(tmp_path: Path) -> None:
    """The minimum runtime version as text, TFLITE_METADATA by its size."""
    def change(model: Any, schema: Any) -> None:
        entry, buffer = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer, buffer.data = "min_runtime_version", len(model.buffers), list(b"2.14.0\0\0\0")
        model.metadata.append(entry)
        model.buffers.append(buffer)

    path = edit(tiny_tflite(tmp_path / "model.tflite", metadata=b"0123456789"), change)
    assert describe(path).metadata == {"TFLITE_METADATA": "10 bytes", "min_runtime_version": "2.14.0"}


def test_quantisation_per_axis_is_read(tmp_path: Path) -> None:
    """A scale and a zero point for each channel, with the axis."""
    path = edit(tiny_tflite(tmp_path / "model.tflite"), tensor(0, scale=[0.5, 1.0, 2.0], zeroPoint=[1, 2, 3], quantizedDimension=3))
    assert describe(path).inputs[0].quantization == Quantization(scale=(0.5, 1.0, 2.0), zero_point=(1, 2, 3), axis=3)


@pytest.mark.parametrize(("fields", "message"), [
    ({"scale": [0.0]}, "image: expected scales that are positive numbers, got 0.0"),
    ({"scale": [float("nan")]}, "image: expected scales that are positive numbers, got nan"),
    ({"scale": [float("inf")]}, "image: expected scales that are positive numbers, got inf"),
    ({"scale": [-1.0]}, "image: expected scales that are positive numbers, got -1.0"),
    ({"zeroPoint": [256]}, "image: expected zero points of 0 to 255, got 256"),
    ({"zeroPoint": [0, 0]}, "got 1 scales and 2 zero points"),
    ({"scale": [1.0, 1.0], "zeroPoint": [0, 0], "quantizedDimension": 3}, r"or 3 \(axis 3 of \[1, 8, 8, 3\]\), got 2 scales"),
    ({"scale": [1.0, 1.0], "zeroPoint": [0, 0], "quantizedDimension": 9}, "axis 9"),
    ({"type": 17}, "image: expected one of uint8, .*, got int4"),
    ({"type": 5}, "image: expected one of uint8, .*, got string"),
    ({"type": 99}, "image: expected one of uint8, .*, got type 99"),
    ({"shape": [1, 0, 8, 3]}, r"image: expected sides of at least 1, got \[1, 0, 8, 3\]"),
    ({"buffer": 99}, "expected an index into 5 buffers, got 99"),
])
def test_a_wrong_fact_of_a_tensor_is_refused_by_name(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    """Each is named with what was expected: a zero scale would make every value the same, silently."""
    path = edit(tiny_tflite(tmp_path / "model.tflite"), tensor(0, **fields))
    with pytest.raises(ModelError, match=message):
        describe(path)


def test_onnx_operators_of_other_domains_have_their_domain(tmp_path: Path) -> None:
    """com.microsoft's come with the runtime; those of an unknown domain are custom. Written by hand: the field 7 of NodeProto."""
    def node(operator: str, domain: str) -> bytes:
        return field(1, field(1, b"x") + field(2, b"y") + field(4, operator.encode()) + field(7, domain.encode()))

    graph = node("Gelu", "com.microsoft") + node("Blur", "org.example") + node("Relu", "ai.onnx") + node("Relu", "")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08" + field(7, graph) + field(8, b"\x10\x0d"))
    file = describe(tmp_path / "model.onnx")
    assert file.operators == {"com.microsoft.Gelu": 1, "org.example.Blur": 1, "Relu": 2}
    assert file.custom_operators == ("org.example.Blur",)


def test_operators_in_subgraphs_are_counted(tmp_path: Path) -> None:
    """The branches of an If are graphs in attributes of a node."""
    branch = field(1, field(2, b"y") + field(4, b"Relu"))
    attributes = field(5, field(1, b"then_branch") + field(6, branch)) + field(5, field(1, b"else_branch") + field(6, branch))
    graph = field(1, field(2, b"y") + field(4, b"If") + attributes)
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08" + field(7, graph) + field(8, b"\x10\x0d"))
    file = describe(tmp_path / "model.onnx")
    assert (file.operators, file.subgraphs) == ({"Relu": 2, "If": 1}, 3)


def test_weights_outside_the_file_are_refused(tmp_path: Path) -> None:
    """A bundle has one model file, and a path inside it must lead nowhere else."""
    weight = field(5, field(8, b"w") + b"\x70\x01" + field(13, field(1, b"location") + field(2, b"../../etc/passwd")))
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08" + field(7, weight) + field(8, b"\x10\x0d"))
    with pytest.raises(ModelError, match="weights in other files"):
        describe(tmp_path / "model.onnx")


def test_initialisers_are_no_inputs(tmp_path: Path) -> None:
    """Files of IR version 3 list every initialiser among the inputs."""
    tensors = [Tensor("x", (1, 4)), Tensor("w", (1, 4), values=[1.0] * 4), Tensor("y", (1, 4))]
    path = write_onnx(tmp_path / "model.onnx", tensors, [Op("Add", ("x", "w"), ("y",))], ("x", "w"), ("y",))
    assert [spec.name for spec in describe(path).inputs] == ["x"]


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
@pytest.mark.parametrize(("content", "got"), [
    (b"", "an empty file"),
    (b"PK\x03\x04 and more of the archive", "a zip archive"),
    (b"\x89HDF\r\n\x1a\n and more", "an HDF5 file"),
    (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer\n  hint: .*git lfs pull"),
    (b"<!DOCTYPE html><html>", "a web page"),
    (b"\x7fELF\x02\x01\x01\x00", r"'\\x7fELF\\x02\\x01\\x01\\x00'"),
    (b"\x01", r"'\\x01'"),
])
def test_another_file_is_told_for_what_it_is(tmp_path: Path, name: str, content: bytes, got: str) -> None:
    """The error says what the file looks like, and what to do with such a file."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name}: expected .*, got {got}"):
        describe(tmp_path / name)


def test_the_first_bytes_decide_and_not_the_name(tmp_path: Path) -> None:
    """A TFLite file without its ending is still one; as "onnx" it is refused for what it is."""
    path = tiny_tflite(tmp_path / "model.bin")
    assert describe(path).format == "tflite"
    with pytest.raises(ModelError, match=r"expected an ONNX protobuf .*, got a TFLite flatbuffer"):
        describe(path, "onnx")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    """What the operating system says is passed on."""
    with pytest.raises(ModelError, match="Is a directory"):
        describe(tmp_path)


def test_names_of_the_schema_are_those_that_litert_brings() -> None:
    """The tables of names agree with the installed schema as far as both go."""
    schema = litert.schema()

    operators = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    assert all(operators.get(index, name) == name for index, name in enumerate(BUILTIN_OPERATORS))
    types = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    assert all(types.get(index, name) == name for index, name in enumerate(TENSOR_TYPES))


@given(st.integers(-2**63, 2**63 - 1))
def test_any_int64_survives_the_wire(value: int) -> None:
    """A varint holds 64 bits in two's complement."""
    (number, found), = Reader("x").fields(memoryview(b"\x08" + varint(value % 2**64)))
    assert (number, Reader("x").number(found)) == (1, value)
    assert Reader("x").integers(memoryview(varint(value % 2**64) * 2)) == [value, value]


@pytest.mark.parametrize("message", [b"\x08", b"\x08\x80", b"\x08" + b"\x80" * 10 + b"\x01", b"\x00\x01", b"\x0b", b"\x0c", b"\x0f",
                                     b"\x0a\x05abc", b"\x09\x01\x02", b"\x0d\x01", b"\x0a" + b"\xff" * 9 + b"\x01"])
def test_a_malformed_message_is_refused(message: bytes) -> None:
    """Ends within a number or a field, numbers that never end, field 0, groups and unknown wire types, gigantic sizes."""
    with pytest.raises(ModelError, match="expected an ONNX protobuf"):
        list(Reader("x").fields(memoryview(message)))


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of nothing but fields is refused after a fixed number of them."""
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 100)
    assert len(list(Reader("x").fields(memoryview(b"\x08\x01" * 100)))) == 100
    with pytest.raises(ModelError, match="at most 100 fields beside the weights"):
        list(Reader("x").fields(memoryview(b"\x08\x01" * 101)))


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    """What is no file is a ModelError at once."""
    os.mkfifo(tmp_path / "model.tflite")
    with pytest.raises(ModelError, match="something else than a file"):
        describe(tmp_path / "model.tflite")
