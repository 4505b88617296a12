"""A float .tflite as a Graph: channels become the second side, padding is written out, fused activations stand alone.

What is safe to know of bytes that nobody vouches for is found out first by ``edgeinfer.model.modelfile``, so that a damaged
file has its error from there; the rest is read with the schema that ai-edge-litert brings.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from edgeinfer.errors import ModelError
from edgeinfer.model.modelfile import describe
from quantize.graph import Graph
from quantize.graph.folding import fold
from quantize.graph.from_tflite import arithmetic, convolution, shaping
from quantize.graph.from_tflite.dilation import with_dilations
from quantize.graph.from_tflite.folding import folded
from quantize.graph.from_tflite.tflite_file import TFLiteFile
from quantize.graph.from_tflite.translation import TO_NCHW, TO_NHWC, Operator, Translation, permuted
from quantize.graph.patterns import recognise
from quantize.graph.transposes import Settled, settle

__all__ = ["Read", "read"]

Perms = dict[str, tuple[int, ...] | None]

_OPERATORS = {**arithmetic.OPERATORS, **convolution.OPERATORS, **shaping.OPERATORS}
_CHANNELS_SECOND = {3: (0, 2, 1), 4: TO_NCHW}


@dataclass(frozen=True)
class Read:
    """What a file became. The perm of an input or output (by name) turns the graph's order of sides into the file's:
    ``graph_array.transpose(perm) == file_array``; None where both are the same. ``integer_weights``: how many constants the
    file holds as integers already ("dynamic range"); the graph has the reals that they stand for."""

    graph: Graph
    input_perms: Perms
    output_perms: Perms
    integer_weights: int = 0


def read(path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Read:
    """Read a float model. ``shapes``: of inputs, by name and in the file's order, where the file leaves sides open; a batch
    that is left open is 1.

    Raises ModelError for a file that is damaged, is quantised already, or has an operator that the graph has not.
    """
    facts = describe(path, "tflite")
    file = TFLiteFile(path)
    file.refuse_integers()
    names, wanted = file.names(), dict(shapes or {})
    for name in wanted:
        if name not in [names[index] for index in file.inputs]:
            raise ModelError(path.name, f"an input of {[names[index] for index in file.inputs]}", f"'{name}'",
                             "give --shape the name of an input")
    constants = file.constants()
    translation = Translation(path.stem, names, constants)
    for index, spec in zip(file.inputs, facts.inputs, strict=True):
        _declare(translation, file, index, wanted.get(names[index], spec.shape))
    for number, op in enumerate(with_dilations(file.operators, constants)):
        translation.where = f"{path.name}: operator {number}, {op.name} '{names[op.outputs[0]] if op.outputs else ''}'"
        _translate(translation, op)
    translation.where = path.name
    translation.graph.outputs = [translation.value(index) for index in file.outputs]
    made = _channels_second(translation.graph, [names[index] for index in file.outputs], file.integer_weights())
    _global_pools(made.graph)
    fold(recognise(made.graph), path.name)
    return made


def _declare(t: Translation, file: TFLiteFile, index: int, shape: Sequence[int]) -> None:
    name = t.names[index]
    sides = tuple(1 if axis == 0 and side < 1 else int(side) for axis, side in enumerate(shape))
    if min(sides, default=1) < 1:
        raise ModelError(f"{file.name}: input '{name}'", "sides that are known", str(list(sides)),
                         f"--shape '{name}=1,224,224,3', with the sides that the device will feed")
    t.graph.inputs.append(t.graph.add_value(name, sides, file.dtype(index)))
    t.hold(index, name)


def _translate(t: Translation, op: Operator) -> None:
    """One operator as nodes, or as a constant. Raises ModelError, whatever is wrong with it."""
    make = convolution.CUSTOM.get(op.name) if op.custom else _OPERATORS.get(op.name)
    try:
        if op.name == "SHAPE" and not op.custom:
            t.constants[op.outputs[0]] = np.array(t.shape(op.inputs[0]), np.int64 if op.option("outType") == 4 else np.int32)
            return
        if all(index in t.constants for index in op.inputs):
            constant = folded(op, [t.constants[index] for index in op.inputs])
            if constant is not None:
                t.constants[op.outputs[0]] = constant
                return
        if make is not None:
            make(t, op)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error) as error:
        raise t.misfit("an operator that fits its tensors", f"{type(error).__name__}: {error}") from error
    if make is None:
        raise ModelError(t.where, "an operator that the toolkit knows", op.name,
                         "cut the model before this operator, or give its ONNX or PyTorch original")


def _channels_second(graph: Graph, names: Sequence[str], integer_weights: int) -> Read:
    """The graph without Transposes that need not be. An input has its channels second where that makes it shorter; so has an
    output of four sides that is computed so. ``names``: what the file calls its outputs."""
    orders = {name: tuple(range(len(graph.shapes[name]))) for name in graph.inputs}
    best = settle(graph, orders)
    for name, order in orders.items():
        if len(order) in _CHANNELS_SECOND:
            other = settle(graph, {**orders, name: _CHANNELS_SECOND[len(order)]})
            if _cost(other) < _cost(best):
                best, orders[name] = other, _CHANNELS_SECOND[len(order)]
    made, output_perms = best.graph, Perms()
    for place, (name, stated) in enumerate(zip(names, graph.outputs, strict=True)):
        held = best.output_perms[stated]
        output, perm = _undone(made, made.outputs[place]) if held is None else (made.outputs[place], _inverse(held))
        made.outputs[place] = _renamed(made, output, name)
        output_perms[made.outputs[place]] = perm
    made.remove_unused()
    input_perms = {name: None if perm is None else _inverse(perm) for name, perm in best.input_perms.items()}
    return Read(made, input_perms, output_perms, integer_weights)


def _inverse(perm: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(perm)), key=perm.__getitem__))


def _global_pools(graph: Graph) -> None:
    """A mean over all sides but batch and channels is a GlobalAveragePool."""
    for node in graph.nodes:
        spatial = list(range(2, len(graph.shapes[node.inputs[0]]))) if node.op == "ReduceMean" else []
        if spatial and node.attributes["axes"] == spatial and node.attributes["keepdims"]:
            node.op, node.attributes = "GlobalAveragePool", {}


def _cost(settled: Settled) -> tuple[int, int]:
    """Numbers that are moved, then nodes."""
    moved = [prod(settled.graph.shapes[node.name]) for node in settled.graph.nodes if node.op == "Transpose"]
    return sum(moved), len(settled.graph.nodes)


def _undone(graph: Graph, output: str) -> tuple[str, tuple[int, ...] | None]:
    """An output before the Transpose that puts its channels last, and that perm; as it is where there is none."""
    node = graph.producer(output)
    before = () if node is None else graph.shapes.get(node.inputs[0], ())
    if node is None or len(before) != 4 or graph.producer(node.inputs[0]) is None or node.inputs[0] in graph.outputs:
        return output, None
    unmoved = 1 in (before[1], before[2] * before[3])  # then a Reshape is as good as a Transpose
    if node.op == "Reshape" and unmoved and permuted(before, TO_NHWC) == graph.shapes[output]:
        return node.inputs[0], TO_NHWC
    if node.op == "Transpose" and tuple(node.attributes["perm"]) == TO_NHWC:
        return node.inputs[0], TO_NHWC
    return output, None


def _renamed(graph: Graph, value: str, name: str) -> str:
    """Call a value that a node makes by ``name``, and what had that name otherwise; its name."""
    if value == name or graph.outputs.count(value) > 1 or graph.producer(value) is None:
        return value
    if name in graph.shapes:
        if graph.producer(name) is None or name in graph.outputs:
            return value
        _renamed(graph, name, graph.free_name(f"{name}/inner"))
    graph.rename_input_of_all(value, name)
    for node in graph.nodes:
        node.outputs = [name if output == value else output for output in node.outputs]
    graph.shapes[name], graph.dtypes[name] = graph.shapes.pop(value), graph.dtypes.pop(value)
    return name
