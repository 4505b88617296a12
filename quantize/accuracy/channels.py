"""Which channels of which values can only be scaled together, so that the network computes what it did.

Every channel of every value is an atom. Operators that let a factor through (Relu, pooling, a residual Add) tie atoms of their
inputs and outputs together; weights stand between: their rows make atoms, their columns read them. What lets no factor through,
such as Sigmoid or the upper end of a Clip, ties to the fixed atom 0. Channels are axis 1, as in (N, C, H, W) and (N, C).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.plan import WEIGHTED

__all__ = ["Channels"]

FIXED = 0


class Channels:
    """Classes of channels that share a factor. ``classes``: how many; class 0 has factor 1. ``of(value)``: (C,) classes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._atoms: dict[str, Array] = {}
        self._parent: Array = np.zeros(1, np.int64)
        for value in graph.inputs:
            self._atoms[value] = np.zeros(_channels(graph, value), np.int64)
        readers = graph.consumers()
        for node in graph.nodes:
            if node.op in WEIGHTED and all(graph.is_constant(value) and len(readers[value]) == 1 for value in node.inputs[1:]):
                self._fresh(node.name)
            else:
                _RULES.get(node.op, Channels._fix)(self, node)
        for value in graph.outputs:
            if value in self._atoms:
                self._tie(self._atoms[value], np.zeros_like(self._atoms[value]))
        roots = self._root(np.arange(len(self._parent)))
        self._class = np.unique(roots, return_inverse=True)[1]  # the fixed root is the least: class 0
        self.classes = int(self._class.max()) + 1

    def of(self, value: str) -> Array:
        """The class of each channel of a value; all 0 where it may not be scaled."""
        classes: Array = self._class[self._root(self._atoms[value])]
        return classes

    def weighted(self) -> list[Node]:
        """Weighted nodes of which a factor may go through the output or the input."""
        return [node for node in self.graph.nodes
                if node.op in WEIGHTED and (self.of(node.name).any() or self.of(node.inputs[0]).any())]

    def _fresh(self, value: str) -> None:
        count = _channels(self.graph, value)
        self._atoms[value] = np.arange(len(self._parent), len(self._parent) + count)
        self._parent = np.append(self._parent, self._atoms[value])

    def _root(self, atoms: Array) -> Array:
        roots = self._parent[atoms]
        while (self._parent[roots] != roots).any():
            roots = self._parent[roots]
        return roots

    def _tie(self, one: Array, other: Array) -> None:
        for first, second in zip(self._root(one).tolist(), self._root(other).tolist(), strict=True):
            low, high = sorted((self._top(first), self._top(second)))
            self._parent[high] = low

    def _top(self, atom: int) -> int:
        while self._parent[atom] != atom:
            atom = int(self._parent[atom])
        return atom

    def _varying(self, node: Node) -> list[str]:
        return [value for value in node.inputs if value and not self.graph.is_constant(value)]

    def _fix(self, node: Node) -> None:
        """Nothing goes through."""
        for value in self._varying(node):
            self._tie(self._atoms[value], np.zeros_like(self._atoms[value]))
        for value in node.outputs:
            self._atoms[value] = np.zeros(_channels(self.graph, value), np.int64)

    def _through(self, node: Node) -> None:
        """The factors of all inputs and outputs are the same, channel by channel."""
        values = self._varying(node)
        counts = {len(self._atoms[value]) for value in values} | {_channels(self.graph, value) for value in node.outputs}
        if len(counts) != 1 or len(values) != len([value for value in node.inputs if value]):
            self._fix(node)
            return
        for value in values[1:]:
            self._tie(self._atoms[values[0]], self._atoms[value])
        for value in node.outputs:
            self._atoms[value] = self._atoms[values[0]]

    def _first(self, node: Node) -> None:
        """The factor of the first input goes through; the other inputs are constants that do not change it."""
        if self.graph.is_constant(node.inputs[0]) or len(self._varying(node)) > 1 \
                or _channels(self.graph, node.name) != len(self._atoms[node.inputs[0]]):
            self._fix(node)
        else:
            self._atoms[node.name] = self._atoms[node.inputs[0]]

    def _clip(self, node: Node) -> None:
        """A bound at 0 lets factors through, one elsewhere does not."""
        bounds = {node.attributes["min"], node.attributes["max"]}
        (self._first if bounds <= {0.0, -np.inf, np.inf} else self._fix)(node)

    def _mul(self, node: Node) -> None:
        """Times a constant, or times a gate that is fixed: the other factor goes through."""
        varying = self._varying(node)
        fixed = [value for value in varying if not self._root(self._atoms[value]).any()]
        free = [value for value in varying if value not in fixed]
        if len(free) == 1 and varying.count(free[0]) == 1 and len(self._atoms[free[0]]) == _channels(self.graph, node.name):
            self._atoms[node.name] = self._atoms[free[0]]
        else:
            self._fix(node)

    def _pad(self, node: Node) -> None:
        pads = node.attributes["pads"]
        rank = len(pads) // 2
        keeps = node.attributes["mode"] != "constant" or node.attributes["value"] == 0
        (self._first if keeps and not any((pads[0], pads[1], pads[rank], pads[rank + 1])) else self._fix)(node)

    def _reduce(self, node: Node) -> None:
        inside = all(axis >= 2 for axis in node.attributes["axes"])
        (self._first if inside else self._fix)(node)

    def _reshape(self, node: Node) -> None:
        """(N, C, ...) to (N, C x ...) repeats channels; (N, C) to (N, C, 1, 1) keeps them."""
        before, after = self.graph.shapes[node.inputs[0]], self.graph.shapes[node.name]
        atoms = self._atoms[node.inputs[0]]
        if len(before) >= 2 and len(after) >= 2 and before[0] == after[0] and before[1] == after[1]:
            self._atoms[node.name] = atoms
        elif len(before) > 2 and len(after) == 2 and before[0] == after[0]:
            self._atoms[node.name] = np.repeat(atoms, after[1] // max(1, before[1]))
        else:
            self._fix(node)

    def _concat(self, node: Node) -> None:
        if node.attributes["axis"] != 1:
            self._through(node)
        elif len(self._varying(node)) == len(node.inputs):
            self._atoms[node.name] = np.concatenate([self._atoms[value] for value in node.inputs])
        else:
            self._fix(node)

    def _split(self, node: Node) -> None:
        atoms = self._atoms[node.inputs[0]]
        starts = np.cumsum([0, *node.attributes["split"]])
        for place, value in enumerate(node.outputs):
            self._atoms[value] = atoms[starts[place] : starts[place + 1]] if node.attributes["axis"] == 1 else atoms

    def _slice(self, node: Node) -> None:
        at = node.attributes
        inside = slice(None)
        for start, end, axis, step in zip(at["starts"], at["ends"], at["axes"], at["steps"], strict=True):
            if axis == 1:
                inside = slice(start, end if step > 0 or end >= 0 else None, step)
        self._atoms[node.name] = self._atoms[node.inputs[0]][inside]


def _channels(graph: Graph, value: str) -> int:
    shape = graph.shapes[value]
    return shape[1] if len(shape) > 1 else 1


_Rule = Callable[[Channels, Node], None]
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("Relu", "LeakyRelu", "PRelu", "Abs", "Neg", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
                     "Resize"), Channels._first),
    **dict.fromkeys(("Add", "Sub", "Min", "Max"), Channels._through),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), Channels._reduce),
    "Clip": Channels._clip, "Mul": Channels._mul, "Pad": Channels._pad, "Reshape": Channels._reshape,
    "Concat": Channels._concat, "Split": Channels._split, "Slice": Channels._slice}
