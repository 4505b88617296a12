"""Rows of a window, one for each frame of samples; those that the window before had are not computed again."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edgeinfer.model.frame import Frame
from edgeinfer.model.preprocess.features.levels import Levels, Plain
from edgeinfer.model.preprocess.features.spectrum import SpectrumRow
from edgeinfer.model.preprocess.features.statistics import StatisticsRow
from edgeinfer.model.preprocess.featurespec import Levelled, Spectral, StatisticsSpec
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array

__all__ = ["Framewise", "Row"]


class Row(Protocol):
    """From a frame's samples to the row that is remembered."""

    width: int
    nbytes: int

    def write(self, samples: Array, before: float, out: Array) -> None:
        """``samples`` (support,), any stride; ``before``: the sample before them (0 at the window's start)."""
        ...


class Framewise:
    """Features whose rows depend on their own frame alone, but for what ``levels`` does to all rows of a window."""

    def __init__(self, spec: WindowSpec) -> None:
        features = spec.features
        assert isinstance(features, Levelled | StatisticsSpec)
        self._row: Row = (StatisticsRow(features, spec.rate) if isinstance(features, StatisticsSpec)
                          else SpectrumRow(features, spec.rate))
        self._levels = (Levels(features, spec.rows * spec.channels) if isinstance(features, Levelled)
                        else Plain(spec.rows * spec.channels, features.width))
        self._step, self._support, self._channels = features.step, features.support, spec.channels
        self._starts = [index * features.step - features.pad for index in range(spec.rows)]
        self._edges = {row: _Edge(start, features.support, spec.length, features) for row, start in enumerate(self._starts)
                       if _at_an_edge(start, spec.length, features)}
        self._rows = np.zeros((spec.rows, spec.channels, self._row.width))
        self._position = -1
        self._breaks = 0
        self.nbytes = (self._rows.nbytes + self._row.nbytes + self._levels.nbytes
                       + sum(edge.nbytes for edge in self._edges.values()))

    def of(self, frame: Frame) -> Array:
        with np.errstate(all="ignore"):  # of a NaN or an infinity among the samples come more of them
            return self._of(frame)

    def _of(self, frame: Frame) -> Array:
        window = frame.view
        kept = self._kept(frame)
        if kept:
            self._rows[:kept] = self._rows[len(self._rows) - kept :]
        shift = len(self._rows) - kept
        for row, start in enumerate(self._starts):
            if row >= kept or row in self._edges or row + shift in self._edges:
                self._compute(window, row, start)
        return self._levels.of(self._rows, window).reshape(len(self._rows), -1)

    def _kept(self, frame: Frame) -> int:
        """How many rows at the end of the window before are at the beginning of this one."""
        moved, beside = divmod(frame.position - self._position, self._step)
        same = beside == 0 and frame.breaks == self._breaks and self._position >= 0 and 0 < moved < len(self._rows)
        self._position, self._breaks = frame.position, frame.breaks
        return len(self._rows) - moved if same else 0

    def forget(self) -> None:
        self._position = -1

    def _compute(self, window: Array, row: int, start: int) -> None:
        edge = self._edges.get(row)
        for channel in range(self._channels):
            if edge is not None:
                samples, before = edge.samples(window[:, channel])
            else:
                samples = window[start : start + self._support, channel]
                before = float(window[start - 1, channel]) if start else 0.0
            self._row.write(samples, before, self._rows[row, channel])


def _at_an_edge(start: int, length: int, features: Levelled | StatisticsSpec) -> bool:
    """Whether the row is another one where the same samples stand elsewhere in a window."""
    emphasised = isinstance(features, Spectral) and features.preemphasis != 0 and features.preemphasis_of == "window"
    return start < (1 if emphasised else 0) or start + features.support > length


class _Edge:
    """The samples of a frame that reaches beyond the window's ends, or begins at its start. Emphasised here already, since what
    is made up mirrors the emphasised signal."""

    def __init__(self, start: int, support: int, length: int, features: Levelled | StatisticsSpec) -> None:
        places = np.arange(start, start + support)
        inside = (places >= 0) & (places < length)
        reflect = isinstance(features, Spectral) and features.centre == "reflect"
        mirrored = np.abs(places)
        mirrored = np.where(mirrored >= length, 2 * (length - 1) - mirrored, mirrored)
        self._places = np.clip(mirrored if reflect else places, 0, length - 1)
        self._there = np.ones(support) if reflect else inside.astype(np.float64)
        self._emphasis = features.preemphasis if isinstance(features, Spectral) and features.preemphasis_of == "window" else 0.0
        self._before = np.maximum(self._places - 1, 0)
        self._follows = self._there * (self._places > 0) * self._emphasis
        self._samples = np.empty(support)
        self._other = np.empty(support)
        parts = (self._places, self._there, self._before, self._follows, self._samples, self._other)
        self.nbytes = sum(part.nbytes for part in parts)

    def samples(self, window: Array) -> tuple[Array, float]:
        """Emphasised: ``before`` is NaN, which says so."""
        np.multiply(window[self._places], self._there, out=self._samples)
        if self._emphasis:
            np.multiply(window[self._before], self._follows, out=self._other)
            np.subtract(self._samples, self._other, out=self._samples)
        return self._samples, np.nan
