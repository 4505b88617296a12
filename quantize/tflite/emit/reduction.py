"""Reductions, and the product of two values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.graph import Node
from quantize.tflite.file import File

__all__ = ["EMIT"]

_NAMES = {"ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN"}


def _reduce(file: File, node: Node) -> None:
    inputs = [file.tensor(node.inputs[0]), file.integers(node.attributes["axes"])]
    file.operator(_NAMES[node.op], node, inputs, "ReducerOptions", keepDims=bool(node.attributes["keepdims"]))


def _arg_max(file: File, node: Node) -> None:
    output = getattr(file.schema.TensorType, file.graph.dtypes[node.name].upper())
    axis = file.array(np.array(node.attributes["axis"], np.int32))
    file.operator("ARG_MAX", node, [file.tensor(node.inputs[0]), axis], "ArgMaxOptions", outputType=output)


def _mat_mul(file: File, node: Node) -> None:
    file.operator("BATCH_MATMUL", node, file.tensors(node), "BatchMatMulOptions", adjX=node.attributes.get("adj_x", False),
                  adjY=node.attributes.get("adj_y", False))


EMIT: dict[str, Callable[[File, Node], None]] = {**dict.fromkeys(_NAMES, _reduce), "ArgMax": _arg_max, "MatMul": _mat_mul}
