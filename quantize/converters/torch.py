"""PyTorch programs (.pt2, what torch.export.save writes), by way of torch's own ONNX exporter in a process of its own."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeinfer.errors import ModelError
from quantize.converters import Loaded
from quantize.converters.apart import convert
from quantize.graph.onnx_reader import read

__all__ = ["load"]


def load(path: Path, shapes: Mapping[str, Sequence[int]]) -> Loaded:
    """As ``converters.load``. Raises UnavailableError without torch and onnxscript."""
    _refuse_pickles(path)
    with tempfile.TemporaryDirectory(prefix="quantize-") as scratch:
        out = Path(scratch) / f"{path.stem}.onnx"
        convert("quantize.converters.torch_to_onnx", path, out, packages=("torch", "onnxscript"), extra="torch",
                environment={"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"})  # torch.load then takes tensors only
        return Loaded(read(out, {name: tuple(sides) for name, sides in shapes.items()}), "torch")


def _refuse_pickles(path: Path) -> None:
    """torch.export.load unpickles what the archive's tables mark so: tensors of odd classes, objects of any class."""
    try:
        archive = zipfile.ZipFile(path)
        tables = [name for name in archive.namelist() if name.endswith("_config.json")]
        entries = {tensor: entry for name in tables for tensor, entry in json.loads(archive.read(name))["config"].items()}
        pickled = sorted(tensor for tensor, entry in entries.items() if entry["use_pickle"])
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(path.name, "a program that torch.export.save wrote", f"{type(error).__name__}: {error}",
                         "save it anew") from error
    if pickled:
        raise ModelError(path.name, "plain tensors", f"'{pickled[0]}' as a pickle, which would run what is in it",
                         "make plain tensors of the model's weights before torch.export.export")
