"""Activations while calibrating, with the range that was chosen."""

from __future__ import annotations

from quantize.report import charts, units
from quantize.report.document import Document, Histogram
from quantize.report.html import Html, name, tag
from quantize.report.sections.parts import block, fold, lead

__all__ = ["section"]

_AT_ONCE = 6


def section(document: Document) -> Html | None:
    rows = document.histograms
    if not rows:
        return None
    shown, more = rows[:_AT_ONCE], rows[_AT_ONCE:]
    return block("histograms", "Activations and their ranges", lead(
        "What each activation held while calibrating (counts on a logarithmic scale), between the two lines the range "
        "that its integers span. A long thin tail makes every step coarser for the sake of a few values; what is cut off "
        "saturates."),
        _grid(shown), fold(f"{len(more)} more", _grid(more)) if more else None)


def _grid(rows: tuple[Histogram, ...]) -> Html:
    return tag("div", [_card(row) for row in rows], class_="small-charts")


def _card(row: Histogram) -> Html:
    seen = f"seen {units.ends(row.low, row.high)}, {units.share(row.clipped)} outside"
    chosen = tag("strong", units.ends(row.chosen_low, row.chosen_high))
    return tag("figure", tag("figcaption", name(row.name)), charts.histogram(row),
               tag("p", chosen, f" {row.method}" if row.method else None, tag("small", seen)))
