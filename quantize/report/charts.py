"""The charts of the page."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from quantize.compare import TensorComparison
from quantize.metrics.metric import Figure
from quantize.report import units
from quantize.report.document import Histogram
from quantize.report.html import Html, tag
from quantize.report.svg import MARKS, Scale, line, marker, picture, rectangle, stretched, text, ticks

__all__ = ["bar", "curve", "histogram", "intervals", "layers", "split", "track"]

_TALL = 220.0  # of the layer chart, pixels
_SHOWN_DB = 70.0  # a tensor that is better than that is drawn as high as this


def intervals(figures: Sequence[Figure | None], titles: Sequence[str]) -> Html:
    """One row for each run: its figure as a mark, its 95 % interval as a line, over one axis."""
    known = [figure for figure in figures if figure is not None]
    scale, unit = _around(known), known[0].unit
    shapes = []
    bottom = 16.0 * len(figures) + 6
    for tick in ticks(scale.low, scale.high):
        x = scale.percent(tick)
        shapes += [line(x, 0, x, bottom, "grid"), text(x, bottom + 15, units.tick(tick, unit), "tick")]
    for row, (figure, title) in enumerate(zip(figures, titles, strict=True)):
        if figure is not None:
            shapes.append(_measured(figure, scale, 16.0 * row + 11, row, title))
    told = "; ".join(f"{title} {units.figure(figure)}{_in(figure)}"
                     for figure, title in zip(figures, titles, strict=True) if figure is not None)
    return picture(bottom + 22, *shapes, label=f"{known[0].name}: {told}", class_="ranges")


def track(figure: Figure, scale: Scale, bar: float | None, kept: bool) -> Html:
    """One figure on an axis that it shares with others, and the bar that it should reach."""
    shapes = [line("0%", 11, "100%", 11, "grid")]
    if bar is not None:
        shapes.append(line(scale.percent(bar), 0, scale.percent(bar), 22, "goal"))
    if figure.low is not None and figure.high is not None:
        shapes.append(line(scale.percent(figure.low), 11, scale.percent(figure.high), 11, f"spread run{1 if kept else 0}"))
    shapes.append(marker("dot" if kept else "ring", scale.percent(figure.value), 11, f"run{1 if kept else 0}"))
    label = f"{units.figure(figure)}{_in(figure)}" + ("" if bar is None else f", bar {units.quantity(bar, figure.unit)}")
    return picture(22, *shapes, label=label, class_="ranges")


def _measured(figure: Figure, scale: Scale, y: float, row: int, title: str) -> Html:
    run = f"run{row % len(MARKS)}"
    shapes = [marker(MARKS[row % len(MARKS)], scale.percent(figure.value), y, run)]
    if figure.low is not None and figure.high is not None:
        shapes.insert(0, line(scale.percent(figure.low), y, scale.percent(figure.high), y, f"spread {run}"))
    return tag("g", tag("title", f"{title}: {units.figure(figure)}{_in(figure)}"), *shapes)


def _around(figures: Sequence[Figure]) -> Scale:
    """An axis with some room at both ends."""
    ends = [end for figure in figures for end in (figure.low, figure.high, figure.value) if end is not None]
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low) or 0.01 * max(abs(high), 1.0)
    return Scale(low - room, high + room)


def _in(figure: Figure) -> str:
    spread = units.interval(figure)
    return f" ({spread})" if spread else ""


def layers(rows: Sequence[TensorComparison], worst: Collection[int]) -> Html:
    """The signal to noise of each tensor as a bar, in order; the ``worst`` (indices, worst first) are numbered."""
    ranks = {index: rank + 1 for rank, index in enumerate(worst)}
    heights = [min(max(row.sqnr_db, 0.0), _SHOWN_DB) for row in rows]
    top = max(10.0, math.ceil(max(heights) / 10) * 10)
    levels = ticks(0, top)
    bottom = _TALL - 6
    scale = Scale(0, top)

    def y(decibels: float) -> float:
        return bottom - (bottom - 18) * scale.fraction(decibels)

    axis = [text("100%", y(level) + 4, f"{level:.0f}", "tick", "end") for level in levels]
    shapes = [line("0%", y(level), "100%", y(level), "grid" if level else "floor") for level in levels]
    step = 100 / len(rows)
    for index, (row, height) in enumerate(zip(rows, heights, strict=True)):
        left, rank = index * step, ranks.get(index)
        bar = rectangle(f"{left + 0.12 * step:.3f}%", y(height), f"{0.76 * step:.3f}%", max(bottom - y(height), 1.5),
                        _kind(row, rank))
        hover = tag("title", f"{index + 1}. {row.name} ({row.op}): {units.decibels(row.sqnr_db)}")
        number = text(f"{left + step / 2:.3f}%", y(height) - 5, str(rank), "rank") if rank else None
        area = rectangle(f"{left:.3f}%", 0, f"{step:.3f}%", _TALL, "area")
        shapes.append(tag("g", hover, area, bar, number))
    lowest = min(rows, key=lambda row: row.sqnr_db)
    label = (f"Signal to noise of {units.count(len(rows), 'tensors')} in order of computation; the lowest is {lowest.name} "
             f"with {units.decibels(lowest.sqnr_db)}")
    return tag("div", tag("svg", *axis, class_="chart axis", width=22, height=_TALL, aria_hidden="true"),
               picture(_TALL, *shapes, label=label, class_="layers"), class_="plot")


def _kind(row: TensorComparison, rank: int | None) -> str:
    if rank:
        return "worst"
    return {"float32": "kept-float", "int16": "wide"}.get(row.dtype, "plain")


def histogram(values: Histogram) -> Html:
    """Counts on a logarithmic scale, with what lies outside the chosen range shaded."""
    scale = Scale(min(values.low, values.chosen_low), max(values.high, values.chosen_high))
    most = math.log1p(max(values.counts, default=0)) or 1.0
    width = (values.high - values.low) / max(len(values.counts), 1)
    points = []
    for index, count in enumerate(values.counts):
        y = 100 - 96 * math.log1p(count) / most
        left, right = (1000 * scale.fraction(values.low + place * width) for place in (index, index + 1))
        points.append(f"L{left:.1f} {y:.1f}H{right:.1f}")
    start, end = (1000 * scale.fraction(value) for value in (values.low, values.high))
    low, high = (1000 * scale.fraction(value) for value in (values.chosen_low, values.chosen_high))
    shapes = [tag("rect", x=0, y=0, width=f"{low:.1f}", height=100, class_="outside"),
              tag("rect", x=f"{high:.1f}", y=0, width=f"{max(1000 - high, 0):.1f}", height=100, class_="outside"),
              tag("path", d=f"M{start:.1f} 100{''.join(points)}L{end:.1f} 100z", class_="counts"),
              *(tag("path", d=f"M{x:.1f} 0V100", class_="chosen") for x in (low, high))]
    label = (f"{values.name}: values from {units.ends(values.low, values.high)}, chosen "
             f"{units.ends(values.chosen_low, values.chosen_high)}")
    return stretched(84, 1000, shapes, label)


def curve(values: Sequence[float], label: str) -> Html:
    """A window of a signal."""
    scale = Scale(min(values), max(values))
    points = " ".join(f"{index},{96 - 92 * scale.fraction(value):.1f}" for index, value in enumerate(values))
    return stretched(120, max(len(values) - 1, 1), [tag("polyline", points=points, class_="signal")], label)


def bar(value: float, most: float, class_: str, label: str) -> Html:
    """A quantity against the largest of its kind."""
    width = max(100 * value / most, 0.5) if most > 0 else 0.5
    return picture(8, rectangle("0%", 0, "100%", 8, "trough"), rectangle("0%", 0, f"{width:.2f}%", 8, class_), label=label,
                   class_="bar")


def split(part: int, whole: int, label: str) -> Html:
    """How much of a whole is integer."""
    width = 100 * part / whole if whole else 0.0
    return picture(8, rectangle("0%", 0, "100%", 8, "other"), rectangle("0%", 0, f"{width:.2f}%", 8, "run1"), label=label,
                   class_="bar")
