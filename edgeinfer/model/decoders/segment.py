"""What covers how much of the picture: arg-max maps, and maps of probabilities or logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from edgeinfer.errors import ConfigError, ManifestError, UnavailableError
from edgeinfer.model.decoders.masks import Window, encode, window_of
from edgeinfer.model.decoders.parameters import Count, Share, class_names, read, stricter
from edgeinfer.model.decoders.roles import describe, named, only, shape_of, size_of
from edgeinfer.model.decoders.scores import Scores
from edgeinfer.model.decoders.segment_maps import ClassMap, Independent, Layout, Maps, layouts_of
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Area, Mask, Region, Segmentation
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Parameters", "Segment"]

WHERE = "decoder segment"
_CV_16U, _CV_32S = 2, 4  # OpenCV's types, which never change
_CLASSES = 256  # of an arg-max map without labels
Cells = Annotated[int, msgspec.Meta(ge=0, le=1024)]


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``background``: the class that is nothing, never reported; none where each class has a map by itself: ``independent``,
    or the only one. Of those a cell belongs where its score is at least ``threshold``; ``logits``: before the sigmoid.

    ``min_area``: the least share of the picture of a class and of a region. ``mask``: cells on the longer side of a mask of
    each class, 0: none; at most ``max_runs`` run lengths for all of them together, else they are coarser.
    """

    background: int | None = 0
    independent: bool = False
    threshold: Share = 0.5
    logits: bool = False
    min_area: Share = 0.001
    max_classes: Count = 10
    max_regions: Count = 20
    mask: Cells = 0
    max_runs: Count = 1000
    output: str = ""


class Segment:
    """Shares and boxes are of the source frame: padding does not count, and what a crop left out is in no class. Regions are
    connected cells, corners count, by OpenCV, which a device with pictures has."""

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        self._extent, self._components = _vision()
        chosen = read(WHERE, parameters, Parameters)
        self._chosen = chosen
        self._output, layout = _find(chosen, outputs, labels)
        self._maps = self._made(outputs[self._output], layout, labels, threshold)
        most = min(chosen.max_classes, self._maps.classes)
        self._labels = np.empty(layout.height * layout.width, _dtype(layout.height, layout.width))
        self._window: tuple[Geometry, Window] | None = None
        self._result = Segmentation(rows=[Area(mask=Mask(counts=[]) if chosen.mask else None) for _ in range(most)],
                                    regions=[Region() for _ in range(chosen.max_regions)])

    def _made(self, spec: TensorSpec, layout: Layout, labels: Sequence[str], threshold: float | None) -> Maps:
        chosen = self._chosen
        classes = layout.channels or len(labels) or _CLASSES
        self._background = chosen.background
        if layout.channels == 1 or (layout.channels and chosen.independent):
            self.own_threshold = chosen.threshold
            self._background = None
            self._names = class_names(labels, classes, describe([spec]))
            least = stricter(chosen.threshold, threshold)
            return Independent(layout, classes, Scores(spec, WHERE, least, chosen.logits))
        if threshold is not None:
            raise ConfigError("threshold", "none: each cell has its best class", f"{threshold:g}", "remove threshold")
        if classes == 1 and chosen.background == 0:  # nothing would ever be found
            raise ManifestError("labels", f"a label for each class of {describe([spec])}, the background among them", "1 label",
                                "add a first line, 'background'; or, where class 0 is no background, background: null")
        if chosen.background is not None and not 0 <= chosen.background < classes:
            raise ManifestError(f"{WHERE}.background", f"a class from 0 to {classes - 1}", str(chosen.background))
        self._names = class_names(labels, classes, describe([spec]))
        return ClassMap(layout, classes, spec)

    @property
    def nbytes(self) -> int:
        runs = self._chosen.max_runs * 36 if self._chosen.mask else 0
        return self._maps.nbytes + self._labels.nbytes + runs

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Segmentation:
        """The same result each time."""
        if self._window is None or self._window[0] != geometry:
            self._window = geometry, window_of(geometry, self._maps.layout.height, self._maps.layout.width)
        window = self._window[1]
        self._maps.read(outputs[self._output])
        shares = self._maps.counts(window) * window.cell_share
        if self._background is not None:
            shares[self._background] = 0.0
        ranked = [index for index in np.argsort(-shares, kind="stable").tolist() if shares[index] >= self._least(window)]
        result = self._result
        result.count = min(len(ranked), len(result.rows))
        regions: list[tuple[float, int, list[int]]] = []
        for row, index in zip(result.rows, ranked, strict=False):
            row.index, row.label, row.area = index, self._names[index], min(float(shares[index]), 1.0)
            cells = self._maps.of(index, window)
            regions += self._regions(cells, index, window)
            if row.mask is not None:
                encode(cells, window.covers, row.mask, self._chosen.mask, self._chosen.max_runs // result.count)
        self._put(sorted(regions, key=lambda one: -one[0])[: len(result.regions)], window)
        return result

    def _least(self, window: Window) -> float:
        return max(self._chosen.min_area, window.cell_share / 2)  # at least one cell

    def _regions(self, cells: Array, index: int, window: Window) -> list[tuple[float, int, list[int]]]:
        """The largest connected ones: share, class, [left, top, width, height] in cells."""
        found = cells.view(np.uint8)
        left, top, width, height = self._extent(found)
        labels = self._labels.view(_dtype(height, width))[: height * width].reshape(height, width)
        kind = _CV_16U if labels.itemsize == 2 else _CV_32S
        stats = self._components(found[top : top + height, left : left + width], labels, connectivity=8, ltype=kind)[2][1:]
        stats[:, :2] += (left, top)
        shares = stats[:, 4] * window.cell_share
        order = np.lexsort((stats[:, 0], stats[:, 1], -stats[:, 4]))[: self._chosen.max_regions]  # of equal ones the upper first
        return [(float(shares[i]), index, stats[i, :4].tolist()) for i in order if shares[i] >= self._least(window)]

    def _put(self, regions: list[tuple[float, int, list[int]]], window: Window) -> None:
        left, top, right, bottom = window.covers
        wide, high = (right - left) / (window.right - window.left), (bottom - top) / (window.bottom - window.top)
        for row, (share, index, (x, y, width, height)) in zip(self._result.regions, regions, strict=False):
            row.index, row.label, row.area = index, self._names[index], min(share, 1.0)
            row.left, row.right = left + x * wide, min(left + (x + width) * wide, 1.0)
            row.top, row.bottom = top + y * high, min(top + (y + height) * high, 1.0)
        self._result.regions_count = len(regions)


def _dtype(height: int, width: int) -> type[np.uint16 | np.int32]:
    """Of labels of components: 16 bits, which are two or three times as fast, where each second cell of each second row, the most
    that there can be, has a number."""
    return np.uint16 if (height + 1) // 2 * ((width + 1) // 2) < 2**16 - 1 else np.int32


def _vision() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What finds the box around all cells, and the components."""
    try:
        import cv2
    except ImportError as error:
        raise UnavailableError(WHERE, "OpenCV, which finds the regions", str(error), "pip install 'edgeinfer[vision]'") from error
    return cv2.boundingRect, cv2.connectedComponentsWithStats


def _find(chosen: Parameters, outputs: Sequence[TensorSpec], labels: Sequence[str]) -> tuple[int, Layout]:
    """The output that is a map, and how it lies."""
    layouts = {}
    for index, spec in enumerate(outputs):
        size_of(WHERE, spec)
        integers = np.dtype(spec.dtype).kind in "iub" and spec.quantization is None
        layout = layouts_of(shape_of(spec), integers, len(labels))
        if layout is not None and min(layout.height, layout.width) > 1:
            layouts[index] = layout
    if chosen.output:
        index = named(f"{WHERE}.output", chosen.output, outputs)
        layouts = {index: layouts[index]} if index in layouts else {}
    wanted = "one output of a map, (1, height, width, classes), (1, classes, height, width) or (1, height, width) of classes"
    index = only(f"{WHERE}.output", wanted, list(layouts), outputs, 'name it: decoder.parameters.output: "NAME"')
    return index, layouts[index]
