"""The page: one HTML file that asks for nothing else. Its policy forbids requests and any script or style but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib import resources

from quantize.report.document import Document
from quantize.report.headline import headline
from quantize.report.html import Html, join, tag
from quantize.report.sections import accuracy, files, findings, histograms, ladder, layers, provenance, worst

__all__ = ["render"]

_SECTIONS: tuple[tuple[str, str, Callable[[Document], Html | None]], ...] = (
    ("accuracy", "Accuracy", accuracy.section),
    ("worst", "Worst samples", worst.section),
    ("layers", "Layers", layers.section),
    ("histograms", "Ranges", histograms.section),
    ("ladder", "Ladder", ladder.section),
    ("diagnosis", "Diagnosis", findings.diagnosis),
    ("islands", "Float islands", findings.islands),
    ("operators", "Operators", findings.operators),
    ("parity", "Parity", files.parity),
    ("files", "Size and latency", files.sizes),
    ("calibration", "Calibration", findings.calibration),
    ("provenance", "Provenance", provenance.section),
)


def render(document: Document) -> str:
    """The whole report as HTML, to be written as UTF-8. The same document gives the same page."""
    sections = [(id, title, made) for id, title, make in _SECTIONS if (made := make(document)) is not None]
    style, script = _file("page.css"), _file("page.js")
    links = [tag("li", tag("a", title, href=f"#{id}")) for id, title, _ in sections]
    head = tag("head", tag("meta", charset="utf-8"), tag("title", f"{document.model}: quantisation report"),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("meta", name="color-scheme", content="light dark"),
               tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
               tag("link", rel="icon", href="data:,"), tag("style", Html(style)))
    body = tag("body", tag("a", "Skip to the figures", href="#figures", class_="skip"), headline(document),
               tag("nav", tag("ul", links), aria_label="Sections") if len(links) > 2 else None,
               tag("main", join(made for _, _, made in sections), id="figures"), tag("script", Html(script)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _policy(style: str, script: str) -> str:
    return f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"


def _hash(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _file(name: str) -> str:
    return resources.files("quantize.report").joinpath(name).read_text(encoding="utf-8")
