"""A .tflite file read into a ModelFile. Every table that is read here is checked; a runtime's parser checks fewer."""

from __future__ import annotations

from collections import Counter

from edgeinfer.errors import ModelError
from edgeinfer.model import tflite_schema as schema
from edgeinfer.model.flatbuffer import Flatbuffer, Table
from edgeinfer.model.modelfacts import ModelFile, quantization_of, tensor_spec
from edgeinfer.model.tensor import TensorSpec

__all__ = ["read"]


def read(content: memoryview, where: str) -> ModelFile:
    """The facts of the first subgraph, which is the one that runs, and the operators of all. Raises ModelError."""
    model = Flatbuffer(content, where).root()
    graphs = model.tables(schema.Model.SUBGRAPHS)
    if not graphs:
        raise ModelError(where, "a TFLite flatbuffer with a subgraph", "none", "convert the model anew")
    buffers = [buffer.extent(schema.Buffer.DATA, 1)[1] for buffer in model.tables(schema.Model.BUFFERS)]
    codes = [_operator_name(code) for code in model.tables(schema.Model.OPERATOR_CODES)]
    operators: Counter[tuple[str, bool]] = Counter()
    for graph in graphs:
        operators.update(_operators(graph, codes, len(buffers), where))
    tensors = graphs[0].tables(schema.SubGraph.TENSORS)
    inputs = [_spec(tensors, index, where) for index in graphs[0].numbers(schema.SubGraph.INPUTS, "i")]
    outputs = [_spec(tensors, index, where) for index in graphs[0].numbers(schema.SubGraph.OUTPUTS, "i")]
    return ModelFile(
        format="tflite", inputs=tuple(inputs), outputs=tuple(outputs), symbols=_symbols([*inputs, *outputs]),
        operators={name: count for (name, _), count in operators.most_common()},
        custom_operators=tuple(sorted({name for name, custom in operators if custom})), tensors=len(tensors),
        subgraphs=len(graphs), description=model.text(schema.Model.DESCRIPTION), metadata=_metadata(model, buffers, where))


def _operator_name(code: Table) -> tuple[str, bool]:
    """The name, and whether it is a custom operator."""
    builtin = max(code.number(schema.OperatorCode.DEPRECATED_BUILTIN_CODE, "b"),
                  code.number(schema.OperatorCode.BUILTIN_CODE, "i"))
    if builtin == schema.CUSTOM:
        return code.text(schema.OperatorCode.CUSTOM_CODE) or "unnamed", True
    known = 0 <= builtin < len(schema.BUILTIN_OPERATORS)
    return schema.BUILTIN_OPERATORS[builtin] if known else f"BUILTIN_{builtin}", False


def _operators(graph: Table, codes: list[tuple[str, bool]], buffers: int, where: str) -> list[tuple[str, bool]]:
    """The operators of one subgraph, once it is certain that all they point to is there."""
    tensors = graph.tables(schema.SubGraph.TENSORS)
    for tensor in tensors:
        _index(tensor.number(schema.Tensor.BUFFER, "I"), max(buffers, 1), "buffers", where)
    found = []
    for operator in graph.tables(schema.SubGraph.OPERATORS):
        for side in (schema.Operator.INPUTS, schema.Operator.OUTPUTS):
            for index in operator.numbers(side, "i"):
                _index(max(index, 0), len(tensors), "tensors", where)  # -1 is an optional input that is left out
        found.append(codes[_index(operator.number(schema.Operator.OPCODE_INDEX, "I"), len(codes), "operator codes", where)])
    return found


def _spec(tensors: list[Table], index: int, where: str) -> TensorSpec:
    tensor = tensors[_index(index, len(tensors), "tensors", where)]
    name = tensor.text(schema.Tensor.NAME)
    shape = tensor.numbers(schema.Tensor.SHAPE, "i")
    signature = tensor.numbers(schema.Tensor.SHAPE_SIGNATURE, "i")
    if len(signature) == len(shape):
        shape = tuple(-1 if stated == -1 else side for side, stated in zip(shape, signature, strict=True))
    if any(side == 0 or side < -1 for side in shape):
        raise ModelError(f"{where}: {name}", "sides of at least 1", str(list(shape)), "convert the model anew")
    kind = tensor.number(schema.Tensor.TYPE, "b")
    dtype = schema.TENSOR_TYPES[kind] if 0 <= kind < len(schema.TENSOR_TYPES) else f"type {kind}"
    given = tensor.table(schema.Tensor.QUANTIZATION)
    quantization = None if given is None else quantization_of(
        f"{where}: {name}", dtype, shape, scales=given.numbers(schema.QuantizationParameters.SCALE, "f"),
        zero_points=given.numbers(schema.QuantizationParameters.ZERO_POINT, "q"),
        axis=given.number(schema.QuantizationParameters.QUANTIZED_DIMENSION, "i"))
    return tensor_spec(where, name, shape, dtype, quantization)


def _symbols(specs: list[TensorSpec]) -> dict[str, tuple[str, ...]]:
    return {spec.name: tuple("?" if side == -1 else str(side) for side in spec.shape) for spec in specs if -1 in spec.shape}


def _metadata(model: Table, buffers: list[int], where: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    for entry in model.tables(schema.Model.METADATA):
        name = entry.text(schema.Metadata.NAME)
        index = _index(entry.number(schema.Metadata.BUFFER, "I"), len(buffers), "buffers", where)
        if name == "min_runtime_version":
            entries[name] = model.tables(schema.Model.BUFFERS)[index].text(schema.Buffer.DATA).rstrip("\0")
        else:
            entries[name] = f"{buffers[index]} bytes"
    return entries


def _index(index: int, count: int, what: str, where: str) -> int:
    if not 0 <= index < count:
        raise ModelError(where, f"an index into {count} {what}", str(index), "copy the model file anew: it is damaged")
    return index
