"""What happened, as results of their own: each is published once, with its reason, and never retained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from edgeinfer.model.result import Result

__all__ = ["REASONS", "Event", "Events", "Reason"]

Reason = Literal["enter", "leave", "dwell", "count", "occupied", "empty", "crossed"]
REASONS: tuple[Reason, ...] = ("enter", "leave", "dwell", "count", "occupied", "empty", "crossed")

MOST = 256  # of one frame; what is more is counted


class Event(Result):
    """One thing that happened in a zone or at a line. ``track`` 0: it concerns no single thing. ``seconds``: how long it was
    there. The box is in fractions of the frame."""

    reason: str = ""
    zone: str = ""
    line: str = ""
    direction: str = ""
    track: int = 0
    label: str = ""
    count: int = 0
    seconds: float = 0.0
    box: tuple[float, float, float, float] | None = None

    def score(self) -> float:
        return 1.0

    def state(self) -> str:
        return self.reason

    def document(self) -> dict[str, Any]:
        said: dict[str, Any] = {"line": self.line, "direction": self.direction} if self.line else {"zone": self.zone}
        if self.track:
            said |= {"track": self.track, "label": self.label}
        if self.box is not None:
            said["box"] = [round(value, 4) for value in self.box]
        if self.reason in ("leave", "dwell"):
            said["seconds"] = round(self.seconds, 2)
        return {"event": {**said, "count": self.count}}


class Events:
    """Those of the frame at hand; ``MOST`` are allocated once and filled anew."""

    def __init__(self) -> None:
        self.told = dict.fromkeys(REASONS, 0)
        self.refused = 0  #: events beyond the most of one frame
        self._rows = [Event() for _ in range(MOST)]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Event]:
        return iter(self._rows[: self._count])

    def clear(self) -> None:
        self._count = 0

    def add(self, reason: Reason, *, zone: str = "", line: str = "", direction: str = "", track: int = 0, label: str = "",
            count: int = 0, seconds: float = 0.0, box: tuple[float, float, float, float] | None = None) -> None:
        if self._count == MOST:
            self.refused += 1
            return
        event = self._rows[self._count]
        event.reason, event.zone, event.line, event.direction, event.track = reason, zone, line, direction, track
        event.label, event.count, event.seconds, event.box = label, count, seconds, box
        self._count += 1
        self.told[reason] += 1
