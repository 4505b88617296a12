"""Signal to noise along the network."""

from __future__ import annotations

from quantize.compare import TensorComparison
from quantize.report import charts, units
from quantize.report.document import Document
from quantize.report.html import Html, name, tag
from quantize.report.sections.parts import Cell, block, fold, lead, long_table, table

__all__ = ["section"]

_NAMED = 5


def section(document: Document) -> Html | None:
    rows = document.layers
    if not rows:
        return None
    worst = sorted(range(len(rows)), key=lambda index: (rows[index].sqnr_db, index))[: min(_NAMED, len(rows))]
    first = rows[worst[0]]
    text = lead("How far each tensor of the running INT8 model is from float's, in order of computation; higher is better. "
                "6 dB are one bit. Errors add up along the way, so a sudden step down tells more than a low end. Lowest: ",
                name(first.name), f" with {units.decibels(first.sqnr_db)}.")
    ranked = table("The lowest signal to noise",
                   ["", "Tensor", "Operator", "Signal to noise", "Largest error", "Saturated"],
                   [[str(rank + 1), name(rows[index].name), rows[index].op, units.decibels(rows[index].sqnr_db),
                     units.quantity(rows[index].max_lsb, "LSB"), units.share(rows[index].saturated)]
                    for rank, index in enumerate(worst)], numeric=(3, 4, 5), first=1)
    kinds = {row.dtype for row in rows}
    chart = tag("figure", tag("figcaption", "Signal to noise, dB"), charts.layers(rows, worst), _legend(kinds))
    whole = fold(f"All {len(rows)} tensors", long_table(
        "All tensors in order of computation",
        ["", "Tensor", "Operator", "Signal to noise", "Cosine", "Largest error", "Float range", "Grid", "Saturated"],
        [_row(index, row) for index, row in enumerate(rows)], numeric=(0, 3, 4, 5, 6, 7, 8)))
    return block("layers", "Layers", text, chart, ranked, whole)


def _legend(kinds: set[str]) -> Html:
    """Only what is there."""
    keys = [("worst", "lowest, numbered as below")]
    keys += [("wide", "16 bits")] if "int16" in kinds else []
    keys += [("kept-float", "float in the INT8 model")] if "float32" in kinds else []
    return tag("ul", [tag("li", tag("span", class_=f"key {kind}"), " ", told) for kind, told in keys], class_="legend")


def _row(index: int, row: TensorComparison) -> list[Cell]:
    grid = "float" if row.grid_low is None or row.grid_high is None else units.ends(row.grid_low, row.grid_high)
    wide = tag("small", "16 bits") if row.dtype == "int16" else None
    cosine = f"{row.cosine:.4f}".replace("-", "\u2212")
    return [str(index + 1), name(row.name), [row.op, wide], units.decibels(row.sqnr_db), cosine,
            units.quantity(row.max_lsb, "LSB"), units.ends(row.float_low, row.float_high), grid, units.share(row.saturated)]

