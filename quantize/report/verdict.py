"""The verdict in one sentence: which bar, which figures, passed or not."""

from __future__ import annotations

from collections.abc import Sequence

from quantize.compare import Parity
from quantize.metrics.metric import Figure
from quantize.report import units
from quantize.report.document import Accuracy, Outcome, Run, Verdict

__all__ = ["judge"]

_WITHIN = 1e-9  # so that a bar of 1 point is met by 1 point


def judge(accuracy: Accuracy, max_drop: float | None = None, parity: Parity | None = None,
          min_parity: float | None = None) -> Verdict:
    """Weigh the INT8 runs of ``accuracy`` (all after the first) by their leading metric, and the parity of the files.

    ``max_drop``: how much of the leading metric may be lost, in its unit; without labels, how far its agreement with float
    may be from 100 %. ``min_parity``: per cent of samples on which both files give one answer. The figures themselves are
    weighed, not the ends of their intervals. Raises RuntimeError where there is no INT8 run.
    """
    runs = accuracy.runs[1:]
    if not runs:
        raise RuntimeError("a verdict needs an INT8 run")
    passed, sentence = _with_labels(accuracy, max_drop) if runs[0].drops else _without(accuracy, max_drop)
    reasons = _undecided(accuracy, max_drop)
    if parity is not None and parity.agreement is not None and min_parity is not None:
        alike = parity.agreement.value >= min_parity - _WITHIN
        reasons.append(f"The INT8 files give the same answer on {units.figure(parity.agreement)} of the {accuracy.what}; "
                       f"{units.quantity(min_parity, '%')} {'were asked for' if alike else 'are needed'}.")
        passed = passed and alike
    outcome: Outcome = "passed" if passed else "missed"
    if passed and max_drop is None:
        outcome = "measured" if runs[0].drops else "unlabelled"
    return Verdict(outcome=outcome, sentence=sentence, reasons=tuple(reasons))


def _with_labels(accuracy: Accuracy, max_drop: float | None) -> tuple[bool, str]:
    run = _worst(accuracy.runs[1:])
    drop = run.drops[0]
    name = drop.name.removeprefix("drop of ")
    before, after = _of(accuracy.runs[0], name), _of(run, name)
    samples, lost = units.count(accuracy.samples, accuracy.what), units.quantity(abs(drop.value), drop.unit)
    if drop.value == 0:
        change = f"{run.title} leaves {name} as it was: {units.figure(after)} on {samples}"
    else:
        verb = "raises" if (drop.value < 0) == (after.better == "higher") else "lowers"
        change = (f"{run.title} {verb} {name} by {lost}: {units.figure(after)} instead of {units.figure(before)} on "
                  f"{samples}")
    if max_drop is None:
        return True, f"{change}. No bar was set."
    passed = drop.value <= max_drop + _WITHIN
    return passed, f"{change}. {'Up to' if passed else 'Only'} {units.quantity(max_drop, drop.unit)} may be lost."


def _undecided(accuracy: Accuracy, max_drop: float | None) -> list[str]:
    """Where another draw of samples could have judged otherwise."""
    if max_drop is None or not accuracy.runs[1].drops:
        return []
    drop = _worst(accuracy.runs[1:]).drops[0]
    if drop.low is None or drop.high is None or not drop.low <= max_drop < drop.high:
        return []
    return [f"The 95 % interval of the loss, {units.interval(drop)}, lies on both sides of that: more {accuracy.what} would "
            "tell."]


def _worst(runs: Sequence[Run]) -> Run:
    """The run that lost most."""
    return max(runs, key=lambda run: run.drops[0].value)


def _without(accuracy: Accuracy, max_drop: float | None) -> tuple[bool, str]:
    """Of the run that is furthest from float."""
    run = _furthest(accuracy.runs[1:])
    figure = run.figures[0]
    spread = f" ({units.interval(figure)})" if units.interval(figure) else ""
    samples = units.count(accuracy.samples, accuracy.what)
    if figure.unit == "%":
        said = f"{run.title} agrees with float on {units.figure(figure)} of {samples}{spread}"
    else:
        said = f"{run.title} has a {figure.name} of {units.figure(figure)} against float on {samples}{spread}"
    said = f"There are no labels, so this is no accuracy: {said}" if not accuracy.labelled else said
    if max_drop is None or figure.unit != "%":
        return True, f"{said}."
    passed = figure.value >= 100 - max_drop - _WITHIN
    return passed, f"{said}; {units.quantity(100 - max_drop, '%')} {'were asked for' if passed else 'are needed'}."


def _furthest(runs: Sequence[Run]) -> Run:
    sign = 1 if runs[0].figures[0].better == "higher" else -1
    return min(runs, key=lambda run: sign * run.figures[0].value)


def _of(run: Run, name: str) -> Figure:
    return next(figure for figure in run.figures if figure.name == name)
