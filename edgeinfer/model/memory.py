"""The memory bill: who holds how many bytes once everything is allocated."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Bill", "Line"]


@dataclass(frozen=True)
class Line:
    """One holder of memory. ``measured`` tells a figure taken on this device from one that follows from shapes."""

    owner: str
    what: str
    nbytes: int
    measured: bool = False


@dataclass
class Bill:
    """All lines of one configuration; printed by ``edgeinfer check``."""

    lines: list[Line] = field(default_factory=list)

    def add(self, owner: str, what: str, nbytes: int, measured: bool = False) -> None:
        self.lines.append(Line(owner, what, nbytes, measured))

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(line.nbytes for line in self.lines)

    def document(self) -> list[dict[str, str | int | bool]]:
        """The lines as plain values, for ``--json``."""
        return [{"owner": line.owner, "what": line.what, "bytes": line.nbytes, "measured": line.measured}
                for line in self.lines]
