"""The float graph that the toolkit works on: ONNX operators in one canonical form, with every shape known.

Readers (``onnx_reader``, ``tflite_reader``) make it, accuracy algorithms change its constants, writers turn it into ONNX and
TFLite files. Values are names. A value is a graph input, a node's output or a constant; "" stands for an absent input.

The canonical form, so that nobody else needs to know what operator sets looked like (of ONNX opset 17 where not said):

    layout         as in ONNX: (N, C, H, W) and (N, C, L); all sides fixed
    Conv, ConvTranspose   inputs x, w, b (b always there); attributes strides, pads, dilations (full lists), group, and
                   output_padding for the latter. No auto_pad. BatchNormalization is folded into them where it can be
    Gemm           inputs a (n, in), w (out, in), b (out,), w and b constant; no attributes. A MatMul of any rank by a constant
                   matrix, with the Add after it, is Reshape, Gemm, Reshape
    MatMul         two inputs, both varying
    Clip           attributes min, max (floats; -inf, inf where open); one input
    Relu Sigmoid Tanh HardSwish Erf Exp Log Sqrt Abs Neg Reciprocal Floor; LeakyRelu Elu (alpha); HardSigmoid (alpha, beta);
    Gelu (approximate: "none" or "tanh"); PRelu (x, slope constant). SiLU is Sigmoid and Mul; Softplus, Mish, Softsign, Selu and
    Celu are written out
    Softmax, LogSoftmax   axis, not negative
    MaxPool, AveragePool  kernel_shape, strides, pads; dilations (MaxPool); count_include_pad (AveragePool); ceil_mode resolved
    GlobalAveragePool, GlobalMaxPool
    Add Sub Mul Div Pow Min Max   two inputs, numpy's broadcasting; either may be constant
    Concat (axis)  Split (axis, split: sizes)  Slice (starts, ends, axes, steps; none negative but steps)
    Pad (pads, mode "constant", "reflect" or "edge", value)   Reshape (shape, no -1 or 0; Flatten, Squeeze, Unsqueeze are this)
    Transpose (perm)  Expand (shape)  Tile (repeats)  Gather (x, indices; axis)  Cast (to: numpy's name)
    Resize (mode "nearest" or "linear" or "cubic", coordinate_transformation_mode, nearest_mode, scales, sizes: both full lists)
    DepthToSpace (blocksize, mode)  SpaceToDepth (blocksize)  ArgMax (axis, keepdims)
    ReduceMean ReduceSum ReduceMax ReduceMin (axes, not negative and sorted; keepdims)
    LayerNormalization (x, scale, bias; axis, not negative; epsilon)   InstanceNormalization (x, scale, bias; epsilon)
    A BatchNormalization that nothing takes in is Mul and Add, a Sub or Div by a constant is Add or Mul, a mean over all
    spatial sides is GlobalAveragePool. A Slice with a negative step may end at -1: down to index 0. Resize has antialias,
    cubic_coeff_a, exclude_outside, extrapolation_value, and AveragePool has dilations, where they are not the default
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from edgeinfer.model.tensor import Array

__all__ = ["Graph", "Node"]

Shape = tuple[int, ...]


@dataclass
class Node:
    """One operator. ``name`` is unique in its graph and stays the same from run to run: it is the name of the first output."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.outputs[0]

    def __str__(self) -> str:
        return f"{self.op} '{self.name}'"


@dataclass
class Graph:
    """A network of nodes in topological order. ``shapes`` and ``dtypes`` (numpy's names) hold every value, constants too."""

    name: str
    inputs: list[str]
    outputs: list[str]
    nodes: list[Node]
    constants: dict[str, Array]
    shapes: dict[str, Shape]
    dtypes: dict[str, str]

    def producer(self, value: str) -> Node | None:
        """The node that makes a value; None for an input or a constant."""
        return next((node for node in self.nodes if value in node.outputs), None)

    def producers(self) -> dict[str, Node]:
        """The node that makes each value, for those that a node makes. A snapshot."""
        return {output: node for node in self.nodes for output in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each value, in order; a node that reads it twice is there once. A snapshot."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                found.setdefault(value, []).append(node)
        return found

    def is_constant(self, value: str) -> bool:
        return value in self.constants

    def add_constant(self, name: str, array: Array) -> str:
        """A constant under ``name``, or under a name made from it where that is taken; its name."""
        free = self.free_name(name)
        self.constants[free] = array
        self.shapes[free], self.dtypes[free] = tuple(array.shape), array.dtype.name
        return free

    def free_name(self, name: str) -> str:
        """``name``, with a number after it where a value is called so already."""
        number, free = 1, name
        while free in self.shapes:
            free, number = f"{name}_{number}", number + 1
        return free

    def add_value(self, name: str, shape: Iterable[int], dtype: str = "float32") -> str:
        """A value that a node will make, under a free name; its name."""
        free = self.free_name(name)
        self.shapes[free], self.dtypes[free] = tuple(shape), dtype
        return free

    def rename_input_of_all(self, old: str, new: str) -> None:
        """Let everything that reads ``old`` read ``new``, graph outputs too."""
        for node in self.nodes:
            node.inputs = [new if value == old else value for value in node.inputs]
        self.outputs = [new if value == old else value for value in self.outputs]

    def remove_unused(self) -> None:
        """Drop nodes whose outputs nobody reads, then constants and facts of values that are gone."""
        wanted = set(self.outputs)
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                kept.append(node)
                wanted.update(node.inputs)
        self.nodes = kept[::-1]
        alive = wanted.union(self.inputs, *(node.outputs for node in self.nodes))
        self.constants = {name: array for name, array in self.constants.items() if name in alive}
        self.shapes = {name: shape for name, shape in self.shapes.items() if name in alive}
        self.dtypes = {name: dtype for name, dtype in self.dtypes.items() if name in alive}

    def copy(self) -> Graph:
        """A graph of its own; the arrays of constants are shared, so replace them rather than write into them."""
        return Graph(self.name, list(self.inputs), list(self.outputs), [deepcopy(node) for node in self.nodes],
                     dict(self.constants), dict(self.shapes), dict(self.dtypes))
