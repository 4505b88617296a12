"""From a graph to the bytes of a .tflite."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from quantize.graph import Graph
from quantize.graph.transposes import settle
from quantize.grid import Grid, Quantized
from quantize.tflite.emit import emit_all
from quantize.tflite.file import File
from quantize.tflite.lower import lower_node
from quantize.tflite.lowering import Lowering, Mixed
from quantize.tflite.tidying import tidy

__all__ = ["Converted", "write_float", "write_int8"]

Perm = tuple[int, ...]
Io = Literal["int8", "uint8", "float32"]
Fact = TypeVar("Fact")


@dataclass(frozen=True)
class Converted:
    """A file and what became of the graph. The perm of an input or output (by name) makes of the graph's array the file's,
    ``array.transpose(perm)``; None where both are the same.

    ``islands``: (node, operator, reason) for each node that computes in float in an INT8 file. ``requantized``: (value,
    reason) for values that are rounded once more because the kernel's grid is another. ``kernels``: how many of each TFLite
    operator there are, by name.
    """

    data: bytes
    input_perms: dict[str, Perm | None]
    output_perms: dict[str, Perm | None]
    islands: list[tuple[str, str, str]] = field(default_factory=list)
    requantized: list[tuple[str, str]] = field(default_factory=list)
    kernels: list[tuple[str, int]] = field(default_factory=list)


def write_float(graph: Graph) -> Converted:
    """A float32 file. Raises ModelError for a node that TFLite cannot compute."""
    return _write(Quantized(graph), False, "float32")


def write_int8(quantized: Quantized, io: Io = "int8") -> Converted:
    """An integer file on the grids of ``quantized``. ``io``: what inputs and outputs that have a grid are in the file;
    "uint8" is the same integers, 128 higher. Raises ModelError for a node that TFLite cannot compute, in integers or floats."""
    return _write(quantized, True, io)


def _write(quantized: Quantized, integers: bool, io: Io) -> Converted:
    lowering = Lowering(quantized, integers)
    for value in lowering.source.inputs:
        lowering.input(value, io)
    for node in lowering.source.nodes:
        lowering.begin(node)
        lower_node(lowering, node)
    for value in lowering.source.outputs:
        lowering.output(value, io)
    return _finish(lowering.mixed, lowering.source)


def _finish(mixed: Mixed, source: Graph) -> Converted:
    lowered = mixed.graph
    lowered.remove_unused()
    settled = settle(lowered)
    graph, grids = settled.graph, dict(mixed.grids)
    tidy(graph)
    for name, origin in settled.origins.items():
        if origin in mixed.grids:
            grids[name] = mixed.grids[origin]
    _name_outputs(graph, grids, source.outputs)
    file = File(graph, grids)
    emit_all(file, graph)
    perms = dict(zip(source.outputs, (settled.output_perms[value] for value in lowered.outputs), strict=True))
    counts = Counter(file.kernels)
    return Converted(file.data(), settled.input_perms, perms, mixed.islands, mixed.requantized, sorted(counts.items()))


def _name_outputs(graph: Graph, grids: dict[str, Grid], wanted: list[str]) -> None:
    """Call the outputs what the float graph calls them; what is called so, and is none, gets another name."""
    final = dict(zip(graph.outputs, wanted, strict=True))
    renamed = {name: graph.free_name(f"{name}/inside") for name in wanted if name in graph.shapes and name not in final}
    renamed |= {name: graph.free_name(f"{name}/inside") for name in graph.outputs if final[name] != name}
    for names in (renamed, {renamed.get(name, name): end for name, end in final.items()}):
        for node in graph.nodes:
            node.inputs = [names.get(value, value) for value in node.inputs]
            node.outputs = [names.get(value, value) for value in node.outputs]
        graph.outputs = [names.get(value, value) for value in graph.outputs]
        for old, new in names.items():
            _rename(graph.shapes, old, new)
            _rename(graph.dtypes, old, new)
            _rename(grids, old, new)


def _rename(facts: dict[str, Fact], old: str, new: str) -> None:
    if old in facts and old != new:
        facts[new] = facts.pop(old)
