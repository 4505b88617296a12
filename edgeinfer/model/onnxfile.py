"""An .onnx file read into a ModelFile."""

from __future__ import annotations

from edgeinfer.errors import ModelError
from edgeinfer.model.modelfacts import ModelFile, quantization_of, tensor_spec
from edgeinfer.model.onnx_graph import Graph, Node, Value, constant_values, read_model
from edgeinfer.model.protobuf import Reader
from edgeinfer.model.tensor import Quantization, TensorSpec

__all__ = ["read"]

_ONNX = ("", "ai.onnx")
_KNOWN_DOMAINS = (*_ONNX, "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")  # what ONNX Runtime's wheels bring
_MOVES = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")  # these keep every value as it is


def read(content: memoryview, where: str) -> ModelFile:
    """The facts of the graph, and the operators of its subgraphs too. Raises ModelError."""
    reader = Reader(where)
    model = read_model(content, reader)
    if model.graph is None or not model.opsets:
        missing = "a graph" if model.graph is None else "the version of its operator set"
        raise ModelError(where, f"an ONNX model with {missing}", "none", "copy the model file anew: it is truncated")
    graph = model.graph
    inputs = [value for value in graph.inputs if value.name not in graph.constants]  # IR version 3 lists initialisers too
    names = {key: ".".join(filter(None, key)) for key in model.operators}
    readers, writers = _readers(graph), {name: node for node in graph.nodes for name in node.outputs}
    return ModelFile(
        format="onnx",
        inputs=tuple(_spec(value, _quantization_after(value, graph, readers, reader), where) for value in inputs),
        outputs=tuple(_spec(value, _quantization_before(value, graph, writers, reader), where) for value in graph.outputs),
        symbols={value.name: tuple(map(str, value.sides)) for value in [*inputs, *graph.outputs]
                 if any(isinstance(side, str) for side in value.sides)},
        operators={names[key]: count for key, count in model.operators.most_common()},
        custom_operators=tuple(sorted(names[key] for key in names if key[0] not in {*_KNOWN_DOMAINS, *model.functions})),
        tensors=len(({value.name for value in inputs} | graph.constants.keys() | writers.keys()) - {""}),
        subgraphs=model.subgraphs,
        opset=next((version for domain, version in model.opsets.items() if domain in _ONNX), 0),
        description=" ".join(filter(None, model.producer)), metadata=model.metadata)


def _spec(value: Value, quantization: Quantization | None, where: str) -> TensorSpec:
    return tensor_spec(where, value.name, _shape(value), value.dtype, quantization)


def _shape(value: Value) -> list[int]:
    return [side if isinstance(side, int) else -1 for side in value.sides]


def _readers(graph: Graph) -> dict[str, Node]:
    """Who reads each value; where there are several, the one that says what it means."""
    readers: dict[str, Node] = {}
    for node in graph.nodes:
        for name in node.inputs:
            if name not in readers or node.operator == "DequantizeLinear":
                readers[name] = node
    return readers


def _quantization_after(value: Value, graph: Graph, readers: dict[str, Node], reader: Reader) -> Quantization | None:
    """An integer input's quantisation: that of the DequantizeLinear which reads it."""
    name, moved = value.name, False
    for _ in graph.nodes:  # a chain is no longer than the graph, even where a damaged one runs in a circle
        node = readers.get(name)
        if node is None or node.inputs[0] != name:
            return None
        if node.operator == "DequantizeLinear":
            return _parameters(node, value, moved, graph, reader)
        if node.operator not in _MOVES or not node.outputs:
            return None
        name, moved = node.outputs[0], True
    return None


def _quantization_before(value: Value, graph: Graph, writers: dict[str, Node], reader: Reader) -> Quantization | None:
    """An integer output's quantisation: that of the QuantizeLinear which writes it."""
    name, moved = value.name, False
    for _ in graph.nodes:
        node = writers.get(name)
        if node is None:
            return None
        if node.operator == "QuantizeLinear":
            return _parameters(node, value, moved, graph, reader)
        if node.operator not in _MOVES or not node.inputs:
            return None
        name, moved = node.inputs[0], True
    return None


def _parameters(node: Node, value: Value, moved: bool, graph: Graph, reader: Reader) -> Quantization | None:
    """Scale and zero point (optional) are the second and third input. None where they are not constants, or are one for each
    index of an axis that was ``moved``."""
    scales, zero_points = (_constants(name, graph, reader) for name in (*node.inputs[1:3], "", "")[:2])
    if not scales or (moved and len(scales) > 1):
        return None
    axis = node.axis + len(value.sides) if node.axis < 0 else node.axis
    where = f"{reader.where}: {value.name}"
    return quantization_of(where, value.dtype, _shape(value), scales=scales, zero_points=[int(zero) for zero in zero_points],
                           axis=axis)


def _constants(name: str, graph: Graph, reader: Reader) -> list[float]:
    return constant_values(graph.constants[name], reader) if name in graph.constants else []
