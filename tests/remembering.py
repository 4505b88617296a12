"""A TFLite model with a memory of its own: float32 (1, 4) ``window`` in, the running total out, kept in a resource variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests import litert

__all__ = ["remembering_tflite"]

_RESOURCE, _FLOAT32 = 13, 0


def remembering_tflite(path: Path) -> Path:
    """Two subgraphs, as TensorFlow's converter writes them: ``main`` calls once the one that assigns zeros to the variable."""
    import flatbuffers

    schema = litert.schema()
    model = schema.ModelT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT(), schema.BufferT()], []
    model.buffers[1].data = np.frombuffer(np.zeros(4, np.float32).tobytes(), np.uint8)
    main = _graph(schema, ["window", "handle", "before", "sum"], {"handle"})
    once = _graph(schema, ["handle", "zeros"], {"handle"})
    once.tensors[1].buffer = 1
    main.inputs, main.outputs, once.inputs, once.outputs = [0], [3], [], []
    main.operators = [
        _op(schema, model, "CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1),
        _op(schema, model, "VAR_HANDLE", [], [1], "VarHandleOptions", sharedName="total", container=""),
        _op(schema, model, "READ_VARIABLE", [1], [2], "ReadVariableOptions"),
        _op(schema, model, "ADD", [0, 2], [3], "AddOptions"),
        _op(schema, model, "ASSIGN_VARIABLE", [1, 3], [], "AssignVariableOptions")]
    once.operators = [_op(schema, model, "VAR_HANDLE", [], [0], "VarHandleOptions", sharedName="total", container=""),
                      _op(schema, model, "ASSIGN_VARIABLE", [0, 1], [], "AssignVariableOptions")]
    model.subgraphs = [main, once]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _graph(schema: Any, names: list[str], handles: set[str]) -> Any:
    graph = schema.SubGraphT()
    graph.name, graph.tensors = "graph", []
    for name in names:
        tensor = schema.TensorT()
        tensor.name, tensor.buffer, tensor.hasRank = name, 0, True
        tensor.shape, tensor.type = ([], _RESOURCE) if name in handles else ([1, 4], _FLOAT32)
        graph.tensors.append(tensor)
    return graph


def _op(schema: Any, model: Any, name: str, inputs: list[int], outputs: list[int], kind: str, **options: Any) -> Any:
    code, op = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    op.opcodeIndex, op.inputs, op.outputs = len(model.operatorCodes), inputs, outputs
    op.builtinOptionsType, op.builtinOptions = getattr(schema.BuiltinOptions, kind), getattr(schema, f"{kind}T")()
    vars(op.builtinOptions).update(options)
    model.operatorCodes.append(code)
    return op
