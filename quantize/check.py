"""Which operators of a float model will compute in INT8 on a target, which will not, and why, before anything is quantised.

And whether a finished INT8 file keeps to the rules of the accelerator that is to run it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgeinfer.errors import Fault
from quantize.graph import Graph
from quantize.targets import Format, Target, edgetpu, litert, onnxruntime, tensorrt
from quantize.targets import Path as RunPath
from quantize.targets.placement import Placement, Where

__all__ = ["PathVerdict", "Verdict", "check", "file_faults", "render"]

_PLACES: Mapping[RunPath, Callable[[Graph], list[Placement]]] = {
    "litert": litert.place, "edgetpu": edgetpu.place, "onnxruntime": onnxruntime.place, "tensorrt": tensorrt.place}
_TITLES: Mapping[RunPath, str] = {"litert": "LiteRT", "edgetpu": "the Edge TPU", "onnxruntime": "ONNX Runtime",
                                  "tensorrt": "TensorRT"}
_RUNS: Mapping[Where, str] = {"xnnpack": "XNNPACK", "litert": "LiteRT's own kernel", "edgetpu": "Edge TPU",
                              "tensorrt": "TensorRT", "onnxruntime": "ONNX Runtime", "unsupported": "nowhere"}
_FORMATS: Mapping[Format, str] = {"tflite": "TFLite", "onnx": "ONNX"}


@dataclass(frozen=True)
class PathVerdict:
    """One format on the target: where each operator runs, in the order of the graph."""

    format: Format
    path: RunPath
    placements: tuple[Placement, ...]

    @property
    def leaving(self) -> list[Placement]:
        """Operators off the INT8 path: float ones, those that nothing runs, and for an Edge TPU all that the CPU runs."""
        return [placement for placement in self.placements if self._leaves(placement)]

    @property
    def slower(self) -> list[Placement]:
        """Operators that compute in INT8, but not in the fast part of their runtime."""
        return [placement for placement in self.placements
                if self.path == "litert" and placement.integer and placement.where == "litert"]

    @property
    def share(self) -> float:
        """Of the multiply-accumulates, those on the INT8 path; 1 where there are none."""
        total = sum(placement.multiplications for placement in self.placements)
        left = sum(placement.multiplications for placement in self.leaving)
        return 1 - left / total if total else 1.0

    def _leaves(self, placement: Placement) -> bool:
        return not placement.integer or (self.path == "edgetpu" and placement.where != "edgetpu")


@dataclass(frozen=True)
class Verdict:
    """All formats that the target wants, the best first."""

    target: str
    title: str
    paths: tuple[PathVerdict, ...]

    @property
    def clean(self) -> bool:
        """Nothing leaves the INT8 path in the target's best format."""
        return not self.paths[0].leaving

    def document(self) -> dict[str, Any]:
        """The verdict for programs."""
        return {"v": 1, "target": self.target, "clean": self.clean, "formats": [_path_document(path) for path in self.paths]}


def check(graph: Graph, target: Target) -> Verdict:
    """Where each operator of a float graph will run on ``target``.

    The graph as it will be quantised is best (normalisations folded); ranges are not known yet, so a condition on scales is
    judged by the attributes alone.
    """
    paths = [PathVerdict(format, path, tuple(_place(graph, path, target))) for format, path in target.paths.items()]
    return Verdict(target.name, target.profile.title, tuple(paths))


def _place(graph: Graph, path: RunPath, target: Target) -> list[Placement]:
    place = _PLACES[path]
    if path == "onnxruntime" and target.profile.cpu.architecture == "x86_64" and not target.rules.unsigned:
        place = partial(onnxruntime.place, int8_on_x86=True)
    return place(graph)


def file_faults(path: Path, target: Target) -> list[Fault]:
    """What keeps the target's accelerator from a finished INT8 file; empty where it takes it whole, or where none has rules.

    Raises ModelError for a file that is damaged.
    """
    if path.suffix == ".tflite" and target.paths.get("tflite") == "edgetpu":
        from quantize.targets import edgetpu_file

        return edgetpu_file.faults(path.read_bytes(), path.name)
    if path.suffix == ".onnx" and target.paths.get("onnx") == "tensorrt":
        from quantize.targets import tensorrt_file

        return tensorrt_file.faults(tensorrt_file.load(path), path.name)
    return []


def render(verdict: Verdict) -> list[str]:
    """The verdict for people, what leaves the INT8 path first."""
    lines = [f"{verdict.target}: {verdict.title}"]
    for path in verdict.paths:
        lines += ["", *_rendered(path)]
    return lines


def _rendered(path: PathVerdict) -> Iterator[str]:
    leaving, slower = path.leaving, path.slower
    count, inside = len(path.placements), len(path.placements) - len(path.leaving)
    there = "there" if path.path == "edgetpu" else "in INT8"
    yield (f"{_FORMATS[path.format]} on {_TITLES[path.path]}: {inside} of {count} operators {there},"
           f" {100 * path.share:.4g} % of the multiply-accumulates")
    if leaving:
        yield f"  not {there}"
        yield from _table(leaving if path.path != "edgetpu" else leaving[:1])
    if path.path == "edgetpu" and leaving[1:]:
        yield from _after(leaving[1:])
    if slower:
        yield "  in INT8, but outside XNNPACK"
        yield from _table(slower)
    apart = {placement.node for placement in [*leaving, *slower]}
    rest = Counter(placement.where for placement in path.placements if placement.node not in apart)
    for where, found in rest.most_common():
        yield f"  {_RUNS[where]} runs {'the others' if apart else 'all'}" + (f", {found}" if apart else "")


def _after(placements: Sequence[Placement]) -> Iterator[str]:
    """What a CPU runs behind the Edge TPU's part, which ends at the first operator that it lacks."""
    floats = sum(not placement.integer for placement in placements)
    counts = Counter(placement.op for placement in placements)
    yield f"    and the {len(placements)} after it run on the CPU, {floats or 'none'} of them in float:"
    yield "    " + ", ".join(name if count == 1 else f"{name} x {count}" for name, count in counts.most_common())


def _table(placements: Sequence[Placement]) -> Iterator[str]:
    """A line for each reason; operators alike are counted, and the first is named."""
    groups: dict[tuple[str, str, bool, str], list[Placement]] = {}
    for placement in placements:
        groups.setdefault((placement.op, placement.where, placement.integer, placement.why), []).append(placement)
    rows = [(op if len(found) == 1 else f"{op} x {len(found)}", _short(found[0].node), _runs(found[0]), why)
            for (op, _, _, why), found in groups.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
        yield f"    {'  '.join([*cells, row[3]])}".rstrip()


def _runs(placement: Placement) -> str:
    if placement.where == "unsupported":
        return _RUNS["unsupported"]
    if placement.where == "litert" and not placement.integer:
        return "LiteRT, float"
    return f"{_RUNS[placement.where]}, {'INT8' if placement.integer else 'float'}"


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"…{name[-39:]}"


def _path_document(path: PathVerdict) -> dict[str, Any]:
    return {
        "format": path.format, "path": path.path, "operators": len(path.placements), "leaving": len(path.leaving),
        "share": path.share,
        "nodes": [{"node": placement.node, "op": placement.op, "where": placement.where, "int8": placement.integer,
                   "why": placement.why, "source": placement.source, "multiplications": placement.multiplications}
                  for placement in path.placements],
    }
