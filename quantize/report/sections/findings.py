"""Sentences: what costs accuracy, what stays float, what a target cannot do, how good the calibration set is."""

from __future__ import annotations

from quantize.report import charts, units
from quantize.report.document import Cause, Document, Severity, TargetOperators
from quantize.report.html import Child, Html, name, tag
from quantize.report.sections.parts import badge, block, fold, lead, table

__all__ = ["calibration", "diagnosis", "islands", "operators"]

_NAMED = 4
_LISTED = 12


def diagnosis(document: Document) -> Html | None:
    if not document.diagnosis:
        return None
    return block("diagnosis", "Diagnosis", lead("What costs accuracy here, and what to do about it."),
                 tag("ul", [_cause(cause) for cause in document.diagnosis], class_="sentences"))


def _cause(cause: Cause) -> Html:
    named: list[Child] = []
    for tensor in cause.tensors[:_NAMED]:
        named += [", " if named else None, name(tensor)]
    if len(cause.tensors) > _NAMED:
        named.append(f" and {len(cause.tensors) - _NAMED} more")
    return _sentence(cause.severity, cause.sentence, cause.advice, named)


def _sentence(severity: Severity, sentence: str, advice: str, named: list[Child] | None = None) -> Html:
    where = tag("p", "In: ", named, class_="quiet") if named else None
    return tag("li", badge(severity), tag("div", tag("p", sentence), where,
                                          tag("p", advice, class_="advice") if advice else None))


def islands(document: Document) -> Html | None:
    rows = document.islands
    if rows is None:
        return None
    if not rows:
        return block("islands", "Float islands", lead("None: every operator computes in integers from end to end."))
    some_files = any(row.file for row in rows)
    subject = f"{len(rows)} operators compute" if len(rows) > 1 else "One operator computes"
    text = lead(f"{subject} in float between two conversions, which costs time on the way in and out.")
    head = ["Node", "Operator", *(["File"] if some_files else []), "Why"]
    cells = [[name(row.node), row.op, *([row.file or "all"] if some_files else []), row.reason] for row in rows]
    made = table("Float islands", head, cells[:_LISTED])
    more = fold(f"{len(cells) - _LISTED} more", table("More float islands", head, cells[_LISTED:]))
    return block("islands", "Float islands", text, made, more if len(cells) > _LISTED else None)


def operators(document: Document) -> Html | None:
    if not document.operators:
        return None
    return block("operators", "Operators on the target", lead(
        "What of the model each target computes in integers, and what leaves that path there."),
        [_target(row) for row in document.operators])


def _target(row: TargetOperators) -> Html:
    whole = row.integer + row.other
    told = f"{row.integer} of {units.count(whole, 'operators')} in integers"
    made = table(f"Operators that leave the INT8 path on {row.target}", ["Operator", "Nodes", "Why", "For example"],
                 [[one.op, str(one.count), one.reason, name(one.node) if one.node else units.MISSING]
                  for one in row.leaving], numeric=(1,))
    chart = charts.split(row.integer, whole, f"{row.target}: {told}")
    return tag("div", tag("h3", row.target), tag("p", told, class_="quiet"), chart,
               tag("p", row.note) if row.note else None, made if row.leaving else None, class_="target")


def calibration(document: Document) -> Html | None:
    found = document.calibration
    if found is None:
        return None
    how = f", ranges by {found.method}" if found.method else ""
    rows = [_sentence(finding.severity, finding.sentence, finding.hint) for finding in found.findings]
    return block("calibration", "Calibration set", lead(badge(found.severity), " ", found.sentence),
                 tag("p", units.count(found.samples, "samples"), " from ", name(found.source), how, ".", class_="quiet"),
                 tag("ul", rows, class_="sentences") if rows else None)
