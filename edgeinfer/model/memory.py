"""The memory bill: who holds how many bytes once everything is allocated."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from edgeinfer.errors import BudgetError

__all__ = ["Bill", "Line", "check_room", "machine_bytes"]


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


def machine_bytes() -> int:
    """All memory that this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_room(where: str, what: str, nbytes: int) -> None:
    """Raises BudgetError for what this machine could never hold: a size that was mistyped, or a picture that lies."""
    most = machine_bytes()
    if nbytes > most:
        raise BudgetError(where, f"{what} that fit into the {most / 1e6:.0f} MB of this machine", f"{nbytes / 1e6:.0f} MB",
                          "state a smaller width and height")
