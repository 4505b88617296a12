"""The graph that rules write while the old one is read: nodes are emitted, no-ops forwarded, constants made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.graph.onnx_loading import refuse

__all__ = ["EVAL_HINT", "Rewrite", "Rule"]

EVAL_HINT = "export the model after model.eval()"


class Rewrite:
    """``opset``: the operator set whose meaning the nodes that are read have. ``where``: the file's name, for messages."""

    def __init__(self, graph: Graph, opset: int, where: str) -> None:
        self.graph, self.opset, self.where = graph, opset, where
        self.nodes: list[Node] = []
        self.name = ""  # of the node that is being read: new values and constants are called after it
        self.read = {value for node in graph.nodes for value in node.inputs} | set(graph.outputs)
        self._forwarded: dict[str, str] = {}

    def emit(self, op: str, inputs: Sequence[str], outputs: str | Sequence[str], **attributes: Any) -> str:
        """Write a node; the name of its first output."""
        names = [outputs] if isinstance(outputs, str) else list(outputs)
        self.nodes.append(Node(op, list(inputs), names, attributes))
        return names[0]

    def make(self, op: str, inputs: Sequence[str], name: str, sides: Sequence[int], **attributes: Any) -> str:
        """Write a node that makes a new value of the given sides and the type of its first input; the value."""
        return self.emit(op, inputs, self.value(name, sides, self.graph.dtypes[inputs[0]]), **attributes)

    def value(self, name: str, sides: Sequence[int], dtype: str = "float32") -> str:
        """A new value that a node will make."""
        return self.graph.add_value(f"{self.name}/{name}", sides, dtype)

    def reshape(self, value: str, output: str) -> None:
        """``output`` is ``value`` in another shape, or the same."""
        shape = self.shape(output)
        if shape == self.shape(value):
            self.forward(value, output)
        else:
            self.emit("Reshape", [value], output, shape=list(shape))

    def forward(self, value: str, output: str) -> None:
        """``output`` is ``value``: whoever reads it reads that."""
        self._forwarded[output] = value

    def constant(self, name: str, array: Array, dtype: str = "float32") -> str:
        """A new constant."""
        return self.graph.add_constant(f"{self.name}/{name}", np.ascontiguousarray(array, dtype).reshape(np.shape(array)))

    def array(self, value: str) -> Array | None:
        """The numbers of a constant; None for what varies."""
        return self.graph.constants.get(value)

    def shape(self, value: str) -> tuple[int, ...]:
        return self.graph.shapes[value]

    def input(self, node: Node, place: int) -> str | None:
        """The name of an input, None where it is absent."""
        return node.inputs[place] if place < len(node.inputs) and node.inputs[place] else None

    def numbers(self, node: Node, place: int, attribute: str) -> list[Any] | None:
        """A list that older operator sets hold as an attribute and newer ones as a constant input; None without it."""
        if attribute in node.attributes:
            return list(node.attributes[attribute])
        name = self.input(node, place)
        if name is None:
            return None
        array = self.array(name)
        if array is None:
            self.refuse(node, f"{attribute} that are constants", f"'{name}', which is computed from data",
                        "export the model with fixed sizes, or cut it before this node")
        numbers: list[Any] = array.reshape(-1).tolist()
        return numbers

    def refuse(self, node: Node, expected: str, got: str, hint: str = "") -> NoReturn:
        """Raise ModelError that names the node."""
        refuse(f"{self.where}: {node}", expected, got, hint)

    def resolve(self, node: Node) -> Node:
        """``node`` reading what its inputs were forwarded to."""
        node.inputs = [self._target(value) for value in node.inputs]
        return node

    def finish(self) -> Graph:
        """The graph with the new nodes. A forwarded output keeps its name: what makes its value gets it."""
        graph = self.graph
        graph.nodes = self.nodes
        made = graph.producers()
        for output in graph.outputs:
            value = self._target(output)
            if value == output:
                continue
            if value in made and value not in graph.outputs:
                graph.rename_input_of_all(value, output)
                node = made.pop(value)
                node.outputs = [output if name == value else name for name in node.outputs]
                made[output] = node
                self._forwarded = {old: output if new == value else new for old, new in self._forwarded.items()}
            else:
                self.emit("Reshape", [value], output, shape=list(self.shape(output)))
        graph.remove_unused()
        return graph

    def _target(self, value: str) -> str:
        while value in self._forwarded and self._forwarded[value] != value:
            value = self._forwarded[value]
        return value


Rule = Callable[[Rewrite, Node], None]
