"""Tiny real model files for tests: made in milliseconds, run by the real runtimes, with answers one can work out by hand.

    tiny_tflite(path)          1x8x8x3 pictures in, the mean of each colour out (1x3): a classifier of red, green, blue
    window_tflite(path)        1x16 samples in, the same 1x16 out, requantised: a perfect "autoencoder"
    stateful_tflite(path)      (sample, sum) in, their sum out: a recurrent model whose output goes back to its input
    tiny_onnx(path)            as tiny_tflite, 1x3x8x8
    write_tflite / write_onnx  any other graph

Quantised pictures have scale 1/255 and zero point 0 (uint8) or -128 (int8): a pixel p stands for p / 255, and the means come
out as the mean pixel.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests import litert

__all__ = ["Op", "Tensor", "stateful_tflite", "tiny_onnx", "tiny_tflite", "window_tflite", "write_onnx", "write_tflite"]

_TFLITE_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9}
_ONNX_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}


@dataclass
class Tensor:
    """A tensor of a graph; with ``values`` a constant. ``scale`` 0 means not quantised."""

    name: str
    shape: tuple[int | str, ...]  # a string is a dynamic dimension (ONNX)
    dtype: str = "float32"
    scale: float = 0.0
    zero_point: int = 0
    values: Any = None


@dataclass
class Op:
    """One operator: its name as the format writes it (AVERAGE_POOL_2D, GlobalAveragePool) and the names of its tensors.
    ``version`` is TFLite's."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    version: int = 2


def tiny_tflite(path: Path, *, dtype: str = "uint8", height: int = 8, width: int = 8, channels: int = 3,
                scale: float = 1 / 255, zero_point: int | None = None, metadata: bytes | None = None) -> Path:
    """The mean of each channel of an NHWC picture. ``metadata`` goes in as the buffer TFLITE_METADATA."""
    zero_point = (-128 if dtype == "int8" else 0) if zero_point is None else zero_point
    quantised = (0.0, 0) if dtype == "float32" else (scale, zero_point)
    tensors = [Tensor("image", (1, height, width, channels), dtype, *quantised),
               Tensor("pooled", (1, 1, 1, channels), dtype, *quantised),
               Tensor("shape", (2,), "int32", values=[1, channels]),
               Tensor("means", (1, channels), dtype, *quantised)]
    pool = {"padding": 1, "strideW": 1, "strideH": 1, "filterWidth": width, "filterHeight": height}  # padding 1: VALID
    ops = [Op("AVERAGE_POOL_2D", ("image",), ("pooled",), {"Pool2DOptions": pool}),
           Op("RESHAPE", ("pooled", "shape"), ("means",), {"ReshapeOptions": {"newShape": [1, channels]}})]
    return write_tflite(path, tensors, ops, ("image",), ("means",), metadata)


def window_tflite(path: Path, *, dtype: str = "int8", length: int = 16) -> Path:
    """A window in, the same window out (a model that reconstructs perfectly). int8: scale 1/16 in, 1/8 out."""
    scales = (0.0, 0.0) if dtype == "float32" else (1 / 16, 1 / 8)
    tensors = [Tensor("window", (1, length), dtype, scales[0]),
               Tensor("nothing", (1, length), dtype, scales[0], 0, [0] * length),
               Tensor("reconstruction", (1, length), dtype, scales[1])]
    return write_tflite(path, tensors, [Op("ADD", ("window", "nothing"), ("reconstruction",), {"AddOptions": {}})],
                        ("window",), ("reconstruction",))


def stateful_tflite(path: Path, *, length: int = 4) -> Path:
    """float32 ``window`` + ``state`` -> ``sum`` (all 1 x length). Fed back, the sum is the running total."""
    tensors = [Tensor(name, (1, length)) for name in ("window", "state", "sum")]
    add = Op("ADD", ("window", "state"), ("sum",), {"AddOptions": {}})
    return write_tflite(path, tensors, [add], ("window", "state"), ("sum",))


def tiny_onnx(path: Path, *, height: int = 8, width: int = 8, channels: int = 3, batch: int | str = 1, qdq: bool = False,
              metadata: Mapping[str, str] | None = None) -> Path:
    """The mean of each channel of an NCHW float picture; with ``qdq`` by way of uint8 (scale 1/255)."""
    image, pooled = Tensor("image", (batch, channels, height, width)), Tensor("pooled", (batch, channels, 1, 1))
    means = Tensor("means", (batch, channels))
    if not qdq:
        ops = [Op("GlobalAveragePool", ("image",), ("pooled",)), Op("Flatten", ("pooled",), ("means",))]
        return write_onnx(path, [image, pooled, means], ops, ("image",), ("means",), metadata)
    constants = [Tensor("scale", (), "float32", values=1 / 255), Tensor("zero", (), "uint8", values=0)]
    ops = [Op("QuantizeLinear", ("image", "scale", "zero"), ("quantised",)),
           Op("DequantizeLinear", ("quantised", "scale", "zero"), ("back",)),
           Op("GlobalAveragePool", ("back",), ("pooled",)), Op("Flatten", ("pooled",), ("means",))]
    return write_onnx(path, [image, pooled, means, *constants], ops, ("image",), ("means",), metadata)


def write_tflite(path: Path, tensors: Sequence[Tensor], ops: Sequence[Op], inputs: Sequence[str], outputs: Sequence[str],
                 metadata: bytes | None = None) -> Path:
    """A .tflite of one subgraph, written with the schema that ai-edge-litert brings."""
    import flatbuffers
    schema = litert.schema()

    place = {tensor.name: index for index, tensor in enumerate(tensors)}
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs, model.operatorCodes = 3, [schema.BufferT()], [graph], []
    graph.name, graph.operators = "main", []
    graph.tensors = [_tflite_tensor(schema, tensor, model.buffers) for tensor in tensors]
    graph.inputs, graph.outputs = [place[name] for name in inputs], [place[name] for name in outputs]
    for op in ops:
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, op.name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1 if op.name == "RESHAPE" else op.version
        made.opcodeIndex = len(model.operatorCodes)
        made.inputs, made.outputs = [place[name] for name in op.inputs], [place[name] for name in op.outputs]
        for kind, values in op.options.items():
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = getattr(schema, f"{kind}T")()
            vars(made.builtinOptions).update(values)
        model.operatorCodes.append(code)
        graph.operators.append(made)
    if metadata is not None:
        entry, buffer = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer, buffer.data = "TFLITE_METADATA", len(model.buffers), np.frombuffer(metadata, np.uint8)
        model.metadata = [entry]
        model.buffers.append(buffer)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tflite_tensor(schema: Any, tensor: Tensor, buffers: list[Any]) -> Any:
    made, buffer = schema.TensorT(), schema.BufferT()
    made.name, made.shape, made.type, made.hasRank = tensor.name, list(tensor.shape), _TFLITE_TYPES[tensor.dtype], True
    if tensor.values is not None:
        buffer.data = np.frombuffer(np.asarray(tensor.values, tensor.dtype).tobytes(), np.uint8)
    made.buffer = len(buffers)
    buffers.append(buffer)
    if tensor.scale:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [tensor.scale], [tensor.zero_point]
    return made


def write_onnx(path: Path, tensors: Sequence[Tensor], ops: Sequence[Op], inputs: Sequence[str], outputs: Sequence[str],
               metadata: Mapping[str, str] | None = None) -> Path:
    """An .onnx of opset 13, written field by field (numbers: onnx.proto). Options of an op are integer attributes."""
    by_name = {tensor.name: tensor for tensor in tensors}
    nodes = [_message(1, _node(op)) for op in ops]
    constants = [_message(5, _onnx_constant(tensor)) for tensor in tensors if tensor.values is not None]
    graph = b"".join([*nodes, _text(2, "tiny"), *constants, *(_message(11, _value_info(by_name[name])) for name in inputs),
                      *(_message(12, _value_info(by_name[name])) for name in outputs)])
    properties = [_message(14, _text(1, key) + _text(2, value)) for key, value in (metadata or {}).items()]
    opset = _message(8, _number(2, 13))
    path.write_bytes(b"".join([_number(1, 8), _text(2, "edgeinfer tests"), _message(7, graph), opset, *properties]))
    return path


def _node(op: Op) -> bytes:
    tensors = [*(_text(1, name) for name in op.inputs), *(_text(2, name) for name in op.outputs)]
    return b"".join([*tensors, _text(3, op.name), _text(4, op.name), *(_attribute(*item) for item in op.options.items())])


def _onnx_constant(tensor: Tensor) -> bytes:
    raw = np.asarray(tensor.values, tensor.dtype).tobytes()
    return b"".join([*(_number(1, int(side)) for side in tensor.shape), _number(2, _ONNX_TYPES[tensor.dtype]),
                     _text(8, tensor.name), _message(9, raw)])


def _value_info(tensor: Tensor) -> bytes:
    sides = b"".join(_message(1, _text(2, side) if isinstance(side, str) else _number(1, side)) for side in tensor.shape)
    return _text(1, tensor.name) + _message(2, _message(1, _number(1, _ONNX_TYPES[tensor.dtype]) + _message(2, sides)))


def _attribute(name: str, value: int) -> bytes:
    return _message(5, _text(1, name) + _number(3, value) + _number(20, 2))  # type 2: INT


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value % 2**64)


def _varint(value: int) -> bytes:
    made = b""
    while value > 127:
        made, value = made + struct.pack("B", value & 127 | 128), value >> 7
    return made + struct.pack("B", value)
