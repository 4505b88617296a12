"""Operators on one number after the other, and on pairs of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quantize.graph import Node
from quantize.tflite.emit.versions import version
from quantize.tflite.file import File

__all__ = ["EMIT"]

Emit = Callable[[File, Node], None]


def _plain(name: str, options: str = "", **fields: Any) -> Emit:
    """An operator whose options, if it has any, do not depend on the node."""
    def emit(file: File, node: Node) -> None:
        file.operator(name, [file.tensor(value) for value in node.inputs], node.outputs, version(file, name, node), options, **fields)
    return emit


def _clamping(name: str, options: str, **fields: Any) -> Emit:
    """An operator with an activation of its own."""
    def emit(file: File, node: Node) -> None:
        activation = getattr(file.schema.ActivationFunctionType, node.attributes.get("activation", "NONE"))
        file.operator(name, [file.tensor(value) for value in node.inputs], node.outputs, version(file, name, node, place=_widest(file, node)),
                      options, fusedActivationFunction=activation, **fields)
    return emit


def _widest(file: File, node: Node) -> int:
    ranks = [len(file.graph.shapes[value]) for value in node.inputs]
    return ranks.index(max(ranks))


def _pair(name: str, options: str) -> Emit:
    def emit(file: File, node: Node) -> None:
        file.operator(name, [file.tensor(value) for value in node.inputs], node.outputs,
                      version(file, name, node, place=_widest(file, node)), options)
    return emit


def _clip(file: File, node: Node) -> None:
    bounds = (node.attributes["min"], node.attributes["max"])
    name = {(0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}[bounds]
    file.operator(name, [file.tensor(node.inputs[0])], node.outputs, version(file, name, node))


def _leaky_relu(file: File, node: Node) -> None:
    file.operator("LEAKY_RELU", [file.tensor(node.inputs[0])], node.outputs, version(file, "LEAKY_RELU", node), "LeakyReluOptions",
                  alpha=float(node.attributes["alpha"]))


def _gelu(file: File, node: Node) -> None:
    file.operator("GELU", [file.tensor(node.inputs[0])], node.outputs, version(file, "GELU", node), "GeluOptions",
                  approximate=node.attributes.get("approximate", "none") == "tanh")


def _cast(file: File, node: Node) -> None:
    types = [getattr(file.schema.TensorType, file.graph.dtypes[value].upper()) for value in (node.inputs[0], node.name)]
    file.operator("CAST", [file.tensor(node.inputs[0])], node.outputs, 1, "CastOptions", inDataType=types[0], outDataType=types[1])


def _quantize(file: File, node: Node) -> None:
    wide = file.graph.dtypes[node.name] == "int16"
    file.operator("QUANTIZE", [file.tensor(node.inputs[0])], node.outputs, 2 if wide else 1, "QuantizeOptions")


EMIT: dict[str, Emit] = {
    "Add": _clamping("ADD", "AddOptions", potScaleInt16=False), "Sub": _clamping("SUB", "SubOptions", potScaleInt16=False),
    "Mul": _clamping("MUL", "MulOptions"), "Div": _clamping("DIV", "DivOptions"),
    "Pow": _pair("POW", "PowOptions"), "Min": _pair("MINIMUM", "MaximumMinimumOptions"),
    "Max": _pair("MAXIMUM", "MaximumMinimumOptions"), "SquaredDifference": _pair("SQUARED_DIFFERENCE", "SquaredDifferenceOptions"),
    "PRelu": _plain("PRELU"), "Clip": _clip, "LeakyRelu": _leaky_relu, "Gelu": _gelu, "Cast": _cast,
    "Sigmoid": _plain("LOGISTIC"), "Tanh": _plain("TANH"), "HardSwish": _plain("HARD_SWISH", "HardSwishOptions"),
    "Elu": _plain("ELU"), "Exp": _plain("EXP", "ExpOptions"), "Log": _plain("LOG"), "Sqrt": _plain("SQRT"),
    "Rsqrt": _plain("RSQRT"), "Abs": _plain("ABS", "AbsOptions"), "Neg": _plain("NEG", "NegOptions"), "Floor": _plain("FLOOR"),
    "Square": _plain("SQUARE", "SquareOptions"), "SOFTMAX": _plain("SOFTMAX", "SoftmaxOptions", beta=1.0),
    "LOG_SOFTMAX": _plain("LOG_SOFTMAX", "LogSoftmaxOptions"), "Quantize": _quantize,
    "Dequantize": _plain("DEQUANTIZE", "DequantizeOptions"),
}
