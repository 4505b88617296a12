"""The parts of a .tflite that a translation needs, out of the schema's generated classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.errors import ModelError, UnavailableError
from edgeinfer.model.tensor import Array
from edgeinfer.model.tflite_schema import BUILTIN_OPERATORS, CUSTOM, TENSOR_TYPES
from quantize.graph.from_tflite.translation import Operator

__all__ = ["TFLiteFile"]

_ARRAYS = ("float32", "float16", "int32", "uint8", "int64", "bool", "int16", "int8", "float64", "uint32", "uint16", "uint64")


class TFLiteFile:
    """The first subgraph of a file, which is the one that runs. Tensors are numbered as in the file.

    Raises ModelError for a file that is damaged, UnavailableError without ai-edge-litert.
    """

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert import schema_py_generated as schema
        except ImportError as error:
            raise UnavailableError(path.name, "ai-edge-litert, whose schema reads .tflite", str(error),
                                   "pip install 'edgeinfer[quantize]'") from error
        self.name = path.name
        self._content = path.read_bytes()
        try:
            self._model = schema.ModelT.InitFromPackedBuf(self._content, 0)
            graph = self._model.subgraphs[0]
            self._tensors = graph.tensors
            self.inputs, self.outputs = [int(index) for index in graph.inputs], [int(index) for index in graph.outputs]
            self.operators = [self._operator(operator) for operator in graph.operators or []]
            if any(min([0, *one.inputs]) < -1 or min([0, *one.outputs]) < 0 for one in self.operators):
                raise ValueError("an operator with tensors of negative numbers")
        except Exception as error:  # generated code raises whatever the bytes make it run into
            raise ModelError(path.name, "a whole TFLite flatbuffer", f"{type(error).__name__}: {error}",
                             "copy the model file anew: it is damaged") from error

    def names(self) -> list[str]:
        """A name for each tensor: the file's, with a number after it where another has it too. Inputs and outputs first."""
        names = [""] * len(self._tensors)
        taken: set[str] = set()
        for index in dict.fromkeys([*self.inputs, *self.outputs, *range(len(names))]):
            stated = self._tensors[index].name or b""
            name = stated.decode("utf-8", "replace") or f"tensor_{index}"
            names[index] = name if name not in taken else f"{name}#{index}"
            taken.add(names[index])
        return names

    def dtype(self, index: int) -> str:
        kind = self._tensors[index].type
        return TENSOR_TYPES[kind] if 0 <= kind < len(TENSOR_TYPES) else f"type {kind}"

    def refuse_integers(self) -> None:
        """Raises ModelError for a file whose activations are quantised already, or whose weights are pruned."""
        for index, tensor in enumerate(self._tensors):
            if self._quantized(tensor) and self._data(tensor.buffer) is None:
                raise ModelError(f"{self.name}: tensor '{(tensor.name or b'').decode('utf-8', 'replace')}'",
                                 "a float model", f"one that is already quantised ({self.dtype(index)})",
                                 "give the float model: the converter's output without its optimizations")
            if tensor.sparsity is not None:
                raise ModelError(self.name, "weights that are all there", "sparse ones", "convert it without sparsity")

    def integer_weights(self) -> int:
        """How many constants a converter has rounded to integers, as its "dynamic range" does."""
        return sum(self._quantized(tensor) for tensor in self._tensors)

    def constants(self) -> dict[int, Array]:
        """The tensors whose values are in the file, integers with a scale as the reals that they stand for. Raises
        ModelError where they are fewer or more than the shape says."""
        found: dict[int, Array] = {}
        for index, tensor in enumerate(self._tensors):
            data, kind = self._data(tensor.buffer), self.dtype(index)
            if data is None:
                continue
            if kind not in _ARRAYS:
                raise ModelError(f"{self.name}: tensor {index}", f"one of {', '.join(_ARRAYS)}", kind,
                                 "convert the model anew, without its optimizations")
            shape = tuple(int(side) for side in (() if tensor.shape is None else tensor.shape))
            array = np.frombuffer(data, kind) if len(data) % np.dtype(kind).itemsize == 0 else np.zeros(0)
            if array.size != int(np.prod(shape)) or min(shape, default=0) < 0:
                raise ModelError(f"{self.name}: tensor {index}", f"{kind} of shape {list(shape)}", f"{len(data)} bytes",
                                 "copy the model file anew: it is damaged")
            found[index] = array.reshape(shape)
            if self._quantized(tensor):
                found[index] = _reals(found[index], tensor.quantization)
        return found

    @staticmethod
    def _quantized(tensor: Any) -> bool:
        scales = None if tensor.quantization is None else tensor.quantization.scale
        return scales is not None and len(scales) > 0 and TENSOR_TYPES[tensor.type] not in ("float32", "float16")

    def _data(self, buffer: int) -> Any:
        entry = self._model.buffers[buffer]
        if entry.data is not None and len(entry.data):
            return np.asarray(entry.data, np.uint8).tobytes()
        if entry.offset and entry.offset > 1:  # a file over 2 GB has its weights behind the flatbuffer
            return self._content[entry.offset:entry.offset + entry.size]
        return None

    def _operator(self, operator: Any) -> Operator:
        code = self._model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        custom = number == CUSTOM
        known = BUILTIN_OPERATORS[number] if number < len(BUILTIN_OPERATORS) else f"BUILTIN_{number}"
        return Operator((code.customCode or b"unnamed").decode("utf-8", "replace") if custom else known,
                        [int(index) for index in operator.inputs], [int(index) for index in operator.outputs],
                        operator.builtinOptions,
                        b"" if operator.customOptions is None else bytes(bytearray(operator.customOptions)), custom)


def _reals(stored: Array, quantization: Any) -> Array:
    """scale * (stored - zero_point), of the whole or along an axis: LiteRT's quantisation specification."""
    scale, zero_point = np.asarray(quantization.scale, np.float32), np.asarray(quantization.zeroPoint, np.int64)
    sides = [1] * stored.ndim
    if scale.size > 1:
        sides[quantization.quantizedDimension] = scale.size
        scale, zero_point = scale.reshape(sides), zero_point.reshape(sides)
    reals: Array = ((stored.astype(np.int64) - zero_point) * scale).astype(np.float32).reshape(stored.shape)
    return reals
