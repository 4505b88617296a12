"""Typed results of decoders. Numbers, strings and booleans only: nothing here can hold a pixel.

A decoder allocates its result and its rows once and fills them anew for each frame; ``count`` says how many rows are
valid. Whoever keeps a result keeps what ``document()`` returns. All of it belongs to the inference thread.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Anomaly", "Box", "Classes", "Detections", "Label", "Raw", "Regression", "Result"]


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


class Box(msgspec.Struct):
    """One detection. The box is in fractions of the source frame, 0..1, origin top left."""

    index: int = 0
    label: str = ""
    score: float = 0.0
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0


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
        found = [
            {"label": row.label, "index": row.index, "score": round(row.score, 4),
             "box": [round(row.left, 4), round(row.top, 4), round(row.right, 4), round(row.bottom, 4)]}
            for row in self.rows[: self.count]
        ]
        return {"count": self.count, "detections": found}


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
