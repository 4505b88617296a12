"""What was tried, one rung after the other, and what each was worth."""

from __future__ import annotations

from quantize.report import charts, units
from quantize.report.document import Document, Ladder, Rung
from quantize.report.html import Html, tag
from quantize.report.sections.parts import Cell, badge, block, lead, table
from quantize.report.svg import Scale

__all__ = ["section"]


def section(document: Document) -> Html | None:
    ladder = document.ladder
    if ladder is None or not ladder.rungs:
        return None
    measure = ladder.rungs[0].figure
    took = units.seconds(sum(rung.seconds for rung in ladder.rungs))
    kept = [rung.did for rung in ladder.rungs if rung.kept]
    bar = f" The bar is {units.quantity(ladder.bar, measure.unit)}, the dashed line." if ladder.bar is not None else ""
    text = lead(f"Each rung changes one thing, is measured by its {measure.name}, and stays where it helps. "
                f"{len(kept)} of {units.count(len(ladder.rungs), 'rungs')} stayed; together they took {took}.{bar}")
    scale = _scale(ladder)
    rows = [_row(index, rung, scale, ladder.bar) for index, rung in enumerate(ladder.rungs)]
    made = table("The recovery ladder", ["", "What was done", "Result", "", "Gain", "Time", ""], rows, numeric=(2, 4, 5),
                 first=1)
    return block("ladder", "The ladder", text, made, tag("p", ladder.ended, class_="quiet") if ladder.ended else None)


def _row(index: int, rung: Rung, scale: Scale, bar: float | None) -> list[Cell]:
    spread = units.interval(rung.figure)
    gain = units.MISSING if index == 0 else units.signed(rung.gain, _difference(rung.figure.unit))
    return [str(index + 1), [rung.did, tag("small", rung.why) if rung.why else None],
            [tag("strong", units.figure(rung.figure)), tag("small", spread) if spread else None],
            tag("div", charts.track(rung.figure, scale, bar, rung.kept), class_="track"), gain, units.seconds(rung.seconds),
            badge("good", "kept") if rung.kept else badge("note", "left")]


def _difference(unit: str) -> str:
    return "points" if unit == "%" else unit


def _scale(ladder: Ladder) -> Scale:
    figures = [rung.figure for rung in ladder.rungs]
    ends = [end for figure in figures for end in (figure.low, figure.high, figure.value) if end is not None]
    ends += [ladder.bar] if ladder.bar is not None else []
    room = 0.05 * (max(ends) - min(ends)) or 1.0
    return Scale(min(ends) - room, max(ends) + room)
