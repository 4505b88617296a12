"""What covers which cell of a map: one class each, or each class by itself. In the stored values, nothing is dequantised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.model.decoders.masks import Window
from edgeinfer.model.decoders.scores import Scores
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["ClassMap", "Independent", "Layout", "Maps", "layouts_of"]


class Layout:
    """How an output lies: (height, width), and channels before or after them; 0 channels: the cells are classes already."""

    def __init__(self, height: int, width: int, channels: int, channels_first: bool) -> None:
        self.height, self.width, self.channels, self.channels_first = height, width, channels, channels_first

    def channel(self, stored: Array, index: int) -> Array:
        """(height, width) of one channel, a view."""
        if self.channels_first or not self.channels:
            view: Array = stored.reshape(-1, self.height, self.width)[index]
        else:
            view = stored.reshape(self.height, self.width, self.channels)[:, :, index]
        return view


class Maps:
    """The common of both kinds: ``read`` a frame's output once, then ask. Made once; used by the inference thread."""

    def __init__(self, layout: Layout, classes: int) -> None:
        self.layout, self.classes = layout, classes
        self.cells = np.empty((layout.height, layout.width), np.bool_)

    def read(self, stored: Array) -> None:
        raise NotImplementedError

    def counts(self, window: Window) -> Array:
        """(classes,): cells of each class within the window."""
        raise NotImplementedError

    def of(self, index: int, window: Window) -> Array:
        """(rows, columns) bool of the window: the cells of one class. Overwritten by the next call."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        return self.cells.nbytes


class ClassMap(Maps):
    """Each cell has one class: an arg-max map as it is, or the best of the channels, of equal ones the lower. The scores of one
    tensor have one scale, so the best stored value is the best score, before or after a softmax."""

    def __init__(self, layout: Layout, classes: int, spec: TensorSpec) -> None:
        super().__init__(layout, classes)
        shape = (layout.height, layout.width)
        self._map = np.empty(shape, np.intp)
        # of two channels comparing is faster, and along the first side argmax would make a transposed copy of all
        self._by_argmax = layout.channels > 2 and not layout.channels_first
        self._best = np.empty((0, 0) if self._by_argmax or not layout.channels else shape, spec.dtype)
        self._window = np.empty(layout.height * layout.width, np.intp)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._map.nbytes + self._best.nbytes + self._window.nbytes

    def read(self, stored: Array) -> None:
        first = self.layout.channel(stored, 0)
        if not self.layout.channels:
            np.copyto(self._map, first, casting="unsafe")
            self._map[(self._map < 0) | (self._map > self.classes)] = self.classes  # no class at all
            return
        if self._by_argmax:
            np.argmax(stored.reshape(*self._map.shape, -1), axis=2, out=self._map)
            return
        self._map[:] = 0
        self._best[:] = first
        for index in range(1, self.layout.channels):
            channel = self.layout.channel(stored, index)
            np.greater(channel, self._best, out=self.cells)
            np.copyto(self._best, channel, where=self.cells)
            self._map[self.cells] = index

    def counts(self, window: Window) -> Array:
        part = self._map[window.top : window.bottom, window.left : window.right]
        flat = self._window[: part.size]
        flat.reshape(part.shape)[:] = part
        return np.bincount(flat, minlength=self.classes + 1)[: self.classes]

    def of(self, index: int, window: Window) -> Array:
        part = self._map[window.top : window.bottom, window.left : window.right]
        return np.equal(part, index, out=self.cells[: part.shape[0], : part.shape[1]])


class Independent(Maps):
    """Each channel is a class by itself: the cells whose score reaches the threshold."""

    def __init__(self, layout: Layout, classes: int, scores: Scores) -> None:
        super().__init__(layout, classes)
        self._scores = scores
        self._all = np.empty((classes, layout.height, layout.width), np.bool_)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._all.nbytes

    def read(self, stored: Array) -> None:
        for index in range(self.classes):
            np.greater_equal(self.layout.channel(stored, index), self._scores.limit, out=self._all[index])

    def counts(self, window: Window) -> Array:
        counts: Array = np.count_nonzero(self._all[:, window.top : window.bottom, window.left : window.right], axis=(1, 2))
        return counts

    def of(self, index: int, window: Window) -> Array:
        view: Array = self._all[index, window.top : window.bottom, window.left : window.right]
        return view


def layouts_of(shape: Sequence[int], integers: bool, labels: int) -> Layout | None:
    """How an output of that shape (without its batch) lies; None where it is no map.

    Two sides, or a third of 1 in a tensor of integers: classes. Else the side of as many channels as labels, or the smallest.
    """
    sides = tuple(shape)
    if len(sides) == 2:
        return Layout(*sides, 0 if integers else 1, True)
    if len(sides) != 3:
        return None
    if integers and 1 in (sides[0], sides[2]):
        return Layout(*(sides[1:] if sides[0] == 1 else sides[:2]), 0, True)
    told = labels in (sides[0], sides[2]) and sides[0] != sides[2]
    first = sides[0] == labels if told else sides[0] < sides[2]
    return Layout(*((*sides[1:], sides[0], True) if first else (*sides[:2], sides[2], False)))
