"""The report of a run: one HTML file for people, ``report.json`` for programs, both from one ``Document``."""

from __future__ import annotations

from quantize.report.document import Document, from_json, to_json
from quantize.report.page import render
from quantize.report.verdict import judge

__all__ = ["Document", "from_json", "judge", "render", "to_json"]
