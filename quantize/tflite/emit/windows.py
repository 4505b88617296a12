"""Convolutions, pools, resizing and blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantize.graph import Node
from quantize.tflite.file import File

__all__ = ["EMIT"]


def _padding(file: File, node: Node) -> Any:
    return getattr(file.schema.Padding, node.attributes["padding"])


def _activation(file: File, node: Node) -> Any:
    return getattr(file.schema.ActivationFunctionType, node.attributes["activation"])


def _conv(file: File, node: Node) -> None:
    (down, across), (gap_down, gap_across) = node.attributes["strides"], node.attributes["dilations"]
    grouped = file.graph.shapes[node.inputs[1]][3] != file.graph.shapes[node.inputs[0]][3]
    file.operator("CONV_2D", node, file.tensors(node), "Conv2DOptions", 6 if grouped else 1, padding=_padding(file, node),
                  strideH=down, strideW=across, dilationHFactor=gap_down, dilationWFactor=gap_across,
                  fusedActivationFunction=_activation(file, node))


def _depthwise_conv(file: File, node: Node) -> None:
    (down, across), (gap_down, gap_across) = node.attributes["strides"], node.attributes["dilations"]
    multiplier = file.graph.shapes[node.name][3] // file.graph.shapes[node.inputs[0]][3]
    dilated = max(gap_down, gap_across) > 1
    file.operator("DEPTHWISE_CONV_2D", node, file.tensors(node), "DepthwiseConv2DOptions", 2 if dilated else 1,
                  padding=_padding(file, node), strideH=down, strideW=across, depthMultiplier=multiplier,
                  dilationHFactor=gap_down, dilationWFactor=gap_across, fusedActivationFunction=_activation(file, node))


def _transpose_conv(file: File, node: Node) -> None:
    x, weights, bias = file.tensors(node)
    shape = file.integers(file.graph.shapes[node.name])
    down, across = node.attributes["strides"]
    file.operator("TRANSPOSE_CONV", node, [shape, weights, x, bias], "TransposeConvOptions", padding=_padding(file, node),
                  strideH=down, strideW=across)


def _fully_connected(file: File, node: Node) -> None:
    keep = node.attributes.get("keep_sides", False)
    file.operator("FULLY_CONNECTED", node, file.tensors(node), "FullyConnectedOptions", 5 if keep else 1,
                  fusedActivationFunction=_activation(file, node), keepNumDims=keep)


def _pool(file: File, node: Node) -> None:
    (down, across), (high, wide) = node.attributes["strides"], node.attributes["kernel"]
    file.operator(node.op, node, file.tensors(node), "Pool2DOptions", padding=_padding(file, node), strideH=down, strideW=across,
                  filterHeight=high, filterWidth=wide)


def _resize(file: File, node: Node) -> None:
    half, aligned = node.attributes["half_pixel"], node.attributes["align_corners"]
    bilinear = node.op == "RESIZE_BILINEAR"
    size = file.integers(file.graph.shapes[node.name][1:3])
    file.operator(node.op, node, [*file.tensors(node), size],
                  "ResizeBilinearOptions" if bilinear else "ResizeNearestNeighborOptions",
                  3 if half or (aligned and not bilinear) else 1, alignCorners=aligned, halfPixelCenters=half)


def _blocks(file: File, node: Node) -> None:
    options = "DepthToSpaceOptions" if node.op == "DEPTH_TO_SPACE" else "SpaceToDepthOptions"
    file.operator(node.op, node, file.tensors(node), options, blockSize=node.attributes["block"])


EMIT: dict[str, Callable[[File, Node], None]] = {
    "CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise_conv, "TRANSPOSE_CONV": _transpose_conv, "Gemm": _fully_connected,
    "MAX_POOL_2D": _pool, "AVERAGE_POOL_2D": _pool, "RESIZE_BILINEAR": _resize, "RESIZE_NEAREST_NEIGHBOR": _resize,
    "DEPTH_TO_SPACE": _blocks, "SPACE_TO_DEPTH": _blocks,
}
