"""The samples on which INT8 is furthest from float, with what each model says of them."""

from __future__ import annotations

import base64
import re

from quantize.report import charts, units
from quantize.report.document import Document, Sample
from quantize.report.html import Html, name, tag
from quantize.report.sections.parts import block, lead

__all__ = ["section"]

_SCORE = re.compile(r"\s+\d*\.\d+$")  # "tabby 0.42": the label is what counts; "class 722" has none


def section(document: Document) -> Html | None:
    if not document.worst:
        return None
    what = document.accuracy.what if document.accuracy else "samples"
    changed = sum(_changes(sample) for sample in document.worst)
    says = ("the answer changes on none of them" if not changed else
            f"the answer changes on {'all' if changed == len(document.worst) else changed} of them")
    cards = [_card(sample, what) for sample in document.worst]
    listed = units.count(len(cards), what)
    text = f"The {listed} on which INT8's outputs are furthest from float's, the furthest first; {says}."
    return block("worst", f"Worst {what}", lead(text), tag("ol", cards, class_="cards", role="list"))


def _card(sample: Sample, what: str) -> Html:
    said = list(sample.answers.items())
    rows = [tag("div", tag("dt", title), tag("dd", answer, " " if _differs(sample, title) else None,
                                             tag("b", "differs") if _differs(sample, title) else None),
                class_="changed" if _differs(sample, title) else None) for title, answer in said]
    truth = tag("div", tag("dt", "Label"), tag("dd", sample.truth), class_="truth") if sample.truth else None
    told = f"{units.decibels(sample.sqnr_db)} signal to noise"
    return tag("li", _shown(sample, what), tag("p", name(sample.name), tag("small", told), class_="title"),
               tag("dl", truth, rows), class_="card")


def _shown(sample: Sample, what: str) -> Html | None:
    if sample.image:
        data = base64.b64encode(sample.image).decode()
        return tag("img", src=f"data:image/jpeg;base64,{data}", alt=f"{what[:-1] or 'sample'} {sample.name}")
    if len(sample.signal) > 1:
        return charts.curve(sample.signal, f"signal of {sample.name}")
    return None


def _changes(sample: Sample) -> bool:
    return any(_differs(sample, title) for title in sample.answers)


def _differs(sample: Sample, title: str) -> bool:
    """Whether a run's label is not that of the first, float."""
    first = next(iter(sample.answers.values()))
    return _SCORE.sub("", sample.answers[title]) != _SCORE.sub("", first)
