"""A layer as linear regression: its weights as matrices, what it reads as columns, and second moments of those columns.

A Conv, ConvTranspose or Gemm computes y = W x + b with W of (groups, outputs, inputs) and x of (groups, inputs) at each of its
output positions; a depthwise Conv has a group for each channel. A ConvTranspose is a Conv over its input with zeros put
between the values and with mirrored weights.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node

__all__ = ["Layer", "Moments"]

_ALL = [slice(None), slice(None)]  # samples and channels


class Layer:
    """The linear view of a Conv, ConvTranspose or Gemm node whose weights are constant."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.node = node
        self._sides = graph.shapes[node.inputs[1]]
        self._output = graph.shapes[node.name]
        self.groups = int(node.attributes.get("group", 1))

    @property
    def inputs(self) -> int:
        """Columns of a group's matrix."""
        sides = self._sides
        first = sides[0] // self.groups if self.node.op == "ConvTranspose" else sides[1]
        return first * int(np.prod(sides[2:], dtype=np.int64))

    @property
    def positions(self) -> int:
        """Output positions of one sample."""
        return int(np.prod(self._output, dtype=np.int64)) // self._output[1]

    def matrix(self, weights: Array) -> Array:
        """(groups, outputs, inputs) of weights as the node has them."""
        if self.node.op == "ConvTranspose":
            grouped = weights.reshape(self.groups, -1, *weights.shape[1:])
            weights = np.flip(np.swapaxes(grouped, 1, 2), tuple(range(3, grouped.ndim)))
            return weights.reshape(self.groups, weights.shape[1], -1)
        return weights.reshape(self.groups, weights.shape[0] // self.groups, -1)

    def weights(self, matrix: Array) -> Array:
        """Weights as the node has them; the way back from ``matrix``."""
        if self.node.op == "ConvTranspose":
            sides = self._sides
            grouped = matrix.reshape(self.groups, sides[1], sides[0] // self.groups, *sides[2:])
            return np.flip(np.swapaxes(grouped, 1, 2), tuple(range(3, grouped.ndim))).reshape(sides)
        return matrix.reshape(self._sides)

    def rows(self, values: Array) -> Array:
        """One number per output channel, as (groups, outputs)."""
        return values.reshape(self.groups, -1)

    def columns(self, x: Array, most: int, turn: int = 0) -> Array:
        """(groups, inputs, positions) of float32: what the layer reads at no more than about ``most`` positions, which lie
        on a lattice; ``turn`` moves it, so that samples do not all show the same positions."""
        if self.node.op == "Gemm":
            step = max(1, -(-x.shape[0] // most))
            return np.ascontiguousarray(x[turn % step :: step].T)[None]
        at = self.node.attributes
        kernel, rank = self._sides[2:], len(self._sides) - 2
        pads, strides, dilations = list(at["pads"]), list(at["strides"]), list(at["dilations"])
        if self.node.op == "ConvTranspose":
            x, pads = _spread(x, kernel, pads, strides, dilations, list(at.get("output_padding", [0] * rank)))
            strides = [1] * rank
        if any(pad > 0 for pad in pads):
            x = np.pad(x, [(0, 0), (0, 0)] + [(max(0, pads[axis]), max(0, pads[axis + rank])) for axis in range(rank)])
        cut = [slice(max(0, -pads[axis]), x.shape[axis + 2] - max(0, -pads[axis + rank])) for axis in range(rank)]
        x = x[tuple(_ALL + cut)]
        windows = tuple((side - 1) * dilation + 1 for side, dilation in zip(kernel, dilations, strict=True))
        step = max(1, int(np.ceil((self.positions / most) ** (1 / rank))))
        view = sliding_window_view(x, windows, tuple(range(2, 2 + rank)))
        lattice = [slice((turn * odd) % step * stride, None, step * stride)
                   for odd, stride in zip((7, 5, 3), strides, strict=False)]
        inside = [slice(None, None, dilation) for dilation in dilations]
        view = view[tuple(_ALL + lattice + inside)]
        order = [1, *range(2 + rank, 2 + 2 * rank), 0, *range(2, 2 + rank)]
        return np.ascontiguousarray(view.transpose(order)).reshape(self.groups, self.inputs, -1)


def _spread(x: Array, kernel: tuple[int, ...], pads: list[int], strides: list[int], dilations: list[int],
            more: list[int]) -> tuple[Array, list[int]]:
    """Input with zeros between its values, and the pads with which a Conv over it does what the ConvTranspose does."""
    rank = len(kernel)
    wide = np.zeros((*x.shape[:2], *((side - 1) * stride + 1 for side, stride in zip(x.shape[2:], strides, strict=True))), x.dtype)
    wide[tuple(_ALL + [slice(None, None, stride) for stride in strides])] = x
    reach = [(side - 1) * dilation for side, dilation in zip(kernel, dilations, strict=True)]
    before = [reach[axis] - pads[axis] for axis in range(rank)]
    after = [reach[axis] - pads[axis + rank] + more[axis] for axis in range(rank)]
    return wide, before + after


class Moments:
    """Means of a layer's columns in the float network (``mean_float``) and in its quantised twin (``mean``), (groups,
    inputs), and their centred second moments: ``own`` = E[q q'] and ``cross`` = E[f q'], (groups, inputs, inputs), float64."""

    def __init__(self, layer: Layer, positions: int, second: bool = True) -> None:
        """``positions``: of each sample, at most about so many. ``second``: False for means alone."""
        self._layer, self._positions, self._second = layer, positions, second
        shape = (layer.groups, layer.inputs)
        self.samples = self.count = 0
        self._centre: Array = np.zeros((*shape, 1), np.float32)  # near the mean, so that float32 products lose nothing
        self._sums = np.zeros((2, *shape))
        self._own, self._cross = (np.zeros((*shape, layer.inputs if second else 0)) for _ in range(2))

    def add(self, reals: Array, rounded: Array) -> None:
        """One sample: the layer's input in both networks."""
        floats = self._layer.columns(reals, self._positions, self.samples)
        stored = self._layer.columns(rounded, self._positions, self.samples)
        if not self.samples:
            self._centre = stored.mean(2, keepdims=True)
        floats, stored = floats - self._centre, stored - self._centre
        self.samples += 1
        self.count += floats.shape[2]
        self._sums += floats.sum(2), stored.sum(2)
        if self._second:
            turned = stored.transpose(0, 2, 1)
            self._own += stored @ turned
            self._cross += floats @ turned

    @property
    def mean_float(self) -> Array:
        mean: Array = self._sums[0] / self.count + self._centre[:, :, 0]
        return mean

    @property
    def mean(self) -> Array:
        mean: Array = self._sums[1] / self.count + self._centre[:, :, 0]
        return mean

    @property
    def own(self) -> Array:
        return self._centred(self._own, 1)

    @property
    def cross(self) -> Array:
        return self._centred(self._cross, 0)

    def _centred(self, sums: Array, first: int) -> Array:
        left, right = self._sums[first] / self.count, self._sums[1] / self.count
        centred: Array = sums / self.count - left[:, :, None] * right[:, None, :]
        return centred
