"""Normalisations."""

from __future__ import annotations

import numpy as np

from quantize.graph import Node
from quantize.graph.canonical.rewrite import EVAL_HINT, Rewrite, Rule

__all__ = ["RULES"]


def _epsilon(node: Node) -> float:
    return float(node.attributes.get("epsilon", 1e-5))


def _batch(rewrite: Rewrite, node: Node) -> None:
    training = node.attributes.get("training_mode", 0) or any(name in rewrite.read for name in node.outputs[1:])
    if training:
        rewrite.refuse(node, "a model for inference", "a BatchNormalization that still learns", EVAL_HINT)
    if node.attributes.get("spatial", 1) != 1:
        rewrite.refuse(node, "a BatchNormalization for each channel", "one for each element (spatial=0)",
                       "export the model again")
    rewrite.emit("BatchNormalization", node.inputs[:5], node.name, epsilon=_epsilon(node))


def _instance(rewrite: Rewrite, node: Node) -> None:
    rewrite.emit("InstanceNormalization", node.inputs, node.outputs, epsilon=_epsilon(node))


def _layer(rewrite: Rewrite, node: Node) -> None:
    if any(name in rewrite.read for name in node.outputs[1:]):
        rewrite.refuse(node, "a model for inference", "one that reads the mean of a LayerNormalization", EVAL_HINT)
    shape = rewrite.shape(node.inputs[0])
    axis = int(node.attributes.get("axis", -1)) % len(shape)
    bias = rewrite.input(node, 2) or rewrite.constant("bias", np.zeros(shape[axis:]))
    rewrite.emit("LayerNormalization", [*node.inputs[:2], bias], node.name, axis=axis, epsilon=_epsilon(node))


def _group(rewrite: Rewrite, node: Node) -> None:
    """Instances of groups of channels, then scale and bias: for each group in set 18, for each channel since 21."""
    x, scale, bias = node.inputs
    shape, groups = rewrite.shape(x), int(node.attributes["num_groups"])
    rows = (shape[0], groups, int(np.prod(shape[1:], dtype=np.int64)) // groups)
    flat = rewrite.make("Reshape", [x], "groups", rows, shape=list(rows))
    ones, zeros = rewrite.constant("ones", np.ones(groups)), rewrite.constant("zeros", np.zeros(groups))
    normal = rewrite.make("InstanceNormalization", [flat, ones, zeros], "normal", rows, epsilon=_epsilon(node))
    value = rewrite.make("Reshape", [normal], "channels", shape, shape=list(shape))
    for op, name, output in (("Mul", scale, ""), ("Add", bias, node.name)):
        array = rewrite.array(name)
        if array is None:
            rewrite.refuse(node, "constant scale and bias", f"'{name}', which varies", EVAL_HINT)
        each = np.repeat(array, shape[1] // groups) if array.size == groups else array
        by = rewrite.constant(op.lower(), each.reshape(-1, *[1] * (len(shape) - 2)))
        value = rewrite.emit(op, [value, by], output) if output else rewrite.make(op, [value, by], "scaled", shape)


def _root_mean_square(rewrite: Rewrite, node: Node) -> None:
    x, shape = node.inputs[0], rewrite.shape(node.inputs[0])
    axis = int(node.attributes.get("axis", -1)) % len(shape)
    sides = [*shape[:axis], *[1] * (len(shape) - axis)]
    squares = rewrite.make("Mul", [x, x], "squares", shape)
    mean = rewrite.make("ReduceMean", [squares], "mean", sides, axes=list(range(axis, len(shape))), keepdims=1)
    epsilon = rewrite.constant("epsilon", np.float32(_epsilon(node)))
    root = rewrite.make("Sqrt", [rewrite.make("Add", [mean, epsilon], "sum", sides)], "root", sides)
    normal = rewrite.make("Div", [x, root], "normal", shape)
    rewrite.emit("Mul", [normal, node.inputs[1]], node.name)


def _mean_variance(rewrite: Rewrite, node: Node) -> None:
    """(x - mean) / (deviation + 1e-9) over batch, height and width."""
    x, shape = node.inputs[0], rewrite.shape(node.inputs[0])
    axes = sorted(int(axis) % len(shape) for axis in node.attributes.get("axes", [0, 2, 3]))
    sides = [1 if axis in axes else side for axis, side in enumerate(shape)]
    mean = rewrite.make("ReduceMean", [x], "mean", sides, axes=axes, keepdims=1)
    centred = rewrite.make("Sub", [x, mean], "centred", shape)
    squares = rewrite.make("Mul", [centred, centred], "squares", shape)
    variance = rewrite.make("ReduceMean", [squares], "variance", sides, axes=axes, keepdims=1)
    root = rewrite.make("Sqrt", [variance], "root", sides)
    some = rewrite.make("Add", [root, rewrite.constant("epsilon", np.float32(1e-9))], "some", sides)
    rewrite.emit("Div", [centred, some], node.name)


RULES: dict[str, Rule] = {"BatchNormalization": _batch, "InstanceNormalization": _instance, "LayerNormalization": _layer,
                          "GroupNormalization": _group, "RMSNormalization": _root_mean_square,
                          "MeanVarianceNormalization": _mean_variance}
