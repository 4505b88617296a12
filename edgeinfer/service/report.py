"""What there is to say of an installed service: what systemd knows, and what the daemon last said of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeinfer.service import systemd
from edgeinfer.service.layout import Layout

__all__ = ["read_health", "report"]

_PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "FragmentPath", "DropInPaths", "MainPID", "NRestarts",
               "Result", "ExecMainStatus", "ActiveEnterTimestamp", "MemoryCurrent", "MemoryMax", "StatusText")
_MOST_BYTES = 1 << 20


def report(layout: Layout) -> dict[str, Any]:
    """The document of ``edgeinfer service status``, described in docs/commands.md."""
    facts = systemd.show(layout.unit, *_PROPERTIES)
    return {
        "v": 1, "unit": layout.unit,
        "installed": facts.get("LoadState") == "loaded",
        "enabled": facts.get("UnitFileState") == "enabled",
        "state": facts.get("ActiveState", ""), "sub_state": facts.get("SubState", ""),
        "since": facts.get("ActiveEnterTimestamp", ""),
        "pid": _number(facts, "MainPID") or None,
        "restarts": _number(facts, "NRestarts") or 0,
        "result": facts.get("Result", ""), "exit_status": _number(facts, "ExecMainStatus"),
        "memory_bytes": _number(facts, "MemoryCurrent"), "memory_max_bytes": _number(facts, "MemoryMax"),
        "status": facts.get("StatusText", ""),
        "unit_file": facts.get("FragmentPath", ""), "drop_ins": facts.get("DropInPaths", "").split(),
        "health": read_health(layout.health),
    }


def _number(facts: dict[str, str], name: str) -> int | None:
    """None for what systemd does not know or does not limit: [not set], infinity, or 2**64 - 1."""
    text = facts.get(name, "")
    return int(text) if text.isdigit() and int(text) < 2**63 else None


def read_health(path: Path) -> dict[str, Any] | None:
    """The last health document; None where the daemon does not run, or has not yet written one."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
