"""Normalisations."""

from __future__ import annotations

import numpy as np

from quantize.graph import Node
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["RULES"]


def _batch(rewrite: Rewrite, node: Node) -> None:
    training = node.attributes.get("training_mode", 0) or any(name in rewrite.read for name in node.outputs[1:])
    if training:
        rewrite.refuse(node, "a model for inference", "a BatchNormalization that still learns", "export the model after model.eval()")
    if node.attributes.get("spatial", 1) != 1:
        rewrite.refuse(node, "a BatchNormalization for each channel", "one for each element (spatial=0)", "export the model again")
    rewrite.emit("BatchNormalization", node.inputs[:5], node.outputs[0], epsilon=float(node.attributes.get("epsilon", 1e-5)))


def _instance(rewrite: Rewrite, node: Node) -> None:
    rewrite.emit("InstanceNormalization", node.inputs, node.outputs, epsilon=float(node.attributes.get("epsilon", 1e-5)))


def _layer(rewrite: Rewrite, node: Node) -> None:
    if any(name in rewrite.read for name in node.outputs[1:]):
        rewrite.refuse(node, "a model for inference", "one that reads mean or deviation of a LayerNormalization", "export the model after model.eval()")
    shape = rewrite.shape(node.inputs[0])
    axis = int(node.attributes.get("axis", -1)) % len(shape)
    bias = rewrite.input(node, 2) or rewrite.constant(f"{node.name}/bias", np.zeros(shape[axis:]))
    rewrite.emit("LayerNormalization", [*node.inputs[:2], bias], node.outputs[0], axis=axis, epsilon=float(node.attributes.get("epsilon", 1e-5)))


def _group(rewrite: Rewrite, node: Node) -> None:
    """Instances of groups of channels, then scale and bias: for each group in set 18, for each channel since 21."""
    x, scale, bias = node.inputs
    shape, groups = rewrite.shape(x), int(node.attributes["num_groups"])
    rows = (shape[0], groups, int(np.prod(shape[1:], dtype=np.int64)) // groups)
    flat = rewrite.make("Reshape", [x], f"{node.name}/groups", rows, shape=list(rows))
    ones, zeros = rewrite.constant(f"{node.name}/ones", np.ones(groups)), rewrite.constant(f"{node.name}/zeros", np.zeros(groups))
    normal = rewrite.make("InstanceNormalization", [flat, ones, zeros], f"{node.name}/normal", rows,
                          epsilon=float(node.attributes.get("epsilon", 1e-5)))
    value = rewrite.make("Reshape", [normal], f"{node.name}/channels", shape, shape=list(shape))
    for op, name, output in (("Mul", scale, ""), ("Add", bias, node.outputs[0])):
        array = rewrite.array(name)
        if array is None:
            rewrite.refuse(node, "constant scale and bias", f"'{name}', which varies", "export the model after model.eval()")
        each = np.repeat(array, shape[1] // groups) if array.size == groups else array
        by = rewrite.constant(f"{node.name}/{op.lower()}", each.reshape(-1, *[1] * (len(shape) - 2)))
        value = rewrite.emit(op, [value, by], output) if output else rewrite.make(op, [value, by], f"{node.name}/scaled", shape)


def _root_mean_square(rewrite: Rewrite, node: Node) -> None:
    x, shape = node.inputs[0], rewrite.shape(node.inputs[0])
    axis = int(node.attributes.get("axis", -1)) % len(shape)
    sides = [*shape[:axis], *[1] * (len(shape) - axis)]
    squares = rewrite.make("Mul", [x, x], f"{node.name}/squares", shape)
    mean = rewrite.make("ReduceMean", [squares], f"{node.name}/mean", sides, axes=list(range(axis, len(shape))), keepdims=1)
    epsilon = rewrite.constant(f"{node.name}/epsilon", np.float32(node.attributes.get("epsilon", 1e-5)))
    root = rewrite.make("Sqrt", [rewrite.make("Add", [mean, epsilon], f"{node.name}/sum", sides)], f"{node.name}/root", sides)
    normal = rewrite.make("Div", [x, root], f"{node.name}/normal", shape)
    rewrite.emit("Mul", [normal, node.inputs[1]], node.outputs[0])


def _mean_variance(rewrite: Rewrite, node: Node) -> None:
    """(x - mean) / (deviation + 1e-9) over batch, height and width."""
    x, shape = node.inputs[0], rewrite.shape(node.inputs[0])
    axes = sorted(int(axis) % len(shape) for axis in node.attributes.get("axes", [0, 2, 3]))
    sides = [1 if axis in axes else side for axis, side in enumerate(shape)]
    mean = rewrite.make("ReduceMean", [x], f"{node.name}/mean", sides, axes=axes, keepdims=1)
    centred = rewrite.make("Sub", [x, mean], f"{node.name}/centred", shape)
    squares = rewrite.make("Mul", [centred, centred], f"{node.name}/squares", shape)
    variance = rewrite.make("ReduceMean", [squares], f"{node.name}/variance", sides, axes=axes, keepdims=1)
    root = rewrite.make("Sqrt", [variance], f"{node.name}/root", sides)
    some = rewrite.make("Add", [root, rewrite.constant(f"{node.name}/epsilon", np.float32(1e-9))], f"{node.name}/some", sides)
    rewrite.emit("Div", [centred, some], node.outputs[0])


RULES: dict[str, Rule] = {"BatchNormalization": _batch, "InstanceNormalization": _instance, "LayerNormalization": _layer,
                          "GroupNormalization": _group, "RMSNormalization": _root_mean_square,
                          "MeanVarianceNormalization": _mean_variance}
