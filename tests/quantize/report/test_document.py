"""report.json: the whole report, stable, as docs/report.md lists it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from edgeinfer.errors import DataError
from quantize.report import from_json, to_json
from quantize.report.document import Document
from tests.markdown import Page, Shape
from tests.quantize.report.documents import BARE, HOSTILE, full, with_strings

PAGE = Page(Path(__file__).resolve().parents[3] / "docs/report.md")


@pytest.mark.parametrize("document", [full(), BARE], ids=["full", "bare"])
def test_a_report_comes_back_as_it_was(document: Document) -> None:
    """JSON loses nothing, pictures included, and the same report gives the same bytes."""
    written = to_json(document)
    assert from_json(written) == document
    assert to_json(from_json(written)) == written
    assert next(iter(json.loads(written))) == "v"


def test_the_table_of_fields_is_the_document() -> None:
    """A report with everything in it has exactly the fields that the page lists, of the types that it lists."""
    shape = Shape(PAGE.table("report.json"))
    shape.check(json.loads(to_json(full())))
    shape.check(json.loads(to_json(BARE)))
    assert not shape.unseen


def test_the_table_of_a_figure_is_the_struct() -> None:
    """All figures have the same fields."""
    shape = Shape(PAGE.table("Figures"))
    for run in json.loads(to_json(full()))["accuracy"]["runs"]:
        for figure in [*run["figures"], *run["drops"]]:
            shape.check(figure)
    assert not shape.unseen


def test_a_field_of_a_later_version_is_passed_over() -> None:
    """Within version 1 fields may be added."""
    fields = json.loads(to_json(BARE))
    assert from_json(json.dumps({**fields, "more": 1}).encode()) == BARE


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", to_json(BARE).replace(b'"v": 1', b'"v": 2'), b'{"v": 1, "model": "m"}'])
def test_what_is_no_report_is_refused(data: bytes) -> None:
    """In one sentence that names the file."""
    with pytest.raises(DataError, match=r"out/report.json: expected a report of version 1, got "):
        from_json(data, "out/report.json")


def test_names_that_are_not_utf_8_can_be_written() -> None:
    """A file name may hold any byte; Python holds such a byte as half a surrogate pair, which JSON cannot."""
    written = to_json(with_strings(full(9, 2), HOSTILE))
    assert "\ufffd.onnx" in from_json(written).model
    assert isinstance(msgspec.json.decode(written), dict)
