"""Change a .tflite through its schema: what no converter writes, and what only some do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import litert


def edit(path: Path, change: Callable[[Any, Any], None]) -> Path:
    """Rewrite the file after ``change(model, schema)`` has changed its object tree."""
    import flatbuffers
    schema = litert.schema()

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    change(model, schema)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def custom_operator(name: str) -> Callable[[Any, Any], None]:
    """Make the first operator a custom one of this name."""
    def change(model: Any, schema: Any) -> None:
        code, operator = model.operatorCodes[0], model.subgraphs[0].operators[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode, code.version = name, 1
        operator.builtinOptionsType, operator.builtinOptions = 0, None
    return change


def tensor(index: int, **fields: Any) -> Callable[[Any, Any], None]:
    """Set fields of a tensor; those that belong to its quantisation go there."""
    def change(model: Any, schema: Any) -> None:
        found = model.subgraphs[0].tensors[index]
        for name, value in fields.items():
            setattr(found if hasattr(found, name) else found.quantization, name, value)
    return change
