"""ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quantize.converters import Loaded
from quantize.graph.onnx_reader import read

__all__ = ["load"]


def load(path: Path, shapes: Mapping[str, Sequence[int]]) -> Loaded:
    """As ``converters.load``."""
    return Loaded(read(path, {name: tuple(sides) for name, sides in shapes.items()}), "onnx")
