"""Operators that look at a neighbourhood: convolutions, pools, resizing, blocks. All read and make NCHW."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph.from_tflite.translation import Operator, Translation

__all__ = ["CUSTOM", "OPERATORS"]

_SAME, _VALID = 0, 1  # Padding of the schema


def _sides(t: Translation, inputs: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int],
           padding: int) -> tuple[list[int], list[int]]:
    """Output height and width, and ONNX's pads [top, left, bottom, right] of TensorFlow's "SAME" and "VALID"
    (tensorflow/lite/kernels/padding.h): SAME has ceil(input / stride) outputs, and the odd row of padding goes below."""
    if padding not in (_SAME, _VALID) or min(*strides, *dilations, *kernel) < 1:
        raise t.misfit("strides, dilations and sides of at least 1", [*strides, *dilations, *kernel])
    outputs, before, after = [], [], []
    for side, taps, stride, dilation in zip(inputs, kernel, strides, dilations, strict=True):
        reach = (taps - 1) * dilation + 1
        made = -(-side // stride) if padding == _SAME else (side - reach) // stride + 1
        if made < 1:
            raise t.misfit(f"an input of at least {reach} a side", side)
        total = max((made - 1) * stride + reach - side, 0) if padding == _SAME else 0
        outputs.append(made)
        before.append(total // 2)
        after.append(total - total // 2)
    return outputs, [*before, *after]


def _bias(t: Translation, index: int, channels: int, name: str) -> str:
    bias = t.known(index).astype(np.float32) if index >= 0 else np.zeros(channels, np.float32)
    if bias.size != channels:
        raise t.misfit(f"{channels} biases", bias.size)
    return t.graph.add_constant(t.names[index] if index >= 0 else f"{name}/bias", bias.reshape(channels))


def _conv(t: Translation, op: Operator) -> None:
    """Weights are (out, h, w, in / groups), of a depthwise convolution (1, h, w, out)."""
    weights = t.known(op.inputs[1]).astype(np.float32)
    depthwise = op.name == "DEPTHWISE_CONV_2D"
    batch, height, width, channels = t.shape(op.inputs[0])
    weights = weights.transpose(3, 0, 1, 2) if depthwise else weights.transpose(0, 3, 1, 2)
    group = channels if depthwise else channels // weights.shape[1]
    if group < 1 or group * weights.shape[1] != channels or weights.shape[0] % group:
        raise t.misfit(f"weights for {channels} channels", f"a shape of {list(t.shape(op.inputs[1]))}")
    strides, kernel = [op.option("strideH"), op.option("strideW")], list(weights.shape[2:])
    dilations = [op.option("dilationHFactor", 1), op.option("dilationWFactor", 1)]
    given = op.option("pads", [0, 0, 0, 0])
    sides, pads = _sides(t, (height + given[0] + given[2], width + given[1] + given[3]), kernel, strides, dilations,
                         op.option("padding"))
    pads = [one + other for one, other in zip(pads, given, strict=True)]
    name = t.names[op.outputs[0]]
    inputs = [t.picture(op.inputs[0]), t.graph.add_constant(t.names[op.inputs[1]], np.ascontiguousarray(weights)),
              _bias(t, op.optional(2), len(weights), name)]
    made = t.emit_fused("Conv", inputs, (batch, len(weights), *sides), name, op.option("fusedActivationFunction"),
                        strides=strides, pads=pads, dilations=dilations, group=group)
    t.hold_picture(op.outputs[0], made)


def _conv_transpose(t: Translation, op: Operator) -> None:
    """Inputs: shape of the output, weights (out, h, w, in), x, bias or none."""
    _, height, width, _ = t.integers(op.inputs[0])
    _deconvolve(t, op, op.inputs[2], t.known(op.inputs[1]), op.optional(3), (height, width), op.option("padding"),
                [op.option("strideH"), op.option("strideW")], op.option("fusedActivationFunction"))


def _mediapipe_conv_transpose(t: Translation, op: Operator) -> None:
    """MediaPipe's Convolution2DTransposeBias, which XNNPACK runs: x, weights (out, h, w, in), bias. The options are a
    TfLiteTransposeConvParams of C: padding (1 same, 2 valid), width and height of the stride."""
    padding, across, down = struct.unpack_from("<3i", op.custom_options)
    weights, (_, height, width, _) = t.known(op.inputs[1]), t.shape(op.inputs[0])
    kernel, strides = weights.shape[1:3], [down, across]
    same = padding == 1
    sides = [side * stride if same else (side - 1) * stride + taps
             for side, stride, taps in zip((height, width), strides, kernel, strict=True)]
    _deconvolve(t, op, op.inputs[0], weights, op.optional(2), sides, _SAME if same else _VALID, strides, 0)


def _deconvolve(t: Translation, op: Operator, x: int, weights: Array, bias: int, sides: Sequence[int], padding: int,
                strides: list[int], activation: int) -> None:
    weights = np.ascontiguousarray(weights.astype(np.float32).transpose(3, 0, 1, 2))  # (in, out, h, w)
    if min(*strides, padding + 1) < 1:
        raise t.misfit("strides of at least 1", strides)
    value, name = t.picture(x), t.names[op.outputs[0]]
    batch, channels, *inputs = t.graph.shapes[value]
    if channels != weights.shape[0]:
        raise t.misfit(f"weights for {channels} channels", f"some for {weights.shape[0]}")
    before, after, missing = [], [], []
    for side, stride, taps, made in zip(inputs, strides, weights.shape[2:], sides, strict=True):
        total = (side - 1) * stride + taps - made
        before.append(max(total, 0) // 2 if padding == _SAME else 0)
        after.append(max(total, 0) - before[-1])
        missing.append(max(-total, 0))
    operands = [value, t.graph.add_constant(t.names[op.inputs[1]], weights), _bias(t, bias, weights.shape[1], name)]
    t.hold_picture(op.outputs[0], t.emit_fused(
        "ConvTranspose", operands, (batch, weights.shape[1], *sides), name, activation, strides=strides,
        pads=[*before, *after], dilations=[1, 1], group=1, output_padding=missing))


def _pool(t: Translation, op: Operator) -> None:
    value, more = t.value(op.inputs[0]), [0, 0, 0, 0]
    kernel, strides = [op.option("filterHeight"), op.option("filterWidth")], [op.option("strideH"), op.option("strideW")]
    if op.name == "MAX_POOL_2D":
        value, more = _before_pad(t, value, kernel)
    value = t.as_picture(value)
    batch, channels, height, width = t.graph.shapes[value]
    sides, pads = _sides(t, (height + more[0] + more[2], width + more[1] + more[3]), kernel, strides, [1, 1],
                         op.option("padding"))
    pads = [one + other for one, other in zip(pads, more, strict=True)]
    kind: tuple[str, dict[str, Any]] = (("MaxPool", {"dilations": [1, 1]}) if op.name == "MAX_POOL_2D"
                                        else ("AveragePool", {"count_include_pad": 0}))
    t.hold_picture(op.outputs[0], t.emit_fused(
        kind[0], [value], (batch, channels, *sides), t.names[op.outputs[0]], op.option("fusedActivationFunction"),
        kernel_shape=kernel, strides=strides, pads=pads, **kind[1]))


def _before_pad(t: Translation, value: str, kernel: Sequence[int]) -> tuple[str, list[int]]:
    """A value before a Pad that cannot win, and its [top, left, bottom, right]: what other converters write before a MaxPool
    that pads. As a tensor of its own, numbers like -3e38 would be part of its range."""
    maker = t.graph.producer(value)
    if maker is None or maker.op != "Pad" or maker.attributes["mode"] != "constant":
        return value, [0, 0, 0, 0]
    (first, top, left, channel), (last, bottom, right, end) = maker.attributes["pads"][:4], maker.attributes["pads"][4:]
    beyond = max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]  # a window of nothing but padding
    if maker.attributes["value"] > _least(t, maker.inputs[0]) or any((first, channel, last, end)) or beyond:
        return value, [0, 0, 0, 0]
    return maker.inputs[0], [top, left, bottom, right]


def _least(t: Translation, value: str) -> float:
    """What a value is never below, as far as it can be told."""
    maker = t.graph.producer(value)
    if maker is not None and maker.op == "Transpose":
        maker = t.graph.producer(maker.inputs[0])
    if maker is None or maker.op not in ("Relu", "Clip"):
        return -1e30
    return 0.0 if maker.op == "Relu" else max(float(maker.attributes["min"]), -1e30)


def _resize(t: Translation, op: Operator) -> None:
    """TFLite's nearest takes floor((x + 0.5) scale) with half-pixel centres and rounds half up with aligned corners
    (tensorflow/lite/kernels/internal/reference/resize_nearest_neighbor.h)."""
    linear = op.name == "RESIZE_BILINEAR"
    value, sides = t.picture(op.inputs[0]), t.integers(op.inputs[1])
    shape = t.graph.shapes[value]
    made = (*shape[:2], *sides)
    aligned, half = op.option("alignCorners"), op.option("halfPixelCenters")
    mode = "align_corners" if aligned else "half_pixel" if half else "asymmetric"
    nearest = "round_prefer_ceil" if aligned or half else "floor"
    scales = [new / old for new, old in zip(made, shape, strict=True)]
    name = t.emit("Resize", [value], made, t.names[op.outputs[0]], mode="linear" if linear else "nearest", scales=scales,
                  sizes=list(made), coordinate_transformation_mode=mode, nearest_mode=nearest)
    t.hold_picture(op.outputs[0], name)


def _blocks(t: Translation, op: Operator) -> None:
    """ONNX's DepthToSpace in mode DCR and its SpaceToDepth have TensorFlow's order of channels."""
    value, block = t.picture(op.inputs[0]), int(op.option("blockSize"))
    batch, channels, height, width = t.graph.shapes[value]
    deep = op.name == "SPACE_TO_DEPTH"
    if block < 1 or (deep and (height % block or width % block)) or (not deep and channels % block**2):
        raise t.misfit(f"sides that blocks of {block} divide", [channels, height, width])
    if deep:
        shape: tuple[int, ...] = (batch, channels * block**2, height // block, width // block)
        name = t.emit("SpaceToDepth", [value], shape, t.names[op.outputs[0]], blocksize=block)
    else:
        shape = (batch, channels // block**2, height * block, width * block)
        name = t.emit("DepthToSpace", [value], shape, t.names[op.outputs[0]], blocksize=block, mode="DCR")
    t.hold_picture(op.outputs[0], name)


OPERATORS: dict[str, Callable[[Translation, Operator], None]] = {
    "CONV_2D": _conv, "DEPTHWISE_CONV_2D": _conv, "TRANSPOSE_CONV": _conv_transpose,
    "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool, "RESIZE_BILINEAR": _resize, "RESIZE_NEAREST_NEIGHBOR": _resize,
    "DEPTH_TO_SPACE": _blocks, "SPACE_TO_DEPTH": _blocks,
}
CUSTOM: dict[str, Callable[[Translation, Operator], None]] = {"Convolution2DTransposeBias": _mediapipe_conv_transpose}
