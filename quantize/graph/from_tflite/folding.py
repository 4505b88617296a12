"""Operators whose inputs are all known while reading: half-precision weights, and the sums over shapes that converters leave
behind where a batch was open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph.from_tflite.translation import Operator

__all__ = ["folded"]

_DTYPES = {0: np.float32, 2: np.int32, 3: np.uint8, 4: np.int64, 6: np.bool_, 7: np.int16, 9: np.int8}


def _strided_slice(op: Operator, x: Array, begin: Array, end: Array, strides: Array) -> Array:
    cuts: list[Any] = []
    for entry in range(len(begin)):
        if op.option("shrinkAxisMask") >> entry & 1:
            cuts.append(int(begin[entry]))
            continue
        first = None if op.option("beginMask") >> entry & 1 else int(begin[entry])
        last = None if op.option("endMask") >> entry & 1 else int(end[entry])
        cuts.append(slice(first, last, int(strides[entry])))
    cut: Array = np.asarray(x[tuple(cuts)])
    return cut


def _small(shape: Array) -> tuple[int, ...]:
    """A shape, unless a few bytes of a file would ask for gigabytes by it."""
    sides = tuple(int(side) for side in np.ravel(shape))
    if min(sides, default=0) < 0 or prod(sides) > 2**24:
        raise ValueError(f"a constant of shape {list(sides)}")
    return sides


_EVALUATED: dict[str, Callable[..., Any]] = {
    "DEQUANTIZE": lambda op, x: x.astype(np.float32), "CAST": lambda op, x: x.astype(_DTYPES[op.option("outDataType")]),
    "ADD": lambda op, x, y: x + y, "SUB": lambda op, x, y: x - y, "MUL": lambda op, x, y: x * y,
    "DIV": lambda op, x, y: x / y if x.dtype.kind == "f" else x // y, "FLOOR_DIV": lambda op, x, y: x // y,
    "MAXIMUM": lambda op, x, y: np.maximum(x, y), "MINIMUM": lambda op, x, y: np.minimum(x, y),
    "NEG": lambda op, x: -x, "RSQRT": lambda op, x: 1 / np.sqrt(x), "SQRT": lambda op, x: np.sqrt(x),
    "REDUCE_PROD": lambda op, x, axes: np.prod(x, tuple(np.atleast_1d(axes)), keepdims=bool(op.option("keepDims"))),
    "RESHAPE": lambda op, x, shape=None: x.reshape(op.option("newShape") if shape is None else shape),
    "SQUEEZE": lambda op, x: x.reshape([side for side in x.shape if side != 1]),
    "EXPAND_DIMS": lambda op, x, axis: np.expand_dims(x, int(np.ravel(axis)[0])),
    "TRANSPOSE": lambda op, x, perm: x.transpose(perm), "STRIDED_SLICE": _strided_slice,
    "SLICE": lambda op, x, begin, size: x[tuple(slice(b, None if s == -1 else b + s)
                                                for b, s in zip(begin.tolist(), size.tolist(), strict=True))],
    "GATHER": lambda op, x, indices: np.take(x, indices, op.option("axis")),
    "PACK": lambda op, *parts: np.stack(parts, op.option("axis")),
    "CONCATENATION": lambda op, *parts: np.concatenate(parts, op.option("axis")),
    "FILL": lambda op, shape, value: np.full(_small(shape), value, value.dtype),
    "RANGE": lambda op, start, end, step: np.arange(int(start), int(end), int(step)).astype(start.dtype),
    "BROADCAST_TO": lambda op, x, shape: np.broadcast_to(x, _small(shape)),
}
_KEEPS_DTYPE = {"ADD", "SUB", "MUL", "DIV", "REDUCE_PROD", "RSQRT", "FLOOR_DIV"}  # numpy widens where TFLite does not


def folded(op: Operator, inputs: Sequence[Array]) -> Array | None:
    """The output's value, or None for an operator that is not evaluated here or makes nothing new of floats."""
    evaluate = _EVALUATED.get(op.name)
    if evaluate is None or not inputs or len(op.outputs) != 1 or op.option("fusedActivationFunction"):
        return None
    made: Array = np.asarray(evaluate(op, *inputs))
    return made.astype(inputs[0].dtype) if op.name in _KEEPS_DTYPE else np.ascontiguousarray(made).reshape(made.shape)
