"""What the Edge TPU takes: its operators, their limits, and the one split of a network between it and the CPU.

Sources: coral.ai/docs/edgetpu/models-intro ("Model requirements", "Supported operations"),
coral.ai/docs/edgetpu/compiler; Axis' copy of the same table, developer.axis.com, ARTPEC-7, "Supported ops". Versions: what
compiler 16.0 is known to refuse (google-coral/edgetpu issues 631, 845, 879), else TensorFlow of its time,
tensorflow/lite/kernels/register.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.plan import is_planned
from quantize.targets import litert
from quantize.targets.lowering import lowered
from quantize.targets.placement import Placement, fused_into, multiplications

__all__ = ["SOURCE", "VERSIONS", "Operator", "Value", "place", "why_refused"]

SOURCE = "coral.ai: TensorFlow models on the Edge TPU, Supported operations"
VERSIONS: Mapping[str, int] = {  # the newest of each operator that the compiler knows
    "ADD": 4, "AVERAGE_POOL_2D": 3, "CONCATENATION": 3, "CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "EXPAND_DIMS": 1,
    "FULLY_CONNECTED": 9, "L2_NORMALIZATION": 2, "LOGISTIC": 3, "MAXIMUM": 4, "MAX_POOL_2D": 3, "MEAN": 3, "MINIMUM": 4,
    "MUL": 5, "PACK": 3, "PAD": 4, "PRELU": 1, "QUANTIZE": 2, "REDUCE_MAX": 3, "REDUCE_MIN": 3, "RELU": 3, "RELU6": 3,
    "RELU_N1_TO_1": 1, "RESHAPE": 1, "RESIZE_BILINEAR": 4, "RESIZE_NEAREST_NEIGHBOR": 4, "RSQRT": 2, "SLICE": 5,
    "SOFTMAX": 3, "SPACE_TO_DEPTH": 2, "SPLIT": 4, "SQUARED_DIFFERENCE": 2, "SQUEEZE": 1, "STRIDED_SLICE": 4, "SUB": 5,
    "SUM": 2, "TANH": 3, "TRANSPOSE": 5, "TRANSPOSE_CONV": 3, "UNIDIRECTIONAL_SEQUENCE_LSTM": 3}


@dataclass(frozen=True)
class Value:
    """A tensor as the file has it: channels last. ``stored``: its values where it is a constant."""

    shape: tuple[int, ...]
    stored: Array | None = None


@dataclass(frozen=True)
class Operator:
    """A TFLite operator. ``axes``: those that it reduces, splits or pads. ``fused``: an activation is part of it."""

    name: str
    inputs: Sequence[Value]
    outputs: Sequence[Value]
    axes: tuple[int, ...] = ()
    dilations: tuple[int, ...] = (1, 1)
    strides: tuple[int, ...] = (1,)
    fused: bool = False


def why_refused(operator: Operator) -> str:
    """Why the Edge TPU does not take an operator; empty where it does."""
    if operator.name not in VERSIONS:
        return f"the Edge TPU has no {operator.name}"
    for value in [*operator.inputs, *operator.outputs]:
        if value.stored is None and any(side > 1 for side in value.shape[:-3]):
            return f"only the 3 innermost sides may exceed 1, and the shape is {list(value.shape)}"
    check = _CONDITIONS.get(operator.name)
    return check(operator) if check else ""


def _unfused(operator: Operator) -> str:
    return f"{operator.name} must have no activation fused" if operator.fused else ""


def _concatenation(operator: Operator) -> str:
    constants = [value.stored for value in operator.inputs if value.stored is not None]
    if constants and (len(operator.inputs) != 2 or any(np.any(stored) for stored in constants)):
        return "a constant may be joined only to one value, and must be zeros"
    return _unfused(operator)


def _convolution(operator: Operator) -> str:
    return "dilations must be the same in height and width" if len(set(operator.dilations)) > 1 else ""


def _fully_connected(operator: Operator) -> str:
    shape = operator.outputs[0].shape
    return f"the output must be one row, and its shape is {list(shape)}" if any(side > 1 for side in shape[:-1]) else ""


def _softmax(operator: Operator) -> str:
    shape = operator.inputs[0].shape
    if any(side > 1 for side in shape[:-1]) or shape[-1] > 16_000:
        return f"softmax takes one row of at most 16000, and its shape is {list(shape)}"
    return ""


def _mean(operator: Operator) -> str:
    rank, depth = len(operator.inputs[0].shape), operator.inputs[0].shape[-1]
    if rank - 1 in operator.axes and depth % 4:
        return f"a mean over channels needs a multiple of 4 of them, and there are {depth}"
    return _not_of_batch(operator)


def _not_of_batch(operator: Operator) -> str:
    rank = len(operator.inputs[0].shape)
    return f"{operator.name} must leave the batch alone" if rank > 3 and 0 in operator.axes else ""


def _prelu(operator: Operator) -> str:
    slopes = operator.inputs[1].shape
    return "slopes must be one a channel" if any(side > 1 for side in slopes[:-1]) else ""


def _strided_slice(operator: Operator) -> str:
    return "slices must have strides of 1" if any(step != 1 for step in operator.strides) else ""


_CONDITIONS: Mapping[str, Callable[[Operator], str]] = {
    "AVERAGE_POOL_2D": _unfused, "MAX_POOL_2D": _unfused, "CONCATENATION": _concatenation, "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution, "FULLY_CONNECTED": _fully_connected, "SOFTMAX": _softmax, "MEAN": _mean,
    "SUM": _not_of_batch, "REDUCE_MAX": _not_of_batch, "REDUCE_MIN": _not_of_batch, "PAD": _not_of_batch,
    "SPLIT": _not_of_batch, "PRELU": _prelu, "STRIDED_SLICE": _strided_slice}


def place(graph: Graph) -> list[Placement]:
    """Where each operator runs, in order: on the Edge TPU up to the first that it does not take, on the CPU from there."""
    fused, on_cpu, first = fused_into(graph), litert.place(graph), ""
    placements: list[Placement] = []
    for node, cpu in zip(graph.nodes, on_cpu, strict=True):
        why, source = f"after {first}, where the Edge TPU's part ends", SOURCE
        if not first:
            why = _why_not(graph, node, fused)
            first = str(node) if why else ""
        if not why:
            placements.append(Placement(node.name, node.op, "edgetpu", True, multiplications=multiplications(graph, node)))
            continue
        placements.append(Placement(node.name, node.op, cpu.where, cpu.integer, why, source, cpu.multiplications))
    return placements


def _why_not(graph: Graph, node: Node, fused: Mapping[str, Node]) -> str:
    if node.name in fused:
        return ""
    if not is_planned(graph, node):
        return "it stays float, and every value must have 8 bits"
    return why_refused(_operator(graph, node))


def _operator(graph: Graph, node: Node) -> Operator:
    """The TFLite operator that a node becomes, its values in the layout of the file."""
    attributes = node.attributes
    axes = attributes.get("axes", [attributes["axis"]] if "axis" in attributes else [])
    rank = len(graph.shapes[node.inputs[0]])
    if node.op == "GlobalAveragePool":
        axes = list(range(2, rank))
    if node.op == "Pad":
        pads = attributes["pads"]
        axes = [axis for axis in range(rank) if pads[axis] or pads[axis + rank]]
    return Operator(lowered(graph, node), [_value(graph, value) for value in node.inputs if value],
                    [_value(graph, value) for value in node.outputs], tuple(sorted(_axis(axis, rank) for axis in axes)),
                    tuple(attributes.get("dilations", (1, 1))), tuple(attributes.get("steps", (1,))))


def _value(graph: Graph, name: str) -> Value:
    shape, stored = graph.shapes[name], graph.constants.get(name)
    if stored is not None:
        return Value((*shape[-2:], shape[-3]) if len(shape) >= 3 else shape, stored)  # slopes (C, 1, 1), operands alike
    return Value((shape[0], *shape[2:], shape[1]) if len(shape) in (3, 4) else shape)


def _axis(axis: int, rank: int) -> int:
    """An axis of channels second as one of channels last."""
    if rank not in (3, 4) or axis == 0:
        return axis
    return rank - 1 if axis == 1 else axis - 1
