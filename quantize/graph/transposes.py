"""Transpositions pushed towards the outputs until they cancel.

``settle`` walks a graph once. A Transpose moves nothing: what it made is the value before it, held in another order
(``orders``). Operators that do not care take values as they are held, with attributes and constants to match
(``order_rules``); those that care are given the order that the graph states, and only there a Transpose is written. So what
stands around a channels-last convolution in a channels-first network vanishes, and so does the reverse.

Whether an input is held as stated or with its channels last is tried out: the order in which fewer numbers are moved wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from quantize.graph import Graph, Node
from quantize.graph.order_rules import RULES, bound
from quantize.graph.orders import NHWC, Form, Order, as_stated, bare, complete, moved, same, sides_of

__all__ = ["Settled", "Settling", "settle"]

Perm = tuple[int, ...]


@dataclass
class Settled:
    """A graph whose values are held in orders of their own. The perm of an input or output (by name) makes of the stated array
    what the graph takes or gives: ``array.transpose(perm)``; None where both are the same. ``origins``: for each new value
    or constant the one that it holds in another order."""

    graph: Graph
    input_perms: dict[str, Perm | None] = field(default_factory=dict)
    output_perms: dict[str, Perm | None] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def settle(graph: Graph, inputs: Mapping[str, Perm] | None = None) -> Settled:
    """Remove every Transpose that need not be. ``inputs``: the perms of inputs that are not to be chosen.

    4-D outputs that end channels last stay so; all others are as stated. The graph that is given is not changed.
    """
    chosen = dict(inputs or {})
    for name in graph.inputs:
        if name not in chosen:
            chosen[name] = min(_candidates(graph, name), key=lambda perm: _moves(Settling(graph, {**chosen, name: perm}).run()))
    return Settling(graph, chosen).run()


def _candidates(graph: Graph, name: str) -> Iterator[Perm]:
    """Orders that an input may have; the first wins where both are as good."""
    rank = len(graph.shapes[name])
    plain: Perm = tuple(range(rank))
    last = (0, *range(2, rank), 1)
    if rank == 4 and 1 not in graph.shapes[name][2:]:
        yield from (last, plain) if _is_picture(graph, name) else (plain, last)
    elif rank in (3, 4):
        yield from (plain, last)
    else:
        yield plain


def _is_picture(graph: Graph, name: str) -> bool:
    """Whether the first operator that transposes it, on the way from an input, wants its channels last."""
    consumers, seen, waiting = graph.consumers(), set[str](), [name]
    while waiting:
        value = waiting.pop(0)
        for node in consumers.get(value, []):
            if node.op == "Transpose":
                return tuple(node.attributes["perm"]) == NHWC
            fresh = [output for output in node.outputs if output not in seen and len(graph.shapes[output]) == 4]
            seen.update(fresh)
            waiting += fresh
    return False


def _moves(settled: Settled) -> int:
    """How many numbers the Transposes of a graph move."""
    return sum(int(np.prod(settled.graph.shapes[node.name])) for node in settled.graph.nodes if node.op == "Transpose")


class Settling:
    """One walk over a graph. ``order_rules`` calls ``form``, ``order``, ``take``, ``emit`` and ``hold``."""

    def __init__(self, graph: Graph, inputs: Mapping[str, Perm]) -> None:
        self.source = graph
        self.sides = dict(graph.shapes)
        self.consumers = graph.consumers()
        self.scrambled: dict[str, tuple[int, ...]] = {}
        self.graph = Graph(graph.name, list(graph.inputs), [], [], dict(graph.constants), dict(graph.shapes), dict(graph.dtypes))
        self._settled = Settled(self.graph)
        self._forms = {value: Form(value, as_stated(self.sides[value])) for value in graph.constants}
        self._copies: dict[tuple[str, tuple[int, ...], tuple[int, ...]], str] = {}
        for name in graph.inputs:
            perm = inputs.get(name, as_stated(self.sides[name]))
            self._hold_as(name, tuple(perm))
            stated = list(perm) == sorted(axis for axis in perm if axis is not None)
            self._settled.input_perms[name] = None if stated else tuple(axis for axis in perm if axis is not None)

    def run(self) -> Settled:
        for node in self.source.nodes:
            RULES.get(node.op, bound)(self, node)
        for value in self.source.outputs:
            self._finish(value)
        _join_reshapes(self.graph)
        self.graph.remove_unused()
        return self._settled

    def form(self, value: str) -> Form:
        """The tensor that holds a value."""
        return self._forms[value]

    def order(self, value: str) -> Order:
        """An order with all sides of the value, as near to how it is held as can be."""
        return complete(self._forms[value].order, self.sides[value])

    def constant(self, value: str) -> bool:
        return value in self.source.constants

    def take(self, value: str, order: Order | None = None) -> str:
        """The tensor that holds a value in an order (as stated where None); a Transpose or Reshape makes it where none does."""
        if not value:
            return value
        sides, form = self.sides[value], self._forms[value]
        wanted = as_stated(sides) if order is None else order
        if same(form.order, wanted, sides):
            return form.name
        if self.constant(value):
            return self._moved_constant(value, wanted)
        have, want = bare(form.order, sides), bare(wanted, sides)
        perm = tuple(have.index(axis) for axis in want)
        name = form.name
        if list(perm) != sorted(perm):
            name = self._transposed(form, sides, perm, sides_of(wanted, sides))
        return self._reshaped(name, sides_of(wanted, sides))

    def hold(self, value: str, tensor: str, order: Order) -> None:
        """Let a tensor that is there already hold a value, too."""
        self._forms[value] = Form(tensor, order)

    def emit(self, node: Node, inputs: list[str], order: Order | None = None, **attributes: object) -> None:
        """A node on tensors; its outputs are held in ``order``."""
        for output in node.outputs:
            self._hold_as(output, as_stated(self.sides[output]) if order is None else order)
        self.graph.nodes.append(Node(node.op, inputs, list(node.outputs), {**node.attributes, **attributes}))

    def new_constant(self, origin: str, array: np.ndarray) -> str:
        name = self.graph.add_constant(f"{origin}/moved", array)
        self._settled.origins[name] = origin
        return name

    def _hold_as(self, value: str, order: Order) -> None:
        self._forms[value] = Form(value, order)
        self.graph.shapes[value] = sides_of(order, self.sides[value])

    def _moved_constant(self, value: str, order: Order) -> str:
        shape = sides_of(order, self.sides[value])
        key = (value, bare(order, self.sides[value]), shape)
        if key not in self._copies:
            self._copies[key] = self.new_constant(value, moved(self.source.constants[value], order))
        return self._copies[key]

    def _transposed(self, form: Form, sides: tuple[int, ...], perm: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """The tensor of a form with its sides longer than 1 in the order ``perm``; of ``shape`` where that can be had at once."""
        tensor = self.graph.shapes[form.name]
        key = (form.name, perm, tuple(sides[axis] for axis in bare(form.order, sides)))
        if key not in self._copies:
            source, places = form.name, [place for place, side in enumerate(tensor) if side != 1]
            if len(tensor) < len(shape):
                source = self._reshaped(source, (*[1] * (len(shape) - len(tensor)), *tensor))
                places = [place + len(shape) - len(tensor) for place in places]
            rank = len(self.graph.shapes[source])
            units = [place for place in range(rank) if place not in places]
            full = _placed([places[index] for index in perm], units, shape, rank)
            self._copies[key] = self._new(form.name, Node("Transpose", [source], [], {"perm": full}),
                                          tuple(self.graph.shapes[source][place] for place in full))
        return self._copies[key]

    def _reshaped(self, name: str, shape: tuple[int, ...]) -> str:
        if self.graph.shapes[name] == shape:
            return name
        key = (name, (), shape)
        if key not in self._copies:
            self._copies[key] = self._new(name, Node("Reshape", [name], [], {"shape": list(shape)}), shape)
        return self._copies[key]

    def _new(self, origin: str, node: Node, shape: tuple[int, ...]) -> str:
        name = self.graph.add_value(f"{origin}/{'nchw' if node.op == 'Transpose' else 'shaped'}", shape, self.graph.dtypes[origin])
        node.outputs.append(name)
        self.graph.nodes.append(node)
        self._settled.origins[name] = self._settled.origins.get(origin, origin)
        return name

    def _finish(self, value: str) -> None:
        sides, order = self.sides[value], self.order(value)
        last = len(sides) == 4 and order == NHWC and not self.constant(value)
        name = self.take(value, NHWC if last else None)
        if name in self.graph.outputs or name in self.graph.inputs or name in self.graph.constants:
            name = self._new(name, Node("Reshape", [name], [], {"shape": list(self.graph.shapes[name])}), self.graph.shapes[name])
        self.graph.outputs.append(name)
        self._settled.output_perms[value] = NHWC if last else None


def _join_reshapes(graph: Graph) -> None:
    """Let a Reshape of a Reshape read what that one reads; one that then changes nothing is passed by."""
    sources: dict[str, str] = {}
    passed: dict[str, str] = {}
    for node in graph.nodes:
        node.inputs = [passed.get(value, value) for value in node.inputs]
        if node.op == "Reshape":
            node.inputs = [sources.get(node.inputs[0], node.inputs[0])]
            sources[node.name] = node.inputs[0]
            if graph.shapes[node.inputs[0]] == graph.shapes[node.name] and node.name not in graph.outputs:
                passed[node.name] = node.inputs[0]


def _placed(places: list[int], units: list[int], shape: tuple[int, ...], rank: int) -> list[int]:
    """A full perm: sides longer than 1 at ``places`` in this order, the units among them as ``shape`` has its own."""
    places, units, perm = list(places), list(units), []
    for side in shape if len(shape) == rank else ():
        perm.append(units.pop(0) if side == 1 and units else places.pop(0) if places else units.pop(0))
    return perm + units + places
