"""The files: whether they answer alike, how large they are, how fast they run."""

from __future__ import annotations

from quantize.report import charts, units
from quantize.report.document import Document, File
from quantize.report.html import Html, name, tag
from quantize.report.sections.parts import Cell, block, lead, run_mark, table

__all__ = ["parity", "sizes"]


def parity(document: Document) -> Html | None:
    found = document.parity
    if found is None:
        return None
    what = document.accuracy.what if document.accuracy else "samples"
    largest = max((output.max_lsb for output in found.outputs), default=0.0)
    samples, steps = units.count(found.samples, what), units.quantity(largest, "LSB")
    said = f"over {samples} no output value differs by more than {steps}"
    if found.agreement is not None:
        said = (f"they give the same answer on {units.figure(found.agreement)} of {samples} "
                f"({units.interval(found.agreement)}), and no output value differs by more than {steps}")
    rows = [[name(output.name), units.share(output.identical), units.quantity(output.max_lsb, "LSB"),
             f"{units.number(output.mean_lsb)}\u202fLSB"] for output in found.outputs]
    return block("parity", "INT8 ONNX against INT8 TFLite",
                 lead(f"Both files come from the same ranges and hold the same integers: {said}."),
                 table("Differences of each output, in steps of its grid",
                       ["Output", "Equal values", "Largest difference", "Mean difference"], rows, numeric=(1, 2, 3)))


def sizes(document: Document) -> Html | None:
    rows = document.files
    if not rows:
        return None
    largest, slowest = max(row.bytes for row in rows), max((row.latency.p50 for row in rows if row.latency), default=0.0)
    measured = [row for row in rows if row.latency]
    timed = ("One inference without pre- and postprocessing, on the machine that made this report: the order of things, not "
             "the device's figures." if measured else "Latency was not measured.")
    made = table("Size and latency of each file", ["File", "Size", "", "Latency, median", "", "95 of 100 below"],
                 [_row(index, row, rows[0], largest, slowest) for index, row in enumerate(rows)], numeric=(1, 3, 5))
    told = [tag("li", f"{row.title}: {row.runs_on}") for row in measured if row.runs_on]
    return block("files", "Size and latency", lead(timed), made, tag("ul", told, class_="quiet plain") if told else None)


def _row(index: int, row: File, first: File, largest: int, slowest: float) -> list[Cell]:
    smaller = units.ratio(first.bytes, row.bytes, "smaller", "larger") if index else ""
    latency, run = row.latency, f"run{index % 4}"
    timed = f"{row.title}: {units.milliseconds(latency.p50)}" if latency else ""
    cells: list[Cell] = [
        [run_mark(index), " ", row.title, tag("small", name(row.name))],
        [tag("strong", units.size(row.bytes)), tag("small", smaller) if smaller else None],
        tag("div", charts.bar(row.bytes, largest, run, f"{row.title}: {units.size(row.bytes)}"), class_="track")]
    if latency is None:
        return [*cells, units.MISSING, "", units.MISSING]
    ratio = units.ratio(first.latency.p50, latency.p50, "faster", "slower") if index and first.latency else ""
    return [*cells, [tag("strong", units.milliseconds(latency.p50)), tag("small", ratio) if ratio else None],
            tag("div", charts.bar(latency.p50, slowest, run, timed), class_="track"),
            [units.milliseconds(latency.p95), tag("small", f"of {latency.count}")]]
