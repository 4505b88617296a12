"""HTML as values: text is escaped where it becomes markup, so that no name of a file, layer or label can become any."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

__all__ = ["Html", "join", "name", "tag"]

_BREAKS = re.compile(r"(?<=[/_.])(?=[^/_.])")
_VOID = frozenset({"br", "img", "input", "link", "meta", "col"})
# controls and surrogates, not allowed in HTML or in UTF-8; and what turns the direction of the text after it
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


class Html(str):
    """Markup. Plain strings are text and are escaped when they get into a tag."""

    __slots__ = ()


Child = str | Html | None | Iterable["Child"]


def tag(element: str, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """One element. A trailing underscore of an attribute is dropped (``class_``), others become hyphens; None and False
    leave an attribute out."""
    opened = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False)
    if element in _VOID:
        return Html(f"<{element}{opened}>")
    return Html(f"<{element}{opened}>{join(children)}</{element}>")


def join(children: Iterable[Child]) -> Html:
    """Children one after the other, text escaped."""
    return Html("".join(_markup(child) for child in children))


def name(text: str) -> Html:
    """A name from a model or a file: monospaced, free to break after its separators, its direction kept to itself."""
    parts = _BREAKS.split(text or "(no name)")
    return tag("code", parts[0], [[Html("<wbr>"), part] for part in parts[1:]], dir="ltr")


def _markup(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return str(child)
    if isinstance(child, str):
        return html.escape(_FORBIDDEN.sub("\ufffd", child))
    return join(child)


def _attribute(key: str, value: str | int | float | bool) -> str:
    key = key.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{_markup(str(value))}"'
