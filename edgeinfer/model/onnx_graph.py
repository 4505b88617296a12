"""The part of onnx.proto that is read here, as plain objects. Field numbers are those of onnx 1.19 (IR version 12)."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field

from edgeinfer.errors import ModelError
from edgeinfer.model.protobuf import Reader

__all__ = ["Graph", "Model", "Node", "Value", "constant_values", "read_model"]

_TYPES = {  # TensorProto.DataType
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16", 21: "uint4", 22: "int4",
}
_LETTERS = {"float32": "f", "float16": "e", "uint8": "B", "int8": "b", "uint16": "H", "int16": "h", "int32": "i"}  # struct's
_NOTHING = memoryview(b"")


@dataclass
class Node:
    """NodeProto. Inputs and outputs are names of values; ``tensor`` is a Constant's."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    operator: str = ""
    domain: str = ""
    axis: int = 1  # the default of QuantizeLinear and DequantizeLinear
    tensor: memoryview = _NOTHING


@dataclass
class Value:
    """ValueInfoProto of a tensor. A side is a number, or the symbol that stands for it ("?" where it has none)."""

    name: str = ""
    dtype: str = "no tensor"
    sides: list[int | str] = field(default_factory=list)


@dataclass
class Graph:
    """GraphProto. ``constants`` are the TensorProtos of initialisers and of Constant nodes, by name."""

    nodes: list[Node] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    constants: dict[str, memoryview] = field(default_factory=dict)


@dataclass
class Model:
    """ModelProto. ``operators`` counts (domain, name) over the graph and its ``subgraphs``; ``functions`` are the domains of
    operators that the file itself defines."""

    graph: Graph | None = None
    opsets: dict[str, int] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    producer: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    subgraphs: int = 0


def read_model(content: memoryview, reader: Reader) -> Model:
    """The whole model. Raises ModelError."""
    model, graphs = Model(), []
    for number, value in reader.fields(content):
        if number in (2, 3):  # producer_name, producer_version
            model.producer.append(reader.text(value))
        elif number == 7:
            graphs.append(reader.message(value))
        elif number == 8:  # opset_import: domain, version
            parts = dict(reader.fields(reader.message(value)))
            model.opsets[reader.text(parts.get(1, _NOTHING))] = reader.number(parts.get(2, 0))
        elif number == 14:  # metadata_props: key, value
            parts = dict(reader.fields(reader.message(value)))
            model.metadata[reader.text(parts.get(1, _NOTHING))] = reader.text(parts.get(2, _NOTHING))
        elif number == 25:  # functions: domain
            model.functions |= {reader.text(part) for key, part in reader.fields(reader.message(value)) if key == 10}
    while graphs:  # subgraphs (of If, Loop, Scan) join the list, so that their depth costs no stack
        graph = _graph(graphs.pop(), reader, graphs)
        model.graph = model.graph or graph
        model.operators.update((node.domain, node.operator) for node in graph.nodes)
        model.subgraphs += 1
    return model


def _graph(message: memoryview, reader: Reader, subgraphs: list[memoryview]) -> Graph:
    graph = Graph()
    for number, value in reader.fields(message):
        if number == 1:
            node = _node(reader.message(value), reader, subgraphs)
            graph.nodes.append(node)
            if node.operator == "Constant" and node.outputs:
                graph.constants[node.outputs[0]] = node.tensor
        elif number == 5:
            name = _initializer_name(reader.message(value), reader)
            graph.constants[name] = reader.message(value)
        elif number in (11, 12):
            (graph.inputs if number == 11 else graph.outputs).append(_value(reader.message(value), reader))
    return graph


def _node(message: memoryview, reader: Reader, subgraphs: list[memoryview]) -> Node:
    node = Node()
    for number, value in reader.fields(message):
        if number in (1, 2):
            (node.inputs if number == 1 else node.outputs).append(reader.text(value))
        elif number == 4:
            node.operator = reader.text(value)
        elif number == 5:
            _attribute(reader.message(value), node, reader, subgraphs)
        elif number == 7:
            domain = reader.text(value)
            node.domain = "" if domain == "ai.onnx" else domain  # two names of the same
    return node


def _attribute(message: memoryview, node: Node, reader: Reader, subgraphs: list[memoryview]) -> None:
    """AttributeProto: name 1, i 3, t 5, g 6, graphs 11."""
    name, integer = "", None
    for number, value in reader.fields(message):
        if number == 1:
            name = reader.text(value)
        elif number == 3:
            integer = reader.number(value)
        elif number == 5:
            node.tensor = reader.message(value)
        elif number in (6, 11):
            subgraphs.append(reader.message(value))
    if name == "axis" and integer is not None:
        node.axis = integer


def _initializer_name(message: memoryview, reader: Reader) -> str:
    name = ""
    for number, value in reader.fields(message):
        if number == 8:
            name = reader.text(value)
        elif number == 14 and reader.number(value) == 1:  # data_location: EXTERNAL
            raise ModelError(reader.where, "a model with its weights in the file", "weights in other files",
                             "python -c \"import onnx; onnx.save(onnx.load('model.onnx'), 'whole.onnx')\"")
    return name


def _value(message: memoryview, reader: Reader) -> Value:
    found = Value()
    for number, value in reader.fields(message):
        if number == 1:
            found.name = reader.text(value)
        elif number == 2:
            kinds = dict(reader.fields(reader.message(value)))
            if 1 in kinds:  # a tensor, no sequence or map
                _tensor_type(reader.message(kinds[1]), found, reader)
    return found


def _tensor_type(message: memoryview, found: Value, reader: Reader) -> None:
    for number, value in reader.fields(message):
        if number == 1:
            kind = reader.number(value)
            found.dtype = _TYPES.get(kind, f"type {kind}")
        elif number == 2:  # shape: dim 1
            sides = reader.fields(reader.message(value))
            found.sides = [_side(reader.message(side), reader) for key, side in sides if key == 1]


def _side(message: memoryview, reader: Reader) -> int | str:
    """A dimension: dim_value 1 or dim_param 2."""
    for number, value in reader.fields(message):
        if number == 1 and reader.number(value) > 0:
            return reader.number(value)
        if number == 2:
            return reader.text(value) or "?"
    return "?"


def constant_values(message: memoryview, reader: Reader) -> list[float]:
    """The numbers of a TensorProto; none for a type that no scale or zero point has."""
    letter, raw = "", _NOTHING
    values: list[float] = []
    for number, value in reader.fields(message):
        if number == 2:
            letter = _LETTERS.get(_TYPES.get(reader.number(value), ""), "")
        elif number == 4:
            values += reader.floats(value)
        elif number == 5:  # int32_data, for all smaller integers too
            values += reader.integers(value)
        elif number == 9:
            raw = reader.message(value)
    if letter and raw:
        size = struct.calcsize(letter)
        values += struct.unpack_from(f"<{min(len(raw) // size, 65536)}{letter}", raw)  # a scale for each channel at most
    return values if letter else []
