"""The top of the page: the verdict, and the four or five figures that everybody asks for."""

from __future__ import annotations

from quantize.report import units
from quantize.report.document import Document, Run
from quantize.report.html import Html, name, tag

__all__ = ["headline"]

_WORDS = {"passed": "Passed", "missed": "Bar missed", "measured": "Measured", "unlabelled": "No labels"}


def headline(document: Document) -> Html:
    verdict = document.verdict
    model = [name(document.model), tag("span", f" for {document.target}", class_="quiet") if document.target else None]
    said = tag("div", tag("span", _WORDS[verdict.outcome], class_=f"outcome {verdict.outcome}"),
               tag("p", verdict.sentence, class_="sentence"),
               [tag("p", reason, class_="reason") for reason in verdict.reasons], class_="verdict")
    tiles = [tag("li", tag("span", title, class_="what"), tag("strong", value), tag("small", more) if more else None)
             for title, value, more in _tiles(document)]
    return tag("header", tag("h1", tag("span", "Quantisation report ", class_="kicker"), model), said,
               tag("ul", tiles, class_=f"tiles of{len(tiles)}", role="list") if tiles else None)


def _tiles(document: Document) -> list[tuple[str, str, str]]:
    tiles = _accuracy(document)
    if document.parity and document.parity.agreement:
        apart = max((output.max_lsb for output in document.parity.outputs), default=0.0)
        tiles.append(("ONNX and TFLite agree", units.figure(document.parity.agreement),
                      f"at most {units.quantity(apart, 'LSB')} apart"))
    files = document.files
    if len(files) > 1 and files[0].bytes and (smallest := min(file.bytes for file in files[1:])) > 0:
        tiles.append(("Size", units.ratio(files[0].bytes, smallest, "smaller", "larger"),
                      f"{units.size(files[0].bytes)} to {units.size(smallest)}"))
    timed = [file for file in files[1:] if file.latency]
    if timed and files[0].latency and files[0].latency.p50 > 0:
        best = min(timed, key=lambda file: file.latency.p50 if file.latency else 0.0)
        assert best.latency is not None
        first, own = files[0].latency.p50, best.latency.p50
        tiles.append(("Speed on this machine", units.ratio(first, own, "faster", "slower"),
                      f"{units.milliseconds(first)} to {units.milliseconds(own)}, {best.title}"))
    return tiles


def _accuracy(document: Document) -> list[tuple[str, str, str]]:
    """The leading metric and the signal to noise of the run that does worse."""
    if document.accuracy is None or len(document.accuracy.runs) < 2:
        return []
    runs = document.accuracy.runs[1:]
    tiles = []
    if all(run.drops for run in runs):
        worst = max(runs, key=lambda run: run.drops[0].value)
        drop = worst.drops[0]
        tiles.append((units.title(drop.name), units.quantity(drop.value, drop.unit), _between(units.interval(drop), worst)))
    shown = [figure for figure in runs[0].figures if figure.name in ("top-1 agreement", "agreement of detections",
                                                                     "signal to noise")]
    for figure in shown[:2]:
        pairs = [(other, run) for run in runs for other in run.figures if other.name == figure.name]
        least, run = min(pairs, key=lambda pair: pair[0].value)
        tiles.append((units.title(figure.name), units.figure(least), _between(units.interval(least), run)))
    return tiles


def _between(spread: str, run: Run) -> str:
    return f"{spread}, {run.title}" if spread else run.title
