"""Convolutions, pools, resizing and blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantize.graph import Node
from quantize.tflite.emit.versions import version
from quantize.tflite.file import File

__all__ = ["EMIT"]


def _padding(file: File, node: Node) -> Any:
    return getattr(file.schema.Padding, node.attributes["padding"])


def _activation(file: File, node: Node) -> Any:
    return getattr(file.schema.ActivationFunctionType, node.attributes.get("activation", "NONE"))


def _tensors(file: File, node: Node) -> list[int]:
    return [file.tensor(value) for value in node.inputs]


def _conv(file: File, node: Node) -> None:
    (down, across), (dilation_h, dilation_w) = node.attributes["strides"], node.attributes["dilations"]
    shapes = file.graph.shapes
    depthwise, channels = node.op == "DEPTHWISE_CONV_2D", shapes[node.inputs[0]][3]
    dilated = depthwise and max(dilation_h, dilation_w) > 1
    grouped = not depthwise and shapes[node.inputs[1]][3] != channels
    more = {"depthMultiplier": shapes[node.name][3] // channels} if depthwise else {}
    file.operator(node.op, _tensors(file, node), node.outputs, version(file, node.op, node, least=6 if grouped else 2 if dilated else 1),
                  "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions", padding=_padding(file, node), strideH=down, strideW=across,
                  dilationHFactor=dilation_h, dilationWFactor=dilation_w, fusedActivationFunction=_activation(file, node), **more)


def _transpose_conv(file: File, node: Node) -> None:
    x, weights, bias = _tensors(file, node)
    shape = file.integers(file.graph.shapes[node.name])
    down, across = node.attributes["strides"]
    file.operator("TRANSPOSE_CONV", [shape, weights, x, bias], node.outputs, version(file, "TRANSPOSE_CONV", node),
                  "TransposeConvOptions", padding=_padding(file, node), strideH=down, strideW=across)


def _fully_connected(file: File, node: Node) -> None:
    keep = node.attributes.get("keep_sides", False)
    file.operator("FULLY_CONNECTED", _tensors(file, node), node.outputs, version(file, "FULLY_CONNECTED", node, least=5 if keep else 1),
                  "FullyConnectedOptions", fusedActivationFunction=_activation(file, node), keepNumDims=keep)


def _pool(file: File, node: Node) -> None:
    (down, across), (high, wide) = node.attributes["strides"], node.attributes["kernel"]
    file.operator(node.op, _tensors(file, node), node.outputs, version(file, node.op, node), "Pool2DOptions",
                  padding=_padding(file, node), strideH=down, strideW=across, filterHeight=high, filterWidth=wide)


def _resize(file: File, node: Node) -> None:
    half, aligned = node.attributes["half_pixel"], node.attributes["align_corners"]
    least = 3 if half or aligned and node.op == "RESIZE_NEAREST_NEIGHBOR" else 1
    options = "ResizeBilinearOptions" if node.op == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    size = file.integers(file.graph.shapes[node.name][1:3])
    file.operator(node.op, [*_tensors(file, node), size], node.outputs, version(file, node.op, node, least=least), options,
                  alignCorners=aligned, halfPixelCenters=half)


def _blocks(file: File, node: Node) -> None:
    options = "DepthToSpaceOptions" if node.op == "DEPTH_TO_SPACE" else "SpaceToDepthOptions"
    file.operator(node.op, _tensors(file, node), node.outputs, version(file, node.op, node), options,
                  blockSize=node.attributes["block"])


EMIT: dict[str, Callable[[File, Node], None]] = {
    "CONV_2D": _conv, "DEPTHWISE_CONV_2D": _conv, "TRANSPOSE_CONV": _transpose_conv, "Gemm": _fully_connected,
    "MAX_POOL_2D": _pool, "AVERAGE_POOL_2D": _pool, "RESIZE_BILINEAR": _resize, "RESIZE_NEAREST_NEIGHBOR": _resize,
    "DEPTH_TO_SPACE": _blocks, "SPACE_TO_DEPTH": _blocks,
}
