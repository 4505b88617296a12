"""Zones and lines that a person has drawn: checked as a configuration is, written as one has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from edgeinfer.errors import DataError
from edgeinfer.scene.crossing import LineOptions
from edgeinfer.scene.zones import ZoneOptions

__all__ = ["Drawn", "read_drawn"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_TEXT = re.compile(r"y|n|yes|no|on|off|true|false|null|[\d-].*", re.IGNORECASE)  # what YAML may take for something else


class Drawn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By name, as in a pipeline of a configuration."""

    zones: dict[str, ZoneOptions] = {}
    lines: dict[str, LineOptions] = {}

    def yaml(self) -> str:
        """To be pasted below a pipeline; "" where nothing is drawn."""
        text = ""
        for kind, places in (("zones", self.zones), ("lines", self.lines)):
            rows = [f"  {_key(name)}: {{{_fields(options)}}}\n" for name, options in places.items()]
            text += f"{kind}:\n{''.join(rows)}" if rows else ""
        return text

    def document(self) -> dict[str, Any]:
        """For the page: what is not the default."""
        return {"zones": {name: _said(options) for name, options in self.zones.items()},
                "lines": {name: _said(options) for name, options in self.lines.items()}}


def read_drawn(raw: bytes) -> Drawn:
    """What the page sends. Raises DataError, with the place."""
    try:
        drawn = msgspec.json.decode(raw, type=Drawn)
    except msgspec.DecodeError as error:
        raise DataError("drawn", "zones and lines", str(error)) from error
    for name in (*drawn.zones, *drawn.lines):
        if not _NAME.fullmatch(name):
            raise DataError("drawn", "names of letters, digits, - and _", repr(name)[:80])
    return drawn


def _said(options: ZoneOptions | LineOptions) -> dict[str, Any]:
    """What is not the default."""
    plain = {field.name: msgspec.to_builtins(field.default) for field in msgspec.structs.fields(options) if not field.required}
    said: Mapping[str, Any] = msgspec.to_builtins(options)
    return {name: value for name, value in said.items() if name not in plain or value != plain[name]}


def _key(name: str) -> str:
    return f'"{name}"' if _NO_TEXT.fullmatch(name) else name


def _fields(options: ZoneOptions | LineOptions) -> str:
    """In YAML's flow style."""
    rows = [f"points: [{', '.join(f'[{x:.3g}, {y:.3g}]' for x, y in options.points)}]"]
    rows += [f"{name}: {msgspec.json.encode(value).decode()}" for name, value in _said(options).items() if name != "points"]
    return ", ".join(rows)
