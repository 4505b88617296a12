"""``python -m quantize.converters.torch_to_onnx MODEL.pt2 OUT.onnx``: what runs apart from the toolkit, with torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from edgeinfer.errors import ModelError
from quantize.converters.apart import run_apart

__all__ = ["export"]


def export(path: Path, out: Path, shapes: Mapping[str, Sequence[int]]) -> None:
    """Write ``out`` with the exporter's defaults. Raises ModelError for a program in training mode."""
    torch: Any = import_module("torch")
    program = torch.export.load(str(path))
    _refuse_training(program, path.name)
    torch.onnx.export(program, dynamo=True, verbose=False).save(str(out), external_data=False)


def _refuse_training(program: Any, where: str) -> None:
    """A batch normalisation (x, weight, bias, mean, var, training, ...) or dropout (x, p, train) that still trains."""
    for node in program.graph.nodes:
        target, arguments = str(node.target), node.args
        flag = {"aten.batch_norm.default": 5, "aten.dropout.default": 2}.get(target)
        if flag is not None and len(arguments) > flag and arguments[flag] is True:
            raise ModelError(where, "a model in evaluation mode", f"{target.split('.')[1]} in training mode",
                             "call model.eval() before torch.export.export")


if __name__ == "__main__":
    run_apart(export)
