"""Float .tflite files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quantize.converters import Loaded
from quantize.graph.tflite_reader import read

__all__ = ["load"]


def load(path: Path, shapes: Mapping[str, Sequence[int]]) -> Loaded:
    """As ``converters.load``."""
    made = read(path, shapes)
    notes = () if not made.integer_weights else (
        f"{made.integer_weights} weights of {path.name} are integers already (a converter's dynamic range): what that lost "
        "is lost, so give the float file if there is one",)
    return Loaded(made.graph, "tflite", made.input_perms, made.output_perms, notes)
