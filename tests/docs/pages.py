"""The pages of the documentation, and what the tests of them have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tests.markdown import Block, Page

__all__ = ["BUNDLE", "COMMANDS", "CONFIGURATION", "PAGES", "PLUG_INS", "QUANTIZE", "ROOT", "TOPICS", "blocks", "default", "named"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = {str(path.relative_to(ROOT)): Page(path) for path in
         [*(ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")), *sorted((ROOT / "docs").rglob("*.md")),
          *sorted((ROOT / "examples").rglob("*.md"))]}
CONFIGURATION, BUNDLE, COMMANDS = PAGES["docs/configuration.md"], PAGES["docs/bundle.md"], PAGES["docs/commands.md"]
QUANTIZE, TOPICS, PLUG_INS = PAGES["docs/quantize.md"], PAGES["docs/topics-and-payloads.md"], PAGES["docs/plug-ins.md"]


def blocks(language: str) -> list[Block]:
    """All blocks of that language, of all pages."""
    return [block for page in PAGES.values() for block in page.blocks() if block.language == language]


def named(value: Any) -> str:
    """The name of a parameter, for pytest."""
    if isinstance(value, type):
        return value.__name__
    return value.id if isinstance(value, Block) else value if isinstance(value, str) else ""


def default(field: msgspec.structs.FieldInfo) -> str:
    """A default as the tables write it."""
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "see there"
    if value in (None, "", (), {}):
        return "—"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
