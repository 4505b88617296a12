"""One thing that was found out about a set of samples, as a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Severity"]

Severity = Literal["ok", "note", "warning"]


@dataclass(frozen=True)
class Finding:
    """``topic`` is one word or two (normalisation, count, duplicates); ``text`` names the cause, ``advice`` what to do."""

    severity: Severity
    topic: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.severity}: {self.topic}: {self.text}"
        return f"{line}; {self.advice}" if self.advice else line
