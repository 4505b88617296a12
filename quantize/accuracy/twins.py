"""A float network and its quantised twin, walked side by side layer by layer, on the same samples.

What a layer of the quantised network reads depends on the integers of all layers before it, which change during the walk. So
layers are visited in order, and values computed so far are kept where the network is narrow, for later layers to go on from.
Where it is wide they are computed again rather than kept: memory stays below a bound, whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.graph.execute import Runner
from quantize.grid import LIMITS, Grid, Quantized
from quantize.qdq import explicit

__all__ = ["Feeds", "Samples", "Twins", "part"]

Feeds = Mapping[str, Array]

_KEPT_BYTES = 96 << 20


class Samples(Protocol):
    """Arrays for all inputs of a graph, by name, sample by sample; the same ones each time they are walked."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Feeds]: ...


class Twins:
    """Values of ``graph`` and of ``quantized``, which has the same nodes. ``quantized`` may be replaced while walking, for a
    quantised graph that differs in constants of nodes already visited."""

    def __init__(self, graph: Graph, quantized: Quantized, samples: Samples, threads: int = 2,
                 most_bytes: int = _KEPT_BYTES) -> None:
        """``samples``: walked anew as long as nothing is kept; at least one. ``most_bytes``: of kept values."""
        self.graph, self.quantized = graph, quantized
        self._samples, self._threads, self._most_bytes = samples, threads, most_bytes
        self._place = {node.name: place for place, node in enumerate(graph.nodes)}
        self._last = _last_readers(graph)
        self._start = 0  # nodes before it are not computed again
        self._kept: list[tuple[Feeds, dict[str, Array]]] = []

    def inputs_of(self, node: Node) -> Iterator[tuple[Array, Array]]:
        """(float, quantised) arrays of the node's first input, for each sample. To be called for nodes in the graph's order,
        when the constants of all nodes before are final; to be exhausted. Raises ModelError, and what the samples raise."""
        place = self._place[node.name]
        alive = self._alive(place)
        kept: list[tuple[Feeds, dict[str, Array]]] = []
        keeping = place > self._start
        wanted = list(dict.fromkeys([node.inputs[0], *alive]))
        run_float, run_quantized = self._runners(place, wanted)
        for reals, stored in self._starts():
            made, rounded = run_float(reals), run_quantized(self._restored(stored))
            if keeping:
                kept.append(({name: made[name] for name in alive}, self._stored({name: rounded[name] for name in alive})))
                if sum(map(_bytes, kept[0])) * len(self._samples) > self._most_bytes:
                    keeping, kept = False, []
            yield made[node.inputs[0]], rounded[node.inputs[0]]
        if keeping:
            self._start, self._kept = place, kept

    def _starts(self) -> Iterator[tuple[Feeds, Feeds]]:
        """Values from which the next nodes are computed: kept ones, or the samples themselves."""
        if self._start:
            yield from self._kept
        else:
            for feeds in self._samples:
                yield feeds, self._stored(feeds)

    def _alive(self, place: int) -> list[str]:
        """Values that exist before a node and that it or later nodes read."""
        made = [*self.graph.inputs, *(value for node in self.graph.nodes[:place] for value in node.outputs)]
        return [value for value in made if self._last.get(value, -1) >= place]

    def _runners(self, place: int, wanted: Sequence[str]) -> tuple[Callable[[Feeds], Feeds], Callable[[Feeds], Feeds]]:
        """The nodes since the start, of both networks."""
        nodes = self.graph.nodes[self._start : place]
        computed = [value for value in wanted if any(value in node.outputs for node in nodes)]
        if not computed:
            return dict, dict
        piece = part(self.graph, nodes, computed)
        twin = part(self.quantized.graph, self.quantized.graph.nodes[self._start : place], computed)
        constants = {name: stored for name, stored in self.quantized.constants.items() if name in twin.constants}
        grids = {value: grid for value, grid in self.quantized.activations.items() if value in twin.shapes}
        rounded = explicit(Quantized(twin, grids, constants, self.quantized.excluded))
        return self._running(piece, computed), self._running(rounded, computed)

    def _running(self, graph: Graph, outputs: Sequence[str]) -> Callable[[Feeds], Feeds]:
        runner = Runner(graph, outputs, self._threads)

        def run(feeds: Feeds) -> Feeds:
            return {**feeds, **runner.run({name: feeds[name] for name in graph.inputs})}
        return run

    def _stored(self, values: Feeds) -> dict[str, Array]:
        """Values on grids as their integers: a quarter of the room."""
        grids = self.quantized.activations
        return {name: _integers(array, grids[name]) if name in grids else array for name, array in values.items()}

    def _restored(self, values: Feeds) -> dict[str, Array]:
        grids = self.quantized.activations
        return {name: _reals(array, grids[name]) if name in grids else array for name, array in values.items()}


def part(graph: Graph, nodes: Sequence[Node], outputs: Sequence[str]) -> Graph:
    """Some nodes, which follow each other, as a graph that makes ``outputs``; what they read from others are its inputs."""
    made = {value for node in nodes for value in node.outputs}
    read = dict.fromkeys(value for node in nodes for value in node.inputs if value)
    inputs = [value for value in read if value not in made and not graph.is_constant(value)]
    constants = {value: graph.constants[value] for value in read if graph.is_constant(value)}
    known = made.union(read)
    piece = Graph(graph.name, inputs, list(outputs), list(nodes), constants,
                  {value: shape for value, shape in graph.shapes.items() if value in known},
                  {value: dtype for value, dtype in graph.dtypes.items() if value in known})
    piece.remove_unused()
    piece.inputs = [value for value in inputs if any(value in node.inputs for node in piece.nodes)]
    return piece


def _last_readers(graph: Graph) -> dict[str, int]:
    return {value: place for place, node in enumerate(graph.nodes) for value in node.inputs
            if value and not graph.is_constant(value)}


def _integers(array: Array, grid: Grid) -> Array:
    """As ``Grid.quantize``, in float32: the values lie on the grid already, or nearly."""
    least, most = LIMITS[grid.dtype]
    steps = np.rint(array / grid.scale[0]) + np.float32(grid.zero_point[0])
    stored: Array = np.clip(steps, least, most).astype(grid.dtype)
    return stored


def _reals(stored: Array, grid: Grid) -> Array:
    reals: Array = (stored.astype(np.float32) - np.float32(grid.zero_point[0])) * grid.scale[0]
    return reals


def _bytes(values: Feeds) -> int:
    return sum(array.nbytes for array in values.values())
