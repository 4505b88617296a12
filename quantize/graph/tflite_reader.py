"""A float .tflite as a Graph: channels become the second side, padding is written out, fused activations stand alone.

What is safe to know of bytes that nobody vouches for is found out first by ``edgeinfer.model.modelfile``, so that a damaged
file has its error from there; the rest is read with the schema that ai-edge-litert brings.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.errors import ModelError
from edgeinfer.model.modelfile import describe
from quantize.graph import Graph
from quantize.graph.from_tflite import arithmetic, convolution, shaping
from quantize.graph.from_tflite.folding import folded
from quantize.graph.from_tflite.tflite_file import TFLiteFile
from quantize.graph.from_tflite.translation import TO_NCHW, TO_NHWC, Operator, Order, Translation, permuted

__all__ = ["Read", "read"]

_OPERATORS = {**arithmetic.OPERATORS, **convolution.OPERATORS, **shaping.OPERATORS}
_SPATIAL = {*convolution.OPERATORS, *convolution.CUSTOM}
_PICTURES_STAY = {  # operators that make pictures of pictures: where their outputs are NCHW, so may be their inputs
    "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "POW", "PAD", "PADV2", "MIRROR_PAD", "CAST", "CONCATENATION", "SLICE",
    "STRIDED_SLICE", "SPLIT", "SQUARED_DIFFERENCE", "NEG", "ABS", "SQUARE", "SQRT", "RELU", "RELU6", "LOGISTIC", "TANH",
    "HARD_SWISH", "LEAKY_RELU", "PRELU", "MAX_POOL_2D", "AVERAGE_POOL_2D",
}

Perms = dict[str, "tuple[int, ...] | None"]


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
                             f"quantize inspect {path} shows them")
    translation = Translation(path.stem, names, file.constants())
    inputs = {names[index]: _declare(translation, file, index, wanted.get(names[index], spec.shape))
              for index, spec in zip(file.inputs, facts.inputs, strict=True)}
    for number, op in enumerate(file.operators):
        translation.where = f"{file.name}: operator {number}, {op.name} '{names[op.outputs[0]] if op.outputs else ''}'"
        _translate(translation, op)
    outputs = _finish(translation, file.outputs)
    return Read(translation.graph, inputs, outputs, file.integer_weights())


def _declare(t: Translation, file: TFLiteFile, index: int, shape: Sequence[int]) -> tuple[int, ...] | None:
    """A graph input and its perm. A picture that goes to a convolution is NCHW from the start."""
    name = t.names[index]
    sides = tuple(1 if axis == 0 and side < 1 else int(side) for axis, side in enumerate(shape))
    if min(sides, default=1) < 1:
        raise ModelError(f"{file.name}: input '{name}'", "sides that are known", str(list(sides)),
                         f"--shape '{name}=1,224,224,3', with the sides that the device will feed")
    picture = len(sides) == 4 and file.reaches(index, _SPATIAL, _PICTURES_STAY)
    order: Order = "nchw" if picture else "file"
    t.graph.inputs.append(t.graph.add_value(name, permuted(sides, TO_NCHW) if picture else sides, file.dtype(index)))
    t.hold(index, name, order)
    return TO_NHWC if picture else None


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
    except (ValueError, IndexError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error) as error:
        raise t.misfit("an operator that fits its tensors", f"{type(error).__name__}: {error}") from error
    if make is None:
        raise ModelError(t.where, "an operator that the toolkit knows", op.name,
                         "cut the model before this operator, or give its ONNX or PyTorch original")


def _finish(t: Translation, outputs: Sequence[int]) -> Perms:
    """Name the graph's outputs as the file does; their perms."""
    perms: Perms = {}
    for index in outputs:
        order = t.born(index)
        name = t.value(index, order)
        made = t.maker(name) is not None and name not in t.graph.outputs
        if made and name != t.names[index] and t.names[index] not in t.graph.shapes:
            name = _rename(t.graph, name, t.names[index])
        t.graph.outputs.append(name)
        perms[name] = TO_NHWC if order == "nchw" else None
    t.graph.remove_unused()
    return perms


def _rename(graph: Graph, old: str, new: str) -> str:
    """Call a value that a node makes ``new``."""
    for node in graph.nodes:
        node.inputs = [new if value == old else value for value in node.inputs]
        node.outputs = [new if value == old else value for value in node.outputs]
    graph.shapes[new], graph.dtypes[new] = graph.shapes.pop(old), graph.dtypes.pop(old)
    return new
