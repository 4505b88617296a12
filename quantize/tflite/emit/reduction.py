"""Reductions, and the product of two values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.graph import Node
from quantize.tflite.emit.versions import version
from quantize.tflite.file import File

__all__ = ["EMIT"]

_NAMES = {"ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN"}


def _reduce(file: File, node: Node) -> None:
    name = _NAMES[node.op]
    file.operator(name, [file.tensor(node.inputs[0]), file.integers(node.attributes["axes"])], node.outputs, version(file, name, node),
                  "ReducerOptions", keepDims=bool(node.attributes["keepdims"]))


def _arg_max(file: File, node: Node) -> None:
    output = getattr(file.schema.TensorType, file.graph.dtypes[node.name].upper())
    axis = file.array(np.array(node.attributes["axis"], np.int32))
    file.operator("ARG_MAX", [file.tensor(node.inputs[0]), axis], node.outputs, version(file, "ARG_MAX", node), "ArgMaxOptions",
                  outputType=output)


def _mat_mul(file: File, node: Node) -> None:
    file.operator("BATCH_MATMUL", [file.tensor(value) for value in node.inputs], node.outputs, version(file, "BATCH_MATMUL", node),
                  "BatchMatMulOptions", adjX=node.attributes.get("adj_x", False), adjY=node.attributes.get("adj_y", False))


EMIT: dict[str, Callable[[File, Node], None]] = {**dict.fromkeys(_NAMES, _reduce), "ArgMax": _arg_max, "MatMul": _mat_mul}
