"""Whether a finished .tflite is one that the Edge TPU's compiler takes whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from edgeinfer.errors import Fault, ModelError, UnavailableError
from edgeinfer.model.tensor import Array
from edgeinfer.model.tflite_schema import BUILTIN_OPERATORS, CUSTOM, TENSOR_TYPES
from quantize.targets.edgetpu import VERSIONS, Operator, Value, why_refused

__all__ = ["faults"]

_EIGHT_BITS = ("int8", "uint8")
_WITH_AXES = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
_NEEDS_CONSTANTS = {"CONV_2D": (1, 2), "DEPTHWISE_CONV_2D": (1, 2), "FULLY_CONNECTED": (1, 2), "TRANSPOSE_CONV": (0, 1, 3),
                    "PRELU": (1,)}


def faults(content: bytes, where: str) -> list[Fault]:
    """All that the compiler would leave to the CPU or refuse; empty where the Edge TPU takes all of it.

    Raises ModelError for a damaged file, UnavailableError without ai-edge-litert.
    """
    model = _model(content, where)
    if len(model.subgraphs) != 1:
        return [Fault(where, "one subgraph", str(len(model.subgraphs)))]
    graph = model.subgraphs[0]
    found, seen = [*_sides(graph, where)], set[int]()
    for index, operator in enumerate(graph.operators or []):
        code = model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        name = BUILTIN_OPERATORS[number] if number < len(BUILTIN_OPERATORS) else f"BUILTIN_{number}"
        if number == CUSTOM:
            name = (code.customCode or b"custom").decode("utf-8", "replace")
        place = f"{where}: {name} {index} '{_name(graph.tensors[operator.outputs[0]])}'"
        found += _operator_faults(model, graph, operator, name, int(code.version), place)
        found += _tensors_faults(model, graph, operator, seen, place)
    return found


def _model(content: bytes, where: str) -> Any:
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise UnavailableError(where, "ai-edge-litert, whose schema reads .tflite", str(error),
                               "pip install 'edgeinfer[quantize]'") from error
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        len(model.subgraphs[0].tensors)
    except Exception as error:  # generated code raises whatever the bytes make it run into
        raise ModelError(where, "a whole TFLite flatbuffer", f"{type(error).__name__}: {error}",
                         "copy the model file anew: it is damaged") from error
    return model


def _sides(graph: Any, where: str) -> Iterator[Fault]:
    for side, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for index in indices:
            tensor = graph.tensors[index]
            if _dtype(tensor) not in _EIGHT_BITS:
                yield Fault(f"{where}: {side} '{_name(tensor)}'", "int8 or uint8", _dtype(tensor),
                            "quantize it with integer inputs and outputs: --target coral-dev")


def _operator_faults(model: Any, graph: Any, operator: Any, name: str, version: int, place: str) -> Iterator[Fault]:
    if version > VERSIONS.get(name, version):
        yield Fault(place, f"version {VERSIONS[name]} at most", str(version))
    constants = {position: _stored(model, graph.tensors[index])
                 for position, index in enumerate(operator.inputs) if index >= 0}
    for position in _NEEDS_CONSTANTS.get(name, ()):
        if constants.get(position, 0) is None:
            yield Fault(place, "constant parameters", f"input {position} that varies")
    refused = why_refused(_view(graph, operator, name, constants))
    if refused:
        yield Fault(place, "an operator that the Edge TPU takes", refused)


def _tensors_faults(model: Any, graph: Any, operator: Any, seen: set[int], place: str) -> Iterator[Fault]:
    """Of the tensors that no operator before this one has; ``seen`` takes them in."""
    for index in [*operator.inputs, *operator.outputs]:
        if index >= 0 and index not in seen:
            seen.add(int(index))
            tensor = graph.tensors[index]
            yield from _tensor_faults(tensor, _stored(model, tensor) is not None, place)


def _tensor_faults(tensor: Any, constant: bool, place: str) -> Iterator[Fault]:
    dtype, scales = _dtype(tensor), _scales(tensor)
    if dtype not in _EIGHT_BITS and not (constant and dtype in ("int32", "int64")):
        yield Fault(place, "values of 8 bits, biases of int32", f"{dtype} in '{_name(tensor)}'")
    elif dtype in _EIGHT_BITS and (not len(scales) or (len(scales) > 1 and not constant)):
        yield Fault(place, "one scale for a value", f"{len(scales)} in '{_name(tensor)}'")
    stated = _shape(tensor) if tensor.shapeSignature is None else tuple(int(side) for side in tensor.shapeSignature)
    if any(side < 1 for side in [*_shape(tensor), *stated]):
        yield Fault(place, "constant sides", f"{list(stated)} in '{_name(tensor)}'", "convert it with a batch of 1")


def _view(graph: Any, operator: Any, name: str, constants: dict[int, Array | None]) -> Operator:
    options, inputs = operator.builtinOptions, [index for index in operator.inputs if index >= 0]
    values = [Value(_shape(graph.tensors[index]), constants[position])
              for position, index in enumerate(operator.inputs) if index >= 0]
    view = Operator(name, values, [Value(_shape(graph.tensors[index])) for index in operator.outputs],
                    fused=bool(getattr(options, "fusedActivationFunction", 0)),
                    dilations=(getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1)))
    stored = constants.get(len(inputs) - 1)
    if name in _WITH_AXES and stored is not None:
        rank = len(values[0].shape)
        return replace(view, axes=tuple(sorted(int(axis) % rank for axis in np.atleast_1d(stored))))
    if name == "PAD" and stored is not None:
        return replace(view, axes=tuple(int(axis) for axis in np.flatnonzero(np.asarray(stored).reshape(-1, 2).any(axis=1))))
    axis = constants.get(0)
    if name == "SPLIT" and axis is not None:
        return replace(view, inputs=values[1:], axes=(int(np.ravel(axis)[0]) % len(values[1].shape),))
    if name == "STRIDED_SLICE" and stored is not None:
        return replace(view, strides=tuple(int(step) for step in stored))
    return view


def _stored(model: Any, tensor: Any) -> Array | None:
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data):
        return None
    dtype = _dtype(tensor)
    raw = np.asarray(data, np.uint8).tobytes()
    return np.frombuffer(raw, dtype if dtype in ("int8", "uint8", "int32", "int64", "float32", "int16") else "uint8")


def _scales(tensor: Any) -> Any:
    return [] if tensor.quantization is None or tensor.quantization.scale is None else tensor.quantization.scale


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(side) for side in tensor.shape)


def _dtype(tensor: Any) -> str:
    return TENSOR_TYPES[tensor.type] if 0 <= tensor.type < len(TENSOR_TYPES) else f"type {tensor.type}"


def _name(tensor: Any) -> str:
    return (tensor.name or b"").decode("utf-8", "replace")
