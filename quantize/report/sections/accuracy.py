"""Float and INT8 side by side, each figure with its interval."""

from __future__ import annotations

from quantize.metrics.metric import Figure
from quantize.report import charts, units
from quantize.report.document import Accuracy, Document, Run
from quantize.report.html import Html, tag
from quantize.report.sections.parts import Cell, block, lead, run_mark

__all__ = ["section"]


def section(document: Document) -> Html | None:
    accuracy = document.accuracy
    if accuracy is None or not accuracy.runs:
        return None
    names = list(dict.fromkeys(figure.name for run in accuracy.runs for figure in run.figures))
    groups = [_group(name, accuracy.runs) for name in names]
    heads = [tag("th", run_mark(index), " ", run.title, scope="col", role="columnheader", class_="num")
             for index, run in enumerate(accuracy.runs)]
    head = tag("tr", tag("th", "Metric", scope="col", role="columnheader"), heads, role="row")
    caption = tag("caption", "Figures of each model, with 95 % intervals", class_="unseen")
    made = tag("table", caption, tag("thead", head, role="rowgroup"), groups, role="table", class_="figures stack")
    return block("accuracy", "Accuracy", lead(_lead(accuracy)), made, _engines(accuracy))


def _lead(accuracy: Accuracy) -> str:
    where = f" from {accuracy.source}" if accuracy.source else ""
    basis = "against their labels" if accuracy.labelled else "without labels, so INT8 is measured against the float model"
    told = (f"Measured on {units.count(accuracy.samples, accuracy.what)}{where}, {basis}. Below each figure, and as a line "
            f"in the chart, its 95 % interval: what another draw of as many {accuracy.what} could have given.")
    if any(run.drops for run in accuracy.runs):
        told += (f" A drop compares the same {accuracy.what} in both models, so it is known better than the two figures it "
                 "lies between.")
    return told


def _group(name: str, runs: tuple[Run, ...]) -> Html:
    """The figures of one metric and the chart below them."""
    drops = [_find(run.drops, f"drop of {name}") for run in runs]
    figures = [_find(run.figures, name) for run in runs]
    if len(runs) > 1 and not any(drops):  # measured against float, so float has none
        figures[0] = None
    labels = [tag("span", run_mark(index), " ", run.title, class_="label", aria_hidden="true")
              for index, run in enumerate(runs)]
    cells = [tag("td", label, tag("div", _cell(figure, drop)), role="cell", class_="num")
             for label, figure, drop in zip(labels, figures, drops, strict=True)]
    first = tag("tr", tag("th", units.title(name), scope="row", role="rowheader"), cells, role="row")
    known = [figure for figure in figures if figure is not None]
    if not known:
        return tag("tbody", first, role="rowgroup")
    if not any(figure.low is not None for figure in known) and len(known) < 2:
        return tag("tbody", first, role="rowgroup")
    chart = charts.intervals(figures, [run.title for run in runs])
    return tag("tbody", first, tag("tr", tag("td", chart, colspan=len(runs) + 1, role="cell"), class_="drawn", role="row"),
               role="rowgroup")


def _cell(figure: Figure | None, drop: Figure | None) -> Cell:
    if figure is None:
        return tag("span", units.MISSING, class_="quiet")
    spread = units.interval(figure)
    return [tag("strong", units.figure(figure)), tag("small", spread) if spread else None,
            tag("small", _drop(drop), class_="drop") if drop else None]


def _drop(drop: Figure) -> str:
    spread = units.interval(drop)
    word = "drop" if drop.value >= 0 else "gain"
    size = units.quantity(abs(drop.value), drop.unit)
    if drop.value < 0 and spread and drop.low is not None and drop.high is not None:
        spread = units.interval(Figure(name="", value=-drop.value, low=-drop.high, high=-drop.low, unit=drop.unit))
    return f"{word} {size}" + (f" ({spread})" if spread else "")


def _engines(accuracy: Accuracy) -> Html | None:
    told = [tag("li", f"{run.title}: {run.runs_on}") for run in accuracy.runs if run.runs_on]
    return tag("ul", told, class_="quiet plain") if told else None


def _find(figures: tuple[Figure, ...], name: str) -> Figure | None:
    return next((figure for figure in figures if figure.name == name), None)
