"""Inline SVG without a fixed size: x in per cent of the width there is, y in pixels.

Nothing is stretched, so text stays text and dots stay round, on a telephone and on paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from quantize.report.html import Child, Html, tag

__all__ = ["MARKS", "Scale", "line", "marker", "picture", "rectangle", "stretched", "text", "ticks"]

MARKS = ("ring", "dot", "diamond", "square")  # one for each run, so that colour is not all that tells them apart
_SHAPES = {"diamond": "M0-5.5 5.5 0 0 5.5-5.5 0z", "square": "M-4-4H4V4H-4z"}


class Scale(NamedTuple):
    """Values from ``low`` to ``high`` onto 0 to 100 per cent."""

    low: float
    high: float

    def fraction(self, value: float) -> float:
        """0..1, kept inside."""
        wide = self.high - self.low
        return min(max((value - self.low) / wide, 0.0), 1.0) if wide > 0 else 0.5

    def percent(self, value: float) -> str:
        return f"{100 * self.fraction(value):.2f}%"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most so many round numbers between the two: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    power = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    for factor in (1, 2, 5, 10, 20, 50):
        first, last = math.ceil(low / power / factor - 1e-9), math.floor(high / power / factor + 1e-9)
        if last - first < most:
            break
    return [round(index * factor * power, 12) + 0.0 for index in range(first, last + 1)]


def picture(height: float, *children: Child, label: str, class_: str = "") -> Html:
    """The element around a chart, as wide as its place. ``label``: what it shows, for who cannot see it."""
    return tag("svg", *children, class_=f"chart {class_}".strip(), width="100%", height=height, role="img", aria_label=label)


def line(x1: str, y1: float, x2: str, y2: float, class_: str) -> Html:
    return tag("line", x1=x1, y1=_short(y1), x2=x2, y2=_short(y2), class_=class_)


def rectangle(x: str, y: float, width: str, height: float, class_: str = "") -> Html:
    return tag("rect", x=x, y=_short(y), width=width, height=_short(max(height, 0.0)), class_=class_ or None)


def text(x: str, y: float, content: str, class_: str, anchor: str = "middle") -> Html:
    return tag("text", content, x=x, y=_short(y), class_=class_, text_anchor=anchor)


def marker(shape: str, x: str, y: float, class_: str) -> Html:
    """A dot, ring, diamond or square about 10 pixels wide, around the point."""
    if shape in ("dot", "ring"):
        return tag("circle", cx=x, cy=_short(y), r=4.5 if shape == "dot" else 4, class_=f"{class_} {shape}")
    return tag("svg", tag("path", d=_SHAPES[shape], class_=class_), x=x, y=_short(y), overflow="visible")


def stretched(height: float, width: float, shapes: Iterable[Html], label: str) -> Html:
    """A chart of areas and lines alone, drawn on ``width`` x 100 units and stretched over its place."""
    return tag("svg", *shapes, class_="chart", width="100%", height=height, viewBox=f"0 0 {_short(width)} 100",
               preserveAspectRatio="none", role="img", aria_label=label)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
