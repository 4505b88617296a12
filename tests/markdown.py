"""What tests read out of a page of documentation: sections, tables, blocks of code, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Block", "Page", "Shape"]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"(\$ )?(sudo )?([^ ]*/)?(?P<program>edgeinfer|quantize)(?P<rest> .*)")
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_TYPES: dict[str, tuple[type, ...]] = {"text": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
                                       "object": (dict,), "list": (list,), "null": (type(None),), "absent": ()}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language ("" where none is said) and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The lines that call edgeinfer or quantize, as the words after a prompt, up to a pipe or a file that they write to."""
        found = [_CALL.match(line) for line in self.text.splitlines()]
        return [[match["program"], *shlex.split(re.split(r" [|>] ", match["rest"])[0], comments=True)] for match in found if match]


class Page:
    """One file in Markdown, as GitHub renders it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")

    def blocks(self) -> list[Block]:
        return [Block(self.path.name, self.text.count("\n", 0, match.start()) + 1, match[1], match[2])
                for match in _FENCE.finditer(self.text)]

    def prose(self) -> str:
        """The text without its blocks; as many lines."""
        return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), self.text)

    def links(self) -> list[str]:
        """The targets of all links."""
        return re.findall(r"\]\(([^)\s]+)\)", self.prose())

    def headings(self) -> list[str]:
        """What a link may name after #: headings in lower case, without punctuation, with hyphens for spaces; in their order."""
        return [re.sub(r"[^\w\- ]", "", match[2].lower()).replace(" ", "-") for match in _HEADING.finditer(self.prose())]

    def anchors(self) -> set[str]:
        """The same, as a set."""
        return {*self.headings()}

    def section(self, heading: str) -> str:
        """From a heading to the next one, of any level. Raises KeyError."""
        prose = self.prose()
        headings = list(_HEADING.finditer(prose))
        for index, match in enumerate(headings):
            if match[2] == heading:
                return prose[match.end() : headings[index + 1].start() if index + 1 < len(headings) else None]
        raise KeyError(f"{self.path.name} has no section '{heading}'")

    def table(self, heading: str) -> dict[str, list[str]]:
        """The rows of a section's tables, by what stands in backticks in the first cell (several names: a row for each); the
        value is the cells after it, with their backticks removed."""
        rows: dict[str, list[str]] = {}
        for line in self.section(heading).splitlines():
            if line.startswith("| `"):
                first, *rest = (cell.strip() for cell in line.strip("|").split(" | "))
                for name in re.findall(r"`([^`]+)`", first):
                    assert name not in rows, f"{self.path.name}: {heading}: '{name}' twice"
                    rows[name] = [cell.replace("`", "") for cell in rest]
        return rows


class Shape:
    """The fields of a document as a table lists them: "bill[].bytes", "models.*"; an object without fields is any."""

    def __init__(self, table: Mapping[str, list[str]]) -> None:
        self.types = {path: cells[0].split(" or ") for path, cells in table.items()}
        self.paths = {*self.types}
        for path in self.types:
            parts = path.replace("[]", ".[]").split(".")
            self.paths |= {".".join(parts[: index + 1]).replace(".[]", "[]") for index in range(len(parts))}
        self.unseen = {*self.types}

    def check(self, value: Any, path: str = "") -> None:
        """Assert that ``value`` has the listed fields, no other, and of the listed types."""
        self.unseen.discard(path)
        if path in self.types:
            kinds = tuple(kind for word in self.types[path] for kind in _TYPES[word])
            assert type(value) in kinds, f"{path}: {value!r} is no {self.types[path]}"
        fields = self._below(path)
        if isinstance(value, dict) and fields:
            starred = fields == {"*"}
            optional = {name for name in fields if "absent" in self.types.get(f"{path}.{name}".strip("."), ())}
            assert starred or fields - optional <= {*value} <= fields, f"{path}: {sorted({*value} ^ fields)}"
            for name, item in value.items():
                self.check(item, f"{path}.{'*' if starred else name}".strip("."))
        elif isinstance(value, list) and f"{path}[]" in self.paths:
            for item in value:
                self.check(item, f"{path}[]")

    def _below(self, path: str) -> set[str]:
        start = f"{path}." if path else ""
        return {known[len(start) :] for known in self.paths
                if known.startswith(start) and known != path and not {".", "["} & {*known[len(start) :]}}
