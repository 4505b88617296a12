"""Operators that slide a window: convolutions and pools, with every pad as a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantize.graph import Node
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["RULES"]


def _conv(rewrite: Rewrite, node: Node) -> None:
    x, w = node.inputs[:2]
    shape, weights = rewrite.shape(x), rewrite.shape(w)
    rank, group = len(shape) - 2, int(node.attributes.get("group", 1))
    if len(shape) != len(weights) or shape[1] != weights[1] * group or weights[0] % group:
        rewrite.refuse(node, f"an input of {weights[1] * group} channels for weights of the sides {weights}",
                       f"one of the sides {shape}", "check --shape if you gave it: channels come second")
    strides, dilations = _list(node, "strides", rank), _list(node, "dilations", rank)
    pads = _pads(node, shape[2:], weights[2:], strides, dilations)
    rewrite.emit("Conv", [x, w, _bias(rewrite, node, weights[0])], node.outputs, strides=strides, pads=pads,
                 dilations=dilations, group=group)


def _conv_transpose(rewrite: Rewrite, node: Node) -> None:
    x, w = node.inputs[:2]
    shape, weights = rewrite.shape(x), rewrite.shape(w)
    rank, group = len(shape) - 2, int(node.attributes.get("group", 1))
    strides, dilations = _list(node, "strides", rank), _list(node, "dilations", rank)
    extra = [int(value) for value in node.attributes.get("output_padding") or [0] * rank]
    auto = node.attributes.get("auto_pad", "NOTSET")
    if node.attributes.get("output_shape") or auto.startswith("SAME"):
        wanted = rewrite.shape(node.name)[2:]
        pads = [0] * (2 * rank)
        for side in range(rank):
            covered = strides[side] * (shape[2 + side] - 1) + extra[side] + (weights[2 + side] - 1) * dilations[side] + 1
            total = covered - wanted[side]
            if total < 0:  # more than the windows reach: the rest is bias only
                extra[side], total = extra[side] - total, 0
            less, more = total // 2, total - total // 2
            pads[side], pads[rank + side] = (less, more) if auto == "SAME_UPPER" else (more, less)
    else:
        pads = [int(value) for value in node.attributes.get("pads") or [0] * (2 * rank)]
    rewrite.emit("ConvTranspose", [x, w, _bias(rewrite, node, weights[1] * group)], node.outputs, strides=strides, pads=pads,
                 dilations=dilations, group=group, output_padding=extra)


def _bias(rewrite: Rewrite, node: Node, channels: int) -> str:
    return rewrite.input(node, 2) or rewrite.constant("bias", np.zeros(channels))


def _max_pool(rewrite: Rewrite, node: Node) -> None:
    kernel, strides, dilations, pads = _window(rewrite, node)
    over = _overhang(rewrite, node, kernel, strides, dilations, pads)
    pads = _added(pads, over)
    if any(pad >= size for pad, size in zip(pads, kernel * 2, strict=True)):  # ONNX Runtime has none of these
        rewrite.refuse(node, "pads smaller than the window",
                       f"a dilated window of {kernel} with pads of {pads} after rounding up",
                       "export the model with ceil_mode=False for this pool")
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations}
    if len(node.outputs) > 1 and node.outputs[1] in rewrite.read:
        attributes["storage_order"] = node.attributes.get("storage_order", 0)
        rewrite.emit("MaxPool", node.inputs, node.outputs, **attributes)
    else:
        rewrite.emit("MaxPool", node.inputs, node.name, **attributes)


def _average_pool(rewrite: Rewrite, node: Node) -> None:
    """Explicit pads count where ``count_include_pad`` says so; what ``ceil_mode`` hangs over the end never counts."""
    kernel, strides, dilations, pads = _window(rewrite, node)
    over, x = _overhang(rewrite, node, kernel, strides, dilations, pads), node.inputs[0]
    counted = bool(node.attributes.get("count_include_pad", 0)) and any(pads)
    if counted and any(over):
        rank, shape = len(kernel), list(rewrite.shape(x))
        for side in range(rank):
            shape[2 + side] += pads[side] + pads[rank + side]
        around = [0, 0, *pads[:rank], 0, 0, *pads[rank:]]
        x = rewrite.make("Pad", [x], "pad", shape, pads=around, mode="constant", value=0.0)
        pads, counted = [0] * (2 * rank), False
    more = {"dilations": dilations} if any(value != 1 for value in dilations) else {}
    rewrite.emit("AveragePool", [x], node.outputs, kernel_shape=kernel, strides=strides, pads=_added(pads, over),
                 count_include_pad=int(counted), **more)


def _window(rewrite: Rewrite, node: Node) -> tuple[list[int], list[int], list[int], list[int]]:
    kernel = [int(value) for value in node.attributes["kernel_shape"]]
    strides, dilations = _list(node, "strides", len(kernel)), _list(node, "dilations", len(kernel))
    return kernel, strides, dilations, _pads(node, rewrite.shape(node.inputs[0])[2:], kernel, strides, dilations)


def _overhang(rewrite: Rewrite, node: Node, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int],
              pads: Sequence[int]) -> list[int]:
    """By how much the last window of each side goes beyond the end pad; only ``ceil_mode`` makes it do so."""
    into, out, rank = rewrite.shape(node.inputs[0])[2:], rewrite.shape(node.name)[2:], len(kernel)
    return [max(0, (out[side] - 1) * strides[side] + (kernel[side] - 1) * dilations[side] + 1
                - into[side] - pads[side] - pads[rank + side]) for side in range(rank)]


def _added(pads: Sequence[int], over: Sequence[int]) -> list[int]:
    rank = len(over)
    return [*pads[:rank], *(pad + more for pad, more in zip(pads[rank:], over, strict=True))]


def _list(node: Node, name: str, rank: int) -> list[int]:
    return [int(value) for value in node.attributes.get(name) or [1] * rank]


def _pads(node: Node, sides: Sequence[int], kernel: Sequence[int], strides: Sequence[int],
          dilations: Sequence[int]) -> list[int]:
    """``auto_pad`` in numbers: SAME makes ceil(side / stride) windows, UPPER puts the odd one at the end."""
    auto, rank = node.attributes.get("auto_pad", "NOTSET"), len(kernel)
    if not auto.startswith("SAME"):
        given = node.attributes.get("pads") if auto != "VALID" else None
        return [int(value) for value in given or [0] * (2 * rank)]
    pads = [0] * (2 * rank)
    for place, (side, size, stride, dilation) in enumerate(zip(sides, kernel, strides, dilations, strict=True)):
        total = max((-(-side // stride) - 1) * stride + (size - 1) * dilation + 1 - side, 0)
        less, more = total // 2, total - total // 2
        pads[place], pads[rank + place] = (less, more) if auto == "SAME_UPPER" else (more, less)
    return pads


RULES: dict[str, Rule] = {"Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _max_pool,
                          "AveragePool": _average_pool}
