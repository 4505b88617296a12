"""Where the integers go: which values get a grid, which of them share one, and what fixes it.

The rules are those that LiteRT's INT8 kernels ask for (its quantisation specification); ONNX Runtime takes them too, so one
plan serves both files. In order:

    1. a node computes in integers when its operator can and nobody has excluded it
    2. a value that such a node reads or makes gets a grid, unless it lies inside a fused operator
    3. operators that only move or select numbers have one grid for input and output; a Concat draws in what only it reads
    4. Softmax, Sigmoid, Tanh and LogSoftmax have the grid that the specification fixes
    5. the range of a shared grid is the union of the ranges of what is computed, not moved, into it
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.grid import Grid, Quantized, Stored
from quantize.rules import Rules

__all__ = ["FUSED", "INTEGER", "MOVING", "WEIGHTED", "fused_values", "integer_values", "is_planned", "output_axis", "plan",
           "store_bias"]

Range = tuple[float, float]

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm"})
MOVING = frozenset({"MaxPool", "AveragePool", "GlobalMaxPool", "Reshape", "Transpose", "Slice", "Split", "Pad", "Resize",
                    "Gather", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "ReduceMax", "ReduceMin"})
JOINING = frozenset({"Concat", "Min", "Max"})
FIXED: dict[str, Range] = {"Sigmoid": (0, 1), "Softmax": (0, 1), "HardSigmoid": (0, 1), "Tanh": (-1, 1),
                           "LogSoftmax": (-16, 0)}
_SPECIFIED = {"Sigmoid": (1 / 256, -128), "Softmax": (1 / 256, -128), "Tanh": (1 / 128, 0), "LogSoftmax": (16 / 256, 127)}
_SPECIFIED_16 = {"Sigmoid", "Softmax", "Tanh"}  # 1/32768 and 0, in 16 bits
INTEGER = WEIGHTED | MOVING | JOINING | frozenset(_SPECIFIED) | {
    "MatMul", "Add", "Sub", "Mul", "Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "HardSigmoid", "Gelu", "Elu",
    "GlobalAveragePool", "ReduceMean", "ReduceSum"}
FUSED = WEIGHTED | {"Add", "Sub", "Mul"}  # with the Relu or Clip after them
_SIMILAR = 1.5  # ranges that differ by less share a grid at a Concat, though somebody else reads them too


def plan(graph: Graph, ranges: Mapping[str, Range], rules: Rules, excluded: Collection[str] = (),
         wide: Collection[str] = (), inputs: Mapping[str, Grid] | None = None) -> Quantized:
    """The grids of ``graph``. ``ranges``: of every float value that may get one (``integer_values``). ``excluded``: names of
    nodes that stay float. ``wide``: names of nodes whose inputs and outputs get 16 bits. ``inputs``: int8 grids of graph
    inputs that are known better than by range.

    Weights are rounded to the nearest; ``accuracy.rounding`` may put better integers in their place.
    """
    graph = _with_own_biases(graph)
    integer = [node for node in graph.nodes if is_planned(graph, node) and node.name not in excluded]
    fused = fused_values(graph, integer)
    values = _values(graph, integer, fused)
    units = {name for pair in fused.items() if not set(wide).isdisjoint(pair) for name in pair} | set(wide)
    sixteen = {value for node in graph.nodes if node.name in units for value in [*node.inputs, *node.outputs]}
    activations = _Grids(graph, integer, values, ranges, rules, sixteen, inputs or {}).assign()
    quantized = Quantized(graph, activations, {}, frozenset(excluded))
    for node in integer:
        _constants(quantized, node, rules, sixteen)
    return quantized


def _with_own_biases(graph: Graph) -> Graph:
    """A copy in which no two nodes share a bias: its scale follows from its node's input."""
    graph, seen = graph.copy(), set[str]()
    for node in graph.nodes:
        if node.op in WEIGHTED and len(node.inputs) == 3 and graph.is_constant(node.inputs[2]):
            if node.inputs[2] in seen:
                node.inputs[2] = graph.add_constant(f"{node.name}/bias", graph.constants[node.inputs[2]])
            seen.add(node.inputs[2])
    return graph


def integer_values(graph: Graph) -> list[str]:
    """The values whose ranges ``plan`` may ask for, in order."""
    return _values(graph, [node for node in graph.nodes if is_planned(graph, node)], {})


def fused_values(graph: Graph, integer: Collection[Node]) -> dict[str, str]:
    """Values inside a fused operator: what it computes, to what the Relu or Clip that alone reads it makes of it."""
    consumers = graph.consumers()
    names = {node.name for node in integer}
    found: dict[str, str] = {}
    for node in integer:
        readers = consumers.get(node.name, [])
        if node.op in FUSED and len(readers) == 1 and node.name not in graph.outputs:
            after = readers[0]
            if after.op in ("Relu", "Clip") and after.name in names and after.inputs[0] == node.name:
                found[node.name] = after.name
    return found


def is_planned(graph: Graph, node: Node) -> bool:
    """Whether the plan gives the node integers: an operator with integer kernels, on floats of which some are not constant."""
    if node.op not in INTEGER or graph.dtypes[node.name] != "float32":
        return False
    if node.op in WEIGHTED:
        return all(value in graph.constants for value in node.inputs[1:])
    if node.op == "Gather":
        return not graph.is_constant(node.inputs[0])
    return any(value and not graph.is_constant(value) for value in node.inputs)


def _values(graph: Graph, integer: Collection[Node], fused: Mapping[str, str]) -> list[str]:
    wanted = {value for node in integer for value in [*node.inputs, *node.outputs]}
    order = [*graph.inputs, *(output for node in graph.nodes for output in node.outputs)]
    return [value for value in order if value in wanted and value not in fused and graph.dtypes[value] == "float32"]


class _Grids:
    """Groups of values that share a grid, as a forest of parents (union-find)."""

    def __init__(self, graph: Graph, integer: list[Node], values: list[str], ranges: Mapping[str, Range], rules: Rules,
                 sixteen: Collection[str], inputs: Mapping[str, Grid]) -> None:
        self._inputs = inputs
        self._graph, self._integer, self._ranges, self._rules, self._sixteen = graph, integer, ranges, rules, sixteen
        self._parent = {value: value for value in values}
        self._members = {value: [value] for value in values}
        self._order = {value: index for index, value in enumerate(values)}
        makers = {output: node for node in integer for output in node.outputs}
        self._fixed = {value: makers[value].op for value in values if value in makers and makers[value].op in FIXED}
        self._moved = {value for value in values if value in makers and makers[value].op in MOVING | JOINING}

    def assign(self) -> dict[str, Grid]:
        consumers = self._graph.consumers()
        for node in self._integer:
            if node.op in MOVING:
                for output in node.outputs:
                    self._join(node.inputs[0], output)
            elif node.op in JOINING:
                self._draw_in(node, consumers)
        grids = {root: self._grid(members) for root, members in self._members.items() if self._find(root) == root}
        return {value: grids[self._find(value)] for value in self._parent}

    def _find(self, value: str) -> str:
        while self._parent[value] != value:
            value = self._parent[value]
        return value

    def _join(self, one: str, other: str) -> None:
        if one not in self._parent or other not in self._parent:
            return
        first, second = sorted((self._find(one), self._find(other)), key=self._order.__getitem__)
        if first != second:
            self._parent[second] = first
            self._members[first] += self._members.pop(second)

    def _draw_in(self, node: Node, consumers: Mapping[str, list[Node]]) -> None:
        """Inputs that only this node reads take its output's grid; others keep theirs where it is much finer, and are
        rounded once more on the way in."""
        for value in dict.fromkeys(node.inputs):
            if value not in self._parent or self._fixed_within(value):
                continue
            alone = all(len(consumers.get(member, [])) <= 1 and member not in self._graph.inputs
                        for member in self._members[self._find(value)])
            if alone or self._alike(value, node.name):
                self._join(value, node.name)

    def _fixed_within(self, value: str) -> bool:
        return any(member in self._fixed for member in self._members[self._find(value)])

    def _alike(self, one: str, other: str) -> bool:
        widths = [self._range(self._members[self._find(value)]) for value in (one, other)]
        spans = [max(high, 0.0) - min(low, 0.0) for low, high in widths]
        return min(spans) > 0 and max(spans) / min(spans) <= _SIMILAR

    def _range(self, members: Collection[str]) -> Range:
        sources = [value for value in members if value not in self._moved] or list(members)
        found = [self._ranges[value] for value in sources if value in self._ranges] or [(0.0, 0.0)]
        return min(low for low, _ in found), max(high for _, high in found)

    def _grid(self, members: list[str]) -> Grid:
        fixed = [self._fixed[value] for value in members if value in self._fixed]
        low, high = FIXED[fixed[0]] if len(fixed) == 1 else self._range(members)
        if any(value in self._sixteen for value in members):
            if len(fixed) == 1 and fixed[0] in _SPECIFIED_16:
                return Grid("int16", np.array([1 / 32768], np.float32), np.zeros(1, np.int64))
            return Grid.of_range(low, high, "int16", symmetric=True)
        if self._rules.symmetric:
            return Grid.of_range(low, high, "int8", symmetric=True)
        known = [self._inputs[value] for value in members if value in self._inputs]
        if known:
            return known[0]
        if len(fixed) == 1 and fixed[0] in _SPECIFIED:
            scale, zero_point = _SPECIFIED[fixed[0]]
            return Grid("int8", np.array([scale], np.float32), np.array([zero_point], np.int64))
        return Grid.of_range(low, high)


def _constants(quantized: Quantized, node: Node, rules: Rules, sixteen: Collection[str]) -> None:
    """Weights, biases and constant operands of one integer node, on grids of their own."""
    graph = quantized.graph
    if node.op in WEIGHTED:
        _weights(quantized, node, rules)
        return
    wide = any(value in sixteen for value in node.outputs)
    for value in node.inputs:
        array = graph.constants.get(value)
        if array is not None and array.dtype == np.float32 and value not in quantized.constants:
            grid = Grid.of_range(array.min(initial=0), array.max(initial=0), "int16" if wide else "int8",
                                 symmetric=rules.symmetric or wide)
            quantized.constants[value] = Stored(grid.quantize(array), grid)


def _weights(quantized: Quantized, node: Node, rules: Rules) -> None:
    weights = quantized.graph.constants[node.inputs[1]]
    grouped = node.op == "ConvTranspose" and node.attributes["group"] > 1  # its axis 1 counts within a group
    grid = Grid.of_weights(weights, output_axis(node) if rules.per_axis and not grouped else None, most=rules.weight_most)
    source = quantized.activations.get(node.inputs[0])
    bias = quantized.graph.constants[node.inputs[2]]
    if source is not None and not rules.float_bias:
        grid = _wide_enough(grid, source, bias)
    quantized.constants[node.inputs[1]] = Stored(grid.quantize(weights), grid)
    if source is not None and not rules.float_bias:
        store_bias(quantized, node, bias)


def _wide_enough(weights: Grid, source: Grid, bias: Array) -> Grid:
    """Weights of nearly nothing have so fine a scale that their channel's bias overflows 32 bits: coarsen it."""
    least = np.abs(bias.astype(np.float64)) / (float(source.scale[0]) * 2**30)
    if weights.scale.size == 1:
        least = least.max(initial=0.0, keepdims=True)
    return replace(weights, scale=np.maximum(weights.scale, least.astype(np.float32)))


def output_axis(node: Node) -> int:
    """The axis of a weight that numbers the output channels."""
    return 1 if node.op == "ConvTranspose" else 0


def store_bias(quantized: Quantized, node: Node, bias: Array) -> None:
    """Put a bias in, as int32 with the scale that integer kernels ask for: input scale x weight scale, zero point 0."""
    source, weights = quantized.activations[node.inputs[0]], quantized.constants[node.inputs[1]].grid
    scale = (source.scale.astype(np.float64) * weights.scale.astype(np.float64)).astype(np.float32)
    grid = Grid("int32", scale, np.zeros(scale.shape, np.int64), 0 if scale.size > 1 else None)
    quantized.constants[node.inputs[2]] = Stored(grid.quantize(bias), grid)


