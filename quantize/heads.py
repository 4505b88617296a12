"""Detection heads that end in a Concat of boxes and scores: one grid for pixels up to 640 and scores up to 1 leaves a score
no more than one step. Such a head is split, each part with a grid of its own, and the decoder is told their names.

That this is what rescues INT8 YOLO: ultralytics pull request 7372 (separate head, +1.9 mAP).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantize.graph import Graph, Node

__all__ = ["SplitHead", "split_heads"]

_UNLIKE = 4.0  # a range that is so many times the other's leaves it 6 bits


@dataclass(frozen=True)
class SplitHead:
    """``output`` was a Concat of ``parts`` (names of outputs now), whose ranges are ``spans`` wide. ``renamed``: values that
    have the name of an output now."""

    output: str
    parts: tuple[str, ...]
    spans: tuple[float, ...]
    renamed: dict[str, str]

    def parameters(self, decoder: str) -> dict[str, object]:
        """What a decoder has to be told of it."""
        if decoder != "yolo" or set(self.parts) != {"boxes", "scores"}:
            return {}
        return {"boxes": "boxes", "scores": "scores"}

    def __str__(self) -> str:
        widths = ", ".join(f"'{part}' {span:.3g}" for part, span in zip(self.parts, self.spans, strict=True))
        return f"output '{self.output}' joins unlike ranges ({widths}): split into outputs of their own"


def split_heads(graph: Graph, ranges: Mapping[str, tuple[float, float]]) -> tuple[Graph, list[SplitHead]]:
    """A graph whose outputs are the parts of such Concats, followed by the Transposes that followed them."""
    graph, found = graph.copy(), []
    for output in list(graph.outputs):
        joined, behind = _joined(graph, output)
        if joined is None or any(value in graph.constants for value in joined.inputs):
            continue
        spans = [_span(ranges[value]) if value in ranges else 0.0 for value in joined.inputs]
        if min(spans) <= 0 or max(spans) / min(spans) < _UNLIKE:
            continue
        values = list(joined.inputs)
        parts = [_part(graph, value, output, index, behind, len(values) == 2) for index, value in enumerate(values)]
        place = graph.outputs.index(output)
        graph.outputs[place : place + 1] = parts
        renamed = {} if behind else dict(zip(values, parts, strict=True))
        found.append(SplitHead(output, tuple(parts), tuple(spans), renamed))
    graph.remove_unused()
    return graph, found


def _joined(graph: Graph, output: str) -> tuple[Node | None, list[Node]]:
    """The Concat that an output comes from, and the Transposes between, last first."""
    makers, behind = graph.producers(), []
    node = makers.get(output)
    while node is not None and node.op == "Transpose":
        behind.append(node)
        node = makers.get(node.inputs[0])
    return (node if node is not None and node.op == "Concat" else None), behind


def _span(limits: tuple[float, float]) -> float:
    return max(limits[1], 0.0) - min(limits[0], 0.0)


def _part(graph: Graph, value: str, output: str, index: int, behind: list[Node], pair: bool) -> str:
    """``value`` as an output: through the Transposes. Of a ``pair`` the shape tells which part is boxes, which scores."""
    role = ("boxes" if 4 in graph.shapes[value][1:] else "scores") if pair else ""
    name = role if role and role not in graph.shapes else f"{output}_{index}"
    steps = [*reversed(behind)]
    if not steps:
        _rename(graph, value, name)
        return name
    source = value
    for number, node in enumerate(steps):
        perm = node.attributes["perm"]
        last = number == len(steps) - 1
        made = graph.add_value(name if last else f"{value}/transposed", [graph.shapes[source][side] for side in perm])
        graph.nodes.append(Node("Transpose", [source], [made], {"perm": list(perm)}))
        source = made
    return source


def _rename(graph: Graph, old: str, new: str) -> None:
    graph.shapes[new], graph.dtypes[new] = graph.shapes.pop(old), graph.dtypes.pop(old)
    for node in graph.nodes:
        node.outputs = [new if value == old else value for value in node.outputs]
    graph.rename_input_of_all(old, new)
