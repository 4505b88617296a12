"""Typed results of decoders. Numbers, strings and booleans only: nothing here can hold a pixel.

A decoder allocates its result and its rows once and fills them anew for each frame; ``count`` says how many rows are
valid. Whoever keeps a result keeps what ``document()`` returns. All of it belongs to the inference thread.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Anomaly", "Area", "Box", "Classes", "Detections", "Identity", "Keypoint", "Label", "Mask", "Raw", "Region",
           "Regression", "Result", "Segmentation", "Text"]


class Result(msgspec.Struct):
    """What every task's result answers. Subclasses name their task."""

    def score(self) -> float:
        """The figure that a gate's minimum compares; 0 when there is nothing."""
        raise NotImplementedError

    def state(self) -> str:
        """What 'on change' compares: two results with the same state tell the same story."""
        raise NotImplementedError

    def document(self) -> dict[str, Any]:
        """The result as plain JSON values, for a payload. Allocates; called only for what is published."""
        raise NotImplementedError


class Label(msgspec.Struct):
    """One class: ``index`` into the labels, its name, its score 0..1."""

    index: int = 0
    label: str = ""
    score: float = 0.0


class Classes(Result):
    """The best classes, best first: ``rows[:count]``."""

    rows: list[Label]
    count: int = 0

    def score(self) -> float:
        return self.rows[0].score if self.count else 0.0

    def state(self) -> str:
        return self.rows[0].label if self.count else ""

    def document(self) -> dict[str, Any]:
        best = [{"label": row.label, "index": row.index, "score": round(row.score, 4)} for row in self.rows[: self.count]]
        return {"classes": best}


class Keypoint(msgspec.Struct):
    """A point in fractions of the source frame, origin top left. ``score`` 0..1, None where the model gives none."""

    name: str = ""
    x: float = 0.0
    y: float = 0.0
    score: float | None = None

    def document(self) -> list[float]:
        """[x, y] or [x, y, score]."""
        at = [round(self.x, 4), round(self.y, 4)]
        return at if self.score is None else [*at, round(self.score, 3)]


class Mask(msgspec.Struct):
    """Which cells of a grid belong to something. The grid covers left..right and top..bottom of the source frame (fractions).

    ``counts`` are COCO's uncompressed run lengths: column by column, how many cells do not belong, then how many do, and so
    on. Empty: no mask.
    """

    height: int = 0
    width: int = 0
    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0
    counts: list[int] = []

    def document(self) -> dict[str, Any]:
        """``size`` and ``counts`` as pycocotools.mask.frPyObjects takes them, and the ``box`` that the grid covers."""
        return {"size": [self.height, self.width], "box": _rounded(self.left, self.top, self.right, self.bottom),
                "counts": list(self.counts)}


class Box(msgspec.Struct):
    """One detection. The box is in fractions of the source frame, 0..1, origin top left.

    ``keypoints`` of those that have a pose or a face's features, ``mask`` of those that have an outline; else empty.
    ``area`` is the mask's, as a share of the source frame.
    """

    index: int = 0
    label: str = ""
    score: float = 0.0
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    keypoints: list[Keypoint] = []
    mask: Mask | None = None
    area: float | None = None

    def document(self) -> dict[str, Any]:
        """As a payload has it."""
        row: dict[str, Any] = {"label": self.label, "index": self.index, "score": round(self.score, 4),
                               "box": _rounded(self.left, self.top, self.right, self.bottom)}
        if self.keypoints:
            named = bool(self.keypoints[0].name)
            row["keypoints"] = ({point.name: point.document() for point in self.keypoints} if named
                                else [point.document() for point in self.keypoints])
        if self.area is not None:
            row["area"] = round(self.area, 5)
        if self.mask is not None and self.mask.counts:
            row["mask"] = self.mask.document()
        return row


def _rounded(*values: float) -> list[float]:
    return [round(value, 4) for value in values]


class Detections(Result):
    """What was found, best first: ``rows[:count]``."""

    rows: list[Box]
    count: int = 0

    def score(self) -> float:
        return self.rows[0].score if self.count else 0.0

    def state(self) -> str:
        tally: dict[str, int] = {}
        for row in self.rows[: self.count]:
            tally[row.label] = tally.get(row.label, 0) + 1
        return ",".join(f"{label}:{tally[label]}" for label in sorted(tally))

    def document(self) -> dict[str, Any]:
        return {"count": self.count, "detections": [row.document() for row in self.rows[: self.count]]}


class Region(msgspec.Struct):
    """One connected patch of a class: its share of the source frame, and its box in fractions of it."""

    index: int = 0
    label: str = ""
    area: float = 0.0
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0


class Area(msgspec.Struct):
    """One class of a segmentation: its share of the source frame, and its mask where the bundle asks for masks."""

    index: int = 0
    label: str = ""
    area: float = 0.0
    mask: Mask | None = None


class Segmentation(Result):
    """What covers how much of the frame, the largest first: ``rows[:count]``, and their patches ``regions[:regions_count]``."""

    rows: list[Area]
    regions: list[Region]
    count: int = 0
    regions_count: int = 0

    def score(self) -> float:
        return self.rows[0].area if self.count else 0.0

    def state(self) -> str:
        return ",".join(sorted(row.label for row in self.rows[: self.count]))

    def document(self) -> dict[str, Any]:
        areas = [{"label": row.label, "index": row.index, "area": round(row.area, 5)} for row in self.rows[: self.count]]
        regions = [{"label": row.label, "index": row.index, "area": round(row.area, 5),
                    "box": _rounded(row.left, row.top, row.right, row.bottom)} for row in self.regions[: self.regions_count]]
        masks = [{"label": row.label, "index": row.index, **row.mask.document()} for row in self.rows[: self.count]
                 if row.mask is not None and row.mask.counts]
        return {"areas": areas, "regions": regions, **({"masks": masks} if masks else {})}


class Identity(Result):
    """Who or what it is, of those enrolled on the device: the ``name`` that is most alike, "unknown" below the threshold.

    ``similarity`` is the cosine to that name's average, -1..1. ``embedding`` is empty unless the bundle says that it may leave.
    """

    name: str = "unknown"
    known: bool = False
    similarity: float = 0.0
    embedding: list[float] = []

    def score(self) -> float:
        return self.similarity if self.known else 0.0

    def state(self) -> str:
        return self.name

    def document(self) -> dict[str, Any]:
        said: dict[str, Any] = {"name": self.name, "known": self.known, "similarity": round(self.similarity, 4)}
        if self.embedding:
            said["embedding"] = [round(value, 5) for value in self.embedding]
        return said


class Text(Result):
    """What is written, "" where nothing is; ``confidence`` 0..1 is the mean of its characters'."""

    text: str = ""
    confidence: float = 0.0

    def score(self) -> float:
        return self.confidence

    def state(self) -> str:
        return self.text

    def document(self) -> dict[str, Any]:
        return {"text": self.text, "score": round(self.confidence, 4)}


class Anomaly(Result):
    """How far from normal: ``value`` in the model's own unit, anomalous when above ``threshold``."""

    value: float = 0.0
    threshold: float = 0.0

    def score(self) -> float:
        return self.value

    def state(self) -> str:
        return "anomaly" if self.value > self.threshold else "normal"

    def document(self) -> dict[str, Any]:
        return {"anomalous": self.value > self.threshold, "score": round(self.value, 6), "threshold": self.threshold}


class Regression(Result):
    """Named real values, in the model's units."""

    names: tuple[str, ...]
    values: list[float]

    def score(self) -> float:
        return self.values[0] if self.values else 0.0

    def state(self) -> str:
        return ",".join(f"{value:.3g}" for value in self.values)

    def document(self) -> dict[str, Any]:
        return {"values": {name: round(value, 6) for name, value in zip(self.names, self.values, strict=True)}}


class Raw(Result):
    """Dequantised output tensors as flat lists of numbers, for a consumer that decodes by itself; capped by the payload."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    values: list[list[float]]

    def score(self) -> float:
        return max((max(tensor, default=0.0) for tensor in self.values), default=0.0)

    def state(self) -> str:
        return ""

    def document(self) -> dict[str, Any]:
        return {"tensors": {name: {"shape": list(shape), "data": [round(value, 6) for value in data]}
                            for name, shape, data in zip(self.names, self.shapes, self.values, strict=True)}}
