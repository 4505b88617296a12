"""The graph under construction while a .tflite is read, and the orders in which it holds each tensor.

TFLite has channels last, the graph has them second. A tensor is *born* in the order of the operator that makes it: of a
convolution as NCHW, of a reshape as the file has it ("file"). Whoever reads it says which order it needs; a Transpose
appears only where the two differ, once per tensor. So a convolutional net has none, as in an ONNX file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from edgeinfer.errors import ModelError
from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node, Shape

__all__ = ["TO_NCHW", "TO_NHWC", "Operator", "Order", "Translation", "permuted"]

Order = Literal["file", "nchw"]
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_FUSED: dict[int, tuple[str, dict[str, Any]] | None] = {
    0: None, 1: ("Relu", {}), 2: ("Clip", {"min": -1.0, "max": 1.0}), 3: ("Clip", {"min": 0.0, "max": 6.0}), 4: ("Tanh", {}),
}  # ActivationFunctionType of the schema


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
        self._held: dict[int, dict[Order, str]] = {}
        self._makers: dict[str, Node] = {}

    def misfit(self, expected: str, got: object) -> ModelError:
        """The error of an operator that says what the graph cannot say."""
        return ModelError(self.where, expected, str(got),
                          "convert the model anew, from its ONNX or PyTorch original if there is one")

    # what an operator reads

    def shape(self, index: int) -> Shape:
        """The shape of a tensor in the file's order."""
        if index in self.constants:
            return tuple(self.constants[index].shape)
        order, name = next(iter(self._held[index].items()))
        shape = self.graph.shapes[name]
        return shape if order == "file" else permuted(shape, TO_NHWC)

    def dtype(self, index: int) -> str:
        if index in self.constants:
            return str(self.constants[index].dtype.name)
        return self.graph.dtypes[next(iter(self._held[index].values()))]

    def known(self, index: int) -> Array:
        """A constant. Raises ModelError where the tensor is computed."""
        if index not in self.constants:
            raise self.misfit(f"'{self.names[index]}' to be a constant", "a value that the model computes")
        return self.constants[index]

    def integers(self, index: int) -> list[int]:
        """A constant that lists axes or sides."""
        return [int(number) for number in np.atleast_1d(self.known(index)).ravel()]

    def born(self, *indices: int) -> Order:
        """The order to compute in: NCHW where a tensor of four sides has been made so, else the file's."""
        return "nchw" if any(next(iter(self._held[index])) == "nchw" for index in indices if index in self._held) else "file"

    def value(self, index: int, order: Order = "file", rank: int = 0) -> str:
        """The graph's name for a tensor in that order, its shape led by ones up to ``rank``."""
        held = self._held.setdefault(index, {})
        if index in self.constants:
            return self._constant(index, order, rank)
        if order == "file" and len(self.shape(index)) >= rank and "file" not in held:
            held["file"] = self.transpose(held["nchw"], TO_NHWC, f"{self.names[index]}/nhwc")
        elif order == "nchw" and "nchw" not in held:
            held["nchw"] = self._as_nchw(index)
        missing = rank - len(self.shape(index))
        if order == "file" and missing > 0:
            return self.reshape(held["file"], (*[1] * missing, *self.shape(index)), f"{self.names[index]}/{rank}d")
        return held[order]

    def flat(self, index: int) -> str:
        """A name whose values lie in memory as the file's do, whatever the order of its sides: what a reshape reads."""
        order = self.born(index)
        shape = self.shape(index)
        return self.value(index, order if order == "file" or _same_in_memory(shape) else "file")

    def _constant(self, index: int, order: Order, rank: int) -> str:
        array = self.constants[index]
        rank = 4 if order == "nchw" and array.size > 1 else rank
        if array.ndim < rank and array.size > 1:
            array = array.reshape((1,) * (rank - array.ndim) + array.shape)
        if order == "nchw" and array.ndim == 4:
            array = np.ascontiguousarray(array.transpose(TO_NCHW))
        key = f"{self.names[index]}" + ("/nchw" if order == "nchw" and array.ndim == 4 else "")
        kept = self.graph.constants.get(key)
        return key if kept is not None and kept.shape == array.shape else self.graph.add_constant(key, array)

    def _as_nchw(self, index: int) -> str:
        shape = self.shape(index)
        name = self._held[index]["file"]
        whole = (*[1] * (4 - len(shape)), *shape)
        if _same_in_memory(whole):
            return self.reshape(name, permuted(whole, TO_NCHW), f"{self.names[index]}/nchw")
        name = name if whole == shape else self.reshape(name, whole, f"{self.names[index]}/4d")
        return self.transpose(name, TO_NCHW, f"{self.names[index]}/nchw")

    # what an operator makes

    def hold(self, index: int, name: str, order: Order = "file") -> None:
        """From now on the graph's ``name`` is the tensor, born in this order."""
        self._held[index] = {order: name}

    def emit(self, op: str, inputs: Sequence[str], shape: Sequence[int], name: str, /, *, dtype: str = "",
             **attributes: Any) -> str:
        """A node of one output; its name. The dtype is that of the first input where none is said."""
        output = self.graph.add_value(name, map(int, shape), dtype or self.graph.dtypes[inputs[0]])
        self._add(Node(op, list(inputs), [output], attributes))
        return output

    def emit_split(self, value: str, outputs: Sequence[int], sizes: Sequence[int], axis: int, order: Order,
                   suffix: str = "") -> None:
        """A Split, whose outputs are tensors of the file."""
        shape, dtype = self.graph.shapes[value], self.graph.dtypes[value]
        made = [self.graph.add_value(self.names[index] + suffix, (*shape[:axis], size, *shape[axis + 1:]), dtype)
                for index, size in zip(outputs, sizes, strict=True)]
        self._add(Node("Split", [value], made, {"axis": axis, "split": list(sizes)}))
        for index, name in zip(outputs, made, strict=True):
            self.hold(index, name, order)

    def emit_fused(self, op: str, inputs: Sequence[str], shape: Sequence[int], index: int, activation: int, order: Order,
                   suffix: str = "", **attributes: Any) -> None:
        """The node that makes tensor ``index``, and the activation that the file has in the same operator."""
        if activation not in _FUSED:
            raise self.misfit("a fused activation that the toolkit knows", f"number {activation}")
        fused, name = _FUSED[activation], self.names[index] + suffix
        linear = self.emit(op, inputs, shape, f"{name}/linear" if fused else name, **attributes)
        self.hold(index, self.emit(fused[0], [linear], shape, name, **fused[1]) if fused else linear, order)

    def transpose(self, value: str, perm: Sequence[int], name: str) -> str:
        return self.emit("Transpose", [value], permuted(self.graph.shapes[value], perm), name, perm=list(perm))

    def reshape(self, value: str, shape: Sequence[int], name: str) -> str:
        """A Reshape, or ``value`` itself where it has the shape; two in a row become one."""
        maker = self._makers.get(value)
        value = maker.inputs[0] if maker is not None and maker.op == "Reshape" else value
        shape = tuple(map(int, shape))
        if prod(shape) != prod(self.graph.shapes[value]):
            raise self.misfit(f"a shape of {prod(self.graph.shapes[value])} elements", list(shape))
        if shape == self.graph.shapes[value]:
            return value
        return self.emit("Reshape", [value], shape, name, shape=list(shape))

    def maker(self, value: str) -> Node | None:
        """The node that makes a value of the graph."""
        return self._makers.get(value)

    def _add(self, node: Node) -> None:
        self.graph.nodes.append(node)
        self._makers.update(dict.fromkeys(node.outputs, node))


def _same_in_memory(shape: Sequence[int]) -> bool:
    """Whether NHWC of this shape and its NCHW have their elements in the same places."""
    return len(shape) == 4 and (shape[1] * shape[2] == 1 or shape[3] == 1)
