"""The graph under construction while a .tflite is read. Every tensor is held as the file has it, channels last; an operator
that wants them second reads through a Transpose and writes through one, which ``transposes.settle`` cancels afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgeinfer.errors import ModelError
from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node, Shape

__all__ = ["TO_NCHW", "TO_NHWC", "Operator", "Translation", "permuted"]

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_FUSED: dict[int, tuple[str, dict[str, Any]] | None] = {  # ActivationFunctionType of the schema
    0: None, 1: ("Relu", {}), 2: ("Clip", {"min": -1.0, "max": 1.0}), 3: ("Clip", {"min": 0.0, "max": 6.0}), 4: ("Tanh", {}),
}


@dataclass(frozen=True)
class Operator:
    """One operator of the file. ``inputs`` and ``outputs`` are numbers of tensors, -1 for one that is left out."""

    name: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: Any
    custom_options: bytes = b""
    custom: bool = False

    def option(self, name: str, default: Any = 0) -> Any:
        """A field of the operator's options; ``default`` where the file has no options."""
        return getattr(self.options, name, default)

    def optional(self, position: int) -> int:
        """An input that may be left out: its tensor, or -1."""
        return self.inputs[position] if position < len(self.inputs) else -1


def permuted(shape: Sequence[int], perm: Sequence[int]) -> Shape:
    """``shape`` after a transpose."""
    return tuple(int(shape[axis]) for axis in perm)


class Translation:
    """``names`` has the graph's name for each tensor of the file; ``constants`` the tensors that are known while reading;
    ``where`` the operator that is being translated, for errors."""

    def __init__(self, name: str, names: Sequence[str], constants: dict[int, Array]) -> None:
        self.graph = Graph(name, [], [], [], {}, {}, {})
        self.names = names
        self.constants = constants
        self.where = name
        self._held: dict[int, str] = {}
        self._pictures: dict[str, str] = {}  # the channels-second twin of a value
        self._reshaped: dict[str, str] = {}  # what a Reshape made, and of what

    def misfit(self, expected: str, got: object) -> ModelError:
        """The error of an operator that says what the graph cannot say."""
        return ModelError(self.where, expected, str(got),
                          "convert the model anew, from its ONNX or PyTorch original if there is one")

    # what an operator reads

    def shape(self, index: int) -> Shape:
        return tuple(self.constants[index].shape) if index in self.constants else self.graph.shapes[self.value(index)]

    def known(self, index: int) -> Array:
        """A constant. Raises ModelError where the tensor is computed."""
        if index not in self.constants:
            raise self.misfit(f"'{self.names[index]}' to be a constant", "a value that the model computes")
        return self.constants[index]

    def integers(self, index: int) -> list[int]:
        """A constant that lists axes or sides."""
        return [int(number) for number in np.atleast_1d(self.known(index)).ravel()]

    def value(self, index: int) -> str:
        """The graph's name for a tensor. Raises ModelError where nothing before makes it."""
        if index in self.constants and index not in self._held:
            self._held[index] = self.graph.add_constant(self.names[index], self.constants[index])
        if index not in self._held:
            raise self.misfit(f"an operator before that makes '{self.names[index]}'", "none")
        return self._held[index]

    def picture(self, index: int) -> str:
        """The name of a tensor of four sides as NCHW."""
        return self.as_picture(self.value(index))

    def as_picture(self, value: str) -> str:
        """The name of a value of four sides as NCHW."""
        if len(self.graph.shapes[value]) != 4:
            raise self.misfit("an input of four sides", list(self.graph.shapes[value]))
        if value not in self._pictures:
            self._pictures[value] = self.transpose(value, TO_NCHW, f"{value}/nchw")
        return self._pictures[value]

    # what an operator makes

    def hold(self, index: int, name: str) -> None:
        """From now on the graph's ``name`` is the tensor."""
        self._held[index] = name

    def hold_picture(self, index: int, name: str) -> None:
        """From now on the graph's ``name``, which is NCHW, is the tensor with its channels second."""
        back = self.transpose(name, TO_NHWC, f"{name}/nhwc")
        self._pictures[back] = name
        self.hold(index, back)

    def emit(self, op: str, inputs: Sequence[str], shape: Sequence[int], name: str, /, *, dtype: str = "",
             **attributes: Any) -> str:
        """A node of one output; its name. The dtype is that of the first input where none is said."""
        output = self.graph.add_value(name, map(int, shape), dtype or self.graph.dtypes[inputs[0]])
        self.graph.nodes.append(Node(op, list(inputs), [output], attributes))
        return output

    def emit_split(self, value: str, names: Sequence[str], sizes: Sequence[int], axis: int) -> list[str]:
        """A Split; the names of its outputs."""
        shape, dtype = self.graph.shapes[value], self.graph.dtypes[value]
        made = [self.graph.add_value(name, (*shape[:axis], size, *shape[axis + 1:]), dtype)
                for name, size in zip(names, sizes, strict=True)]
        self.graph.nodes.append(Node("Split", [value], made, {"axis": axis, "split": list(sizes)}))
        return made

    def emit_fused(self, op: str, inputs: Sequence[str], shape: Sequence[int], name: str, activation: int,
                   **attributes: Any) -> str:
        """A node and the activation that the file has in the same operator; the name of what comes out."""
        if activation not in _FUSED:
            raise self.misfit("a fused activation that the toolkit knows", f"number {activation}")
        fused = _FUSED[activation]
        linear = self.emit(op, inputs, shape, f"{name}/linear" if fused else name, **attributes)
        return self.emit(fused[0], [linear], shape, name, **fused[1]) if fused else linear

    def transpose(self, value: str, perm: Sequence[int], name: str) -> str:
        return self.emit("Transpose", [value], permuted(self.graph.shapes[value], perm), name, perm=list(perm))

    def reshape(self, value: str, shape: Sequence[int], name: str) -> str:
        """A Reshape; one of a Reshape reads what that read, and one that changes nothing is none."""
        value = self._reshaped.get(value, value)
        if prod(shape) != prod(self.graph.shapes[value]):
            raise self.misfit(f"a shape of {prod(self.graph.shapes[value])} elements", list(shape))
        if tuple(shape) == self.graph.shapes[value]:
            return value
        made = self.emit("Reshape", [value], shape, name, shape=[int(side) for side in shape])
        self._reshaped[made] = value
        return made
