"""Dilated convolutions, which TensorFlow writes as three operators where the batch is open: SPACE_TO_BATCH_ND, a convolution
without dilation, BATCH_TO_SPACE_ND. Put back together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace

from edgeinfer.model.tensor import Array
from quantize.graph.from_tflite.translation import Operator

__all__ = ["with_dilations"]


def with_dilations(operators: Sequence[Operator], constants: Mapping[int, Array]) -> list[Operator]:
    """The operators with such triples as one convolution, whose options have ``dilationHFactor``, ``dilationWFactor`` and
    ``pads``: [top, left, bottom, right]."""
    readers: dict[int, list[Operator]] = {}
    for operator in operators:
        for index in operator.inputs:
            readers.setdefault(index, []).append(operator)
    made: dict[int, Operator] = {}  # by the last of the three
    gone: set[int] = set()
    for first in operators:
        triple = _triple(first, readers, constants)
        if triple is not None:
            middle, last = triple
            made[id(last)] = _joined(first, middle, last, constants)
            gone |= {id(first), id(middle)}
    return [made.get(id(operator), operator) for operator in operators if id(operator) not in gone]


def _triple(first: Operator, readers: Mapping[int, list[Operator]], constants: Mapping[int, Array],
            ) -> tuple[Operator, Operator] | None:
    if first.name != "SPACE_TO_BATCH_ND":
        return None
    (middle, *more), last = readers.get(first.outputs[0], [first]), None
    if not more and middle.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        (last, *more) = readers.get(middle.outputs[0], [first])
    if more or last is None or last.name != "BATCH_TO_SPACE_ND":
        return None
    blocks = [constants.get(operator.inputs[1]) for operator in (first, last)]
    paddings = [constants.get(operator.inputs[2]) for operator in (first, last)]
    if any(array is None or array.size != size for array, size in zip(blocks + paddings, (2, 2, 4, 4), strict=True)):
        return None
    return (middle, last) if str(blocks[0]) == str(blocks[1]) else None


def _joined(first: Operator, middle: Operator, last: Operator, constants: Mapping[int, Array]) -> Operator:
    """What SPACE_TO_BATCH_ND pads beyond need, so that the blocks divide the sides, BATCH_TO_SPACE_ND crops again."""
    options = copy(middle.options)
    options.dilationHFactor, options.dilationWFactor = (int(side) for side in constants[first.inputs[1]].ravel())
    options.pads = (constants[first.inputs[2]] - constants[last.inputs[2]]).T.ravel().tolist()
    return replace(middle, inputs=[first.inputs[0], *middle.inputs[1:]], outputs=last.outputs, options=options)
