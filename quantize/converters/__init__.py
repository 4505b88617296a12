"""Model files of any format that people have, as Graphs. What a format needs is imported when such a file is given.

    onnx                          read as it is
    tflite                        read as it is, channels last turned to channels second
    torch    .pt2                 torch.export.save's archive; by way of ONNX      extra ``torch``
    keras    .keras, .h5, folder  Keras' files and SavedModel; by way of TFLite    extra ``tf``

A third party's entry point of the group ``edgeinfer.converters`` has the name of the suffix that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeinfer.registry import Table
from quantize.converters.formats import format_of
from quantize.graph import Graph

__all__ = ["CONVERTERS", "Loaded", "load"]

CONVERTERS = Table("converters", {
    "onnx": "quantize.converters.onnx:load",
    "tflite": "quantize.converters.tflite:load",
    "torch": "quantize.converters.torch:load",
    "keras": "quantize.converters.keras:load",
})

Perms = dict[str, tuple[int, ...] | None]
Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Loaded:
    """A model as a graph. ``format``: that of the file. The perm of an input or output (by name) turns the graph's order of
    sides into the file's, ``graph_array.transpose(perm) == file_array``; None (or no entry) where both are the same.
    ``notes``: what the user should know of the file, in sentences."""

    graph: Graph
    format: str
    input_perms: Perms = field(default_factory=dict)
    output_perms: Perms = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load(path: Path, shapes: Shapes | None = None) -> Loaded:
    """Read a model of any format. ``shapes``: of inputs, by name, in the file's order of sides, where the file leaves them
    open; an open batch is 1.

    Raises ModelError for a file that is no float model or has what the toolkit has not, UnavailableError where the package
    of the format is not installed.
    """
    loaded: Loaded = CONVERTERS.load(_third_party(path) or format_of(path), path.name)(path, shapes or {})
    return loaded


def _third_party(path: Path) -> str:
    """The name of the installed converter that reads such a suffix, if it is none of ours."""
    suffix = path.suffix.removeprefix(".")
    return suffix if suffix in CONVERTERS.names()[len(CONVERTERS.entries) :] else ""
