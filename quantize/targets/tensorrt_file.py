"""Whether a finished INT8 .onnx (QDQ) is one that TensorRT 10 on a Jetson parses and runs in INT8.

Sources: docs/operators.md of onnx/onnx-tensorrt (operators, opsets 9 to 20 in JetPack's TensorRT 10.3, zero points of 0, no
QLinearConv); NVIDIA's documentation, "Explicit Quantization" (constant scales, per-channel scales of weights only); issues
onnx-tensorrt 850, onnxruntime 14229 and 17738, TensorRT 3360 (no int32 bias behind a DequantizeLinear).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeinfer.errors import Fault, ModelError
from edgeinfer.model.tensor import Array
from quantize.targets.tensorrt import PARSED

__all__ = ["faults", "load"]

_OPSETS = (13, 20)  # 13: the first whose DequantizeLinear has an axis
_OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1}
_WEIGHTED = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
_RESIZES = {"mode": (b"nearest", b"linear"),
            "coordinate_transformation_mode": (b"half_pixel", b"pytorch_half_pixel", b"tf_half_pixel_for_nn", b"asymmetric",
                                               b"align_corners"),
            "nearest_mode": (b"floor", b"ceil", b"round_prefer_floor", b"round_prefer_ceil")}


def load(path: Path) -> ModelProto:
    """The model of an .onnx file, quantised or not. Raises ModelError for anything else."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]  # protobuf ships no types

    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, ValueError, OSError) as error:  # ValueError: strings that are not UTF-8
        raise ModelError(path.name, "an ONNX model", str(error), "copy the model file anew: it is damaged") from error
    if not model.HasField("graph"):
        raise ModelError(path.name, "an ONNX model", "one without a graph", "copy the model file anew: it is damaged")
    return model


def faults(model: ModelProto, where: str) -> list[Fault]:
    """All that keeps TensorRT from the model; empty where it takes it as it is."""
    found: list[Fault] = []
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and not _OPSETS[0] <= opset.version <= _OPSETS[1]:
            found.append(Fault(where, f"an operator set from {_OPSETS[0]} to {_OPSETS[1]}", str(opset.version)))
    for value in model.graph.input:
        kind = value.type.tensor_type.elem_type
        if kind in (TensorProto.INT8, TensorProto.INT16):
            found.append(Fault(f"{where}: input '{value.name}'", "float32: TensorRT quantises it itself",
                               TensorProto.DataType.Name(kind)))
    return found + list(_Checker(model.graph, where).faults())


class _Checker:
    """One graph: who makes and reads each value, and what is constant."""

    def __init__(self, graph: GraphProto, where: str) -> None:
        self._graph, self._where = graph, where
        self._constants: dict[str, Array] = {proto.name: numpy_helper.to_array(proto) for proto in graph.initializer}
        self._makers: dict[str, NodeProto] = {}
        self._readers: dict[str, list[tuple[NodeProto, int]]] = {}
        for node in graph.node:
            self._makers.update(dict.fromkeys(node.output, node))
            for position, value in enumerate(node.input):
                self._readers.setdefault(value, []).append((node, position))
            if node.op_type == "Constant":
                given = _attributes(node).get("value")
                if isinstance(given, TensorProto):
                    self._constants[node.output[0]] = numpy_helper.to_array(given)

    def faults(self) -> Iterator[Fault]:
        for node in self._graph.node:
            place = f"{self._where}: {node.op_type} '{node.name or node.output[0]}'"
            yield from self._operator(node, place)
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                yield from self._pair(node, place)
            if node.op_type in _WEIGHTED:
                yield from self._bias(node, place)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    yield from _Checker(attribute.g, self._where).faults()

    def _operator(self, node: NodeProto, place: str) -> Iterator[Fault]:
        attributes = _attributes(node)
        if node.domain not in ("", "ai.onnx"):
            yield Fault(place, "operators of ai.onnx", f"one of {node.domain}")
        elif node.op_type not in PARSED:
            yield Fault(place, "an operator that TensorRT's parser knows", node.op_type)
        dilations = attributes.get("dilations", [])
        if node.op_type in ("MaxPool", "AveragePool", "LpPool") and any(side != 1 for side in dilations):
            yield Fault(place, "pooling without dilations", str(list(dilations)))
        if node.op_type in ("MaxPool", "LayerNormalization") and len([name for name in node.output if name]) > 1:
            yield Fault(place, "its first output only", f"{len(node.output)} outputs")
        if node.op_type == "Resize":
            for name, known in _RESIZES.items():
                if name in attributes and attributes[name] not in known:
                    yield Fault(place, f"{name} {', '.join(map(bytes.decode, known))}", attributes[name].decode())

    def _pair(self, node: NodeProto, place: str) -> Iterator[Fault]:
        """QuantizeLinear and DequantizeLinear: int8, zero point 0, constant scales, one a channel for weights only."""
        scale = self._constants.get(node.input[1])
        if scale is None:
            yield Fault(place, "a constant scale", f"'{node.input[1]}', which is computed")
            return
        if not np.all(np.isfinite(scale)) or np.any(scale <= 0):
            yield Fault(place, "scales above 0", str(np.ravel(scale)[:4].tolist()))
        yield from self._zero_point(node, place)
        if _attributes(node).get("block_size"):
            yield Fault(place, "a scale for the whole or for each channel", "blocks")
        if scale.size > 1:
            yield from self._axis(node, scale, place)

    def _zero_point(self, node: NodeProto, place: str) -> Iterator[Fault]:
        stated = node.input[2] if len(node.input) > 2 else ""
        zero_point = self._constants.get(stated)
        if stated and zero_point is None:
            yield Fault(place, "a constant zero point", f"'{stated}', which is computed")
        elif zero_point is not None and np.any(zero_point):
            yield Fault(place, "zero points of 0", str(np.unique(zero_point)[:4].tolist()))
        stored = self._constants.get(node.input[0])
        dtype = zero_point.dtype if zero_point is not None else None if stored is None else stored.dtype
        if node.op_type == "QuantizeLinear" and dtype is None:
            kind = _attributes(node).get("output_dtype", TensorProto.UINT8)
            dtype = helper.tensor_dtype_to_np_dtype(kind or TensorProto.UINT8)
        if dtype is not None and dtype != np.int8:
            hint = "leave biases in float32" if dtype == np.int32 else ""
            yield Fault(place, "int8", str(dtype), hint)

    def _axis(self, node: NodeProto, scale: Array, place: str) -> Iterator[Fault]:
        constant = node.input[0] in self._constants or (
            node.input[0] in self._makers and self._makers[node.input[0]].input[0] in self._constants)
        if not constant:
            yield Fault(place, "one scale for a value that varies", f"{scale.size}")
            return
        axis = int(_attributes(node).get("axis", 1))
        for reader, position in self._readers.get(node.output[0], []):
            wanted = self._output_axis(reader)
            if position != _WEIGHTED.get(reader.op_type, position) or wanted is None:
                yield Fault(place, "scales for each channel of weights only", f"{scale.size} for {reader.op_type}")
            elif axis != wanted:
                yield Fault(place, f"axis {wanted}, of {reader.op_type}'s output channels", str(axis))

    @staticmethod
    def _output_axis(node: NodeProto) -> int | None:
        if node.op_type == "Gemm":
            return 0 if _attributes(node).get("transB") else 1
        return 1 if node.op_type == "MatMul" else _OUTPUT_AXIS.get(node.op_type)

    def _bias(self, node: NodeProto, place: str) -> Iterator[Fault]:
        """A bias of an INT8 layer is a float32 constant."""
        if len(node.input) < 3 or not node.input[2]:
            return
        bias = self._constants.get(node.input[2])
        maker = self._makers.get(node.input[2])
        if bias is None:
            yield Fault(place, "a bias that is a float32 constant",
                        f"'{node.input[2]}', made by {maker.op_type if maker else 'an input'}", "leave biases in float32")


def _attributes(node: NodeProto) -> Mapping[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
