"""A graph rewritten into TFLite's operators, value by value, in floats or in integers.

The lowered graph has ONNX's canonical operators where TFLite has the same, and TFLite's own, in capitals, where the layout or
the meaning differs; those hold pictures as (N, H, W, C), with a Transpose before and after. Its dtypes are those of the file:
an int8 value is integers on the grid that ``grids`` has for it. Quantize and Dequantize stand where integers and floats meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeinfer.errors import ModelError
from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.graph.orders import NHWC
from quantize.grid import Grid, Quantized
from quantize.tflite import kernels
from quantize.tflite.fusing import fused

__all__ = ["Lowering", "Mixed", "same_grid"]

NCHW = (0, 3, 1, 2)


def same_grid(one: Grid | None, other: Grid | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.dtype == other.dtype and np.array_equal(one.scale, other.scale)
            and np.array_equal(one.zero_point, other.zero_point))


@dataclass
class Mixed:
    """A graph of integers and floats. ``islands``: nodes of the float graph that compute in float though others around them
    do not. ``requantized``: values that are rounded once more, to another grid, and why."""

    graph: Graph
    grids: dict[str, Grid] = field(default_factory=dict)
    islands: list[tuple[str, str, str]] = field(default_factory=list)
    requantized: list[tuple[str, str]] = field(default_factory=list)


class Lowering:
    """The graph under construction. Functions of ``lower`` are given this and the node to rewrite: they ``take`` its inputs,
    ``emit`` operators and ``give`` its outputs; whether integers or floats flow, they need not know."""

    def __init__(self, quantized: Quantized, integers: bool) -> None:
        self.quantized, self._integers = quantized, integers
        self.source = fused(quantized)
        self.consumers = self.source.consumers()
        self.mixed = Mixed(Graph(self.source.name, [], [], [], {}, {}, {}))
        self.graph, self.grids = self.mixed.graph, self.mixed.grids
        self._reserved = set(self.source.shapes)
        self._held: dict[tuple[str, str], str] = {}  # by value and dtype
        self._converted: dict[tuple[str, str, float, int], str] = {}
        self._moved: dict[tuple[str, tuple[int, ...]], str] = {}
        self.node = Node("", [], [""])
        self.dtype = "float32"

    # the walk

    def input(self, value: str, io: str) -> None:
        """Declare a graph input as ``io`` has it: "int8" (as its grid says), "uint8" or "float32"."""
        grid = self.quantized.activations.get(value) if self._integers else None
        if grid is None or io == "float32":
            self._add(value, self.source.shapes[value], self.source.dtypes[value])
            self._held[value, self.source.dtypes[value]] = value
        elif io == "uint8" and grid.dtype == "int8":
            unsigned = Grid("uint8", grid.scale, grid.zero_point + 128)
            self._add(value, self.source.shapes[value], "uint8", unsigned)
            self._held[value, "int8"] = self.converted(value, grid)
        else:
            self._add(value, self.source.shapes[value], grid.dtype, grid)
            self._held[value, grid.dtype] = value
        self.graph.inputs.append(value)

    def begin(self, node: Node) -> None:
        """Turn to the next node; decides whether it computes in integers."""
        self.node, self.dtype = node, "float32"
        if not self._integers or self.source.dtypes[node.name] not in ("float32", "int64", "int32"):
            return
        dtypes, why = kernels.dtype_of(self.source, self.quantized, node)
        if why:
            self.mixed.islands.append((str(node.attributes.get("origin", node.name)), node.op, why))
        else:
            self.dtype = dtypes

    def output(self, value: str, io: str) -> None:
        """Declare a graph output."""
        grid = self.quantized.activations.get(value) if self._integers else None
        if grid is None or io == "float32":
            name = self.held(value, self.source.dtypes[value])
        else:
            name = self.held(value, grid.dtype)
            if io == "uint8" and grid.dtype == "int8":
                name = self.converted(name, Grid("uint8", grid.scale, grid.zero_point + 128))
        self.graph.outputs.append(name)

    # what a node reads

    @property
    def integer(self) -> bool:
        return self.dtype != "float32"

    def shape(self, value: str) -> tuple[int, ...]:
        return self.source.shapes[value]

    def constant(self, value: str) -> Array | None:
        """The float constant of that name, or None."""
        return self.source.constants.get(value)

    def take(self, value: str) -> str:
        """A value of the float graph as the node reads it: floats, or integers of the width that the node computes in."""
        if self.source.dtypes[value] != "float32" or not self.integer:
            return self.held(value, self.source.dtypes[value])
        if value in self.quantized.constants:
            return self.stored(value)
        grid = self.quantized.activations[value]
        name = self.held(value, grid.dtype)
        if grid.dtype == "int8" and self.dtype == "int16":  # the same numbers, exactly
            return self.converted(name, Grid("int16", grid.scale, np.zeros(1, np.int64)))
        return name

    def held(self, value: str, dtype: str) -> str:
        """A value in one dtype; a Quantize or Dequantize makes it of the other."""
        if (value, dtype) in self._held:
            return self._held[value, dtype]
        if value in self.source.constants:
            self._held[value, dtype] = self._put(value, self.source.constants[value])
        elif dtype == "float32":
            self._held[value, dtype] = self.converted(self._held[value, self.quantized.activations[value].dtype], None)
        else:
            self._held[value, dtype] = self.converted(self._held[value, "float32"], self.quantized.activations[value])
        return self._held[value, dtype]

    def stored(self, value: str) -> str:
        """A constant as the integers that the quantised graph holds."""
        stored = self.quantized.constants[value]
        key = (value, stored.grid.dtype)
        if key not in self._held:
            self._held[key] = self._put(value, stored.values, stored.grid)
        return self._held[key]

    # what a node writes

    def new(self, name: str, array: Array, grid: Grid | None = None) -> str:
        """A constant of the file."""
        return self._put(f"{self.node.name}/{name}", array, grid)

    def number(self, value: float, name: str = "number") -> str:
        """A scalar operand; in integers on a grid that has it exactly."""
        return self.operand(np.array(value, np.float32), name)

    def operand(self, array: Array, name: str = "operand") -> str:
        """A constant operand, quantised where the node computes in integers."""
        if not self.integer:
            return self.new(name, np.asarray(array, np.float32))
        least, most = float(np.min(array)), float(np.max(array))
        if self.dtype == "int16" or least == most:
            grid = Grid.of_weights(np.asarray(array), None, self.dtype, 127 if self.dtype == "int8" else 32767)
        else:
            grid = Grid.of_range(least, most)
        return self.new(name, grid.quantize(np.asarray(array, np.float32)), grid)

    def grid_of(self, value: str) -> Grid | None:
        """The grid that the node's output ``value`` has to be computed on: its own, or one of 16 bits over the same range."""
        if not self.integer or value not in self.quantized.activations:
            return None
        grid = self.quantized.activations[value]
        if grid.dtype == "int8" and self.dtype == "int16":
            return Grid.of_range(grid.low, grid.high, "int16", symmetric=True)
        return grid

    def between(self, low: float, high: float) -> Grid | None:
        """A grid for a value that only this rewriting has, from what it can be."""
        return Grid.of_range(low, high, self.dtype, symmetric=self.dtype == "int16") if self.integer else None

    def emit(self, op: str, inputs: Sequence[str], shape: Sequence[int], /, grid: Grid | None = None, name: str = "",
             dtype: str = "", **attributes: Any) -> str:
        """An operator of one output; its name. ``grid``: of the output, where it is integers."""
        dtype = dtype or (grid.dtype if grid else self.graph.dtypes[inputs[0]])
        made = self._add(name or f"{self.node.name}/{op.lower()}", shape, dtype, grid)
        self.graph.nodes.append(Node(op, list(inputs), [made], dict(attributes)))
        return made

    def result(self, op: str, inputs: Sequence[str], **attributes: Any) -> None:
        """The operator that makes the node's only output, as the float graph has it."""
        name = self.node.name
        dtype = "" if self.source.dtypes[name] == "float32" else self.source.dtypes[name]
        self.give(name, self.emit(op, inputs, self.shape(name), self.grid_of(name), name, dtype, **attributes))

    def moves(self, op: str, value: str, shape: Sequence[int], /, name: str = "", **attributes: Any) -> str:
        """An operator that only moves numbers: it keeps the grid."""
        return self.emit(op, [value], shape, self.grids.get(value), name or f"{value}/moved", **attributes)

    def moves_with(self, op: str, inputs: Sequence[str], shape: Sequence[int], /, name: str = "", **attributes: Any) -> str:
        """As ``moves``, with operands."""
        return self.emit(op, inputs, shape, self.grids.get(inputs[0]), name or f"{inputs[0]}/moved", **attributes)

    def emit_parts(self, op: str, value: str, outputs: Sequence[str], /, **attributes: Any) -> list[str]:
        """An operator that moves numbers into several outputs of the float graph; the names of its own."""
        made = [self._add(output, self.shape(output), self.graph.dtypes[value], self.grids.get(value)) for output in outputs]
        self.graph.nodes.append(Node(op, [value], made, dict(attributes)))
        return made

    def on_grid(self, value: str, grid: Grid | None) -> str:
        """A value of the float graph as the node reads it, on the grid of the node's own that its operator asks for. Notes where
        that rounds it once more."""
        constant = self.constant(value)
        if grid is None:
            return self.take(value)
        if constant is not None:
            return self.new("operand", grid.quantize(constant), grid)
        known = len(self._converted)
        made = self.converted(self.take(value), grid)
        if len(self._converted) > known:
            self.mixed.requantized.append((value, f"{self.node.op} '{self.node.name}' has another grid"))
        return made

    def give(self, value: str, lowered: str) -> None:
        """What the node's output is in the lowered graph. Requantised where its grid is another."""
        grid = self.quantized.activations.get(value)
        dtype = self.graph.dtypes[lowered]
        if self._integers and grid is not None and dtype not in ("float32", "int64", "int32"):
            if not same_grid(self.grids[lowered], grid):
                self.mixed.requantized.append((value, f"{self.node.op} computes on another grid"))
            self._held[value, grid.dtype] = self.converted(lowered, grid)
        else:
            self._held[value, dtype] = lowered

    def converted(self, value: str, grid: Grid | None) -> str:
        """A value on another grid, or as floats (None); itself where it is that already."""
        have = self.grids.get(value)
        if same_grid(have, grid):
            return value
        key = (value, grid.dtype, float(grid.scale[0]), int(grid.zero_point[0])) if grid else (value, "", 0.0, 0)
        if key not in self._converted:
            op = "Dequantize" if grid is None else "Quantize"
            dtype = grid.dtype if grid else "float32"
            self._converted[key] = self.emit(op, [value], self.graph.shapes[value], grid, f"{value}/{dtype}", dtype)
        return self._converted[key]

    # layout

    def nhwc(self, value: str) -> str:
        """A picture (N, C, H, W), or a window (N, C, L) as one of a row, with its channels last."""
        shape = self.graph.shapes[value]
        if len(shape) == 3:
            value = self.reshaped(value, (*shape[:2], 1, shape[2]))
        return self.transposed(value, NHWC)

    def nchw(self, value: str, rank: int = 4) -> str:
        """The way back, to ``rank`` sides."""
        value = self.transposed(value, NCHW)
        shape = self.graph.shapes[value]
        return value if rank == len(shape) else self.reshaped(value, (*shape[:2], *shape[3:]))

    def transposed(self, value: str, perm: Sequence[int]) -> str:
        key = (value, tuple(perm))
        if key not in self._moved:
            shape = [self.graph.shapes[value][axis] for axis in perm]
            self._moved[key] = self.moves("Transpose", value, shape, f"{value}/turned", perm=list(perm))
        return self._moved[key]

    def reshaped(self, value: str, shape: Sequence[int]) -> str:
        return self.moves("Reshape", value, shape, f"{value}/shaped", shape=list(shape))

    def refuse(self, expected: str, got: str, hint: str) -> ModelError:
        """The error of a node that TFLite has no operators for."""
        where = f"{self.source.name}: {self.node.op} '{self.node.attributes.get('origin', self.node.name)}'"
        return ModelError(where, expected, got, hint)

    def _put(self, name: str, array: Array, grid: Grid | None = None) -> str:
        made = self.graph.add_constant(self._free(name), array)
        if grid is not None:
            self.grids[made] = grid
        return made

    def _add(self, name: str, shape: Sequence[int], dtype: str, grid: Grid | None = None) -> str:
        made = self.graph.add_value(self._free(name), shape, dtype)
        if grid is not None:
            self.grids[made] = grid
        return made

    def _free(self, name: str) -> str:
        """A name of the float graph is for the value that is first made under it; others get a number."""
        return self.graph.free_name(name)
