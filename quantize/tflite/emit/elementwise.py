"""Operators on one number after the other, and on pairs of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quantize.graph import Node
from quantize.tflite.file import File

__all__ = ["EMIT"]

Emit = Callable[[File, Node], None]


def _plain(name: str, options: str = "", **fields: Any) -> Emit:
    """An operator whose options, if it has any, do not depend on the node."""
    def emit(file: File, node: Node) -> None:
        file.operator(name, node, file.tensors(node), options, **fields)
    return emit


def _clamping(name: str, options: str, **fields: Any) -> Emit:
    """An operator with an activation of its own."""
    def emit(file: File, node: Node) -> None:
        activation = getattr(file.schema.ActivationFunctionType, node.attributes.get("activation", "NONE"))
        file.operator(name, node, file.tensors(node), options, fusedActivationFunction=activation, **fields)
    return emit


def _clip(file: File, node: Node) -> None:
    bounds = (node.attributes["min"], node.attributes["max"])
    names = {(0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}
    file.operator(names[bounds], node, file.tensors(node))


def _leaky_relu(file: File, node: Node) -> None:
    file.operator("LEAKY_RELU", node, file.tensors(node), "LeakyReluOptions", alpha=float(node.attributes["alpha"]))


def _gelu(file: File, node: Node) -> None:
    file.operator("GELU", node, file.tensors(node), "GeluOptions", approximate=node.attributes.get("approximate", "none") == "tanh")


def _cast(file: File, node: Node) -> None:
    before, after = (getattr(file.schema.TensorType, file.graph.dtypes[value].upper()) for value in (node.inputs[0], node.name))
    file.operator("CAST", node, file.tensors(node), "CastOptions", inDataType=before, outDataType=after)


def _quantize(file: File, node: Node) -> None:
    wide = file.graph.dtypes[node.name] == "int16"
    file.operator("QUANTIZE", node, file.tensors(node), "QuantizeOptions", 2 if wide else 1)


EMIT: dict[str, Emit] = {
    "Add": _clamping("ADD", "AddOptions", potScaleInt16=False), "Sub": _clamping("SUB", "SubOptions", potScaleInt16=False),
    "Mul": _clamping("MUL", "MulOptions"), "Div": _clamping("DIV", "DivOptions"),
    "Pow": _plain("POW", "PowOptions"), "Min": _plain("MINIMUM", "MaximumMinimumOptions"),
    "Max": _plain("MAXIMUM", "MaximumMinimumOptions"),
    "PRelu": _plain("PRELU"), "Clip": _clip, "LeakyRelu": _leaky_relu, "Gelu": _gelu, "Cast": _cast,
    "Sigmoid": _plain("LOGISTIC"), "Tanh": _plain("TANH"), "HardSwish": _plain("HARD_SWISH", "HardSwishOptions"),
    "Elu": _plain("ELU"), "Exp": _plain("EXP", "ExpOptions"), "Log": _plain("LOG"), "Sqrt": _plain("SQRT"),
    "Rsqrt": _plain("RSQRT"), "Abs": _plain("ABS", "AbsOptions"), "Neg": _plain("NEG", "NegOptions"), "Floor": _plain("FLOOR"),
    "Square": _plain("SQUARE", "SquareOptions"), "SOFTMAX": _plain("SOFTMAX", "SoftmaxOptions", beta=1.0),
    "LOG_SOFTMAX": _plain("LOG_SOFTMAX", "LogSoftmaxOptions"), "Quantize": _quantize,
    "Dequantize": _plain("DEQUANTIZE", "DequantizeOptions"),
}
