"""The result of a frame with what the scene adds to it: identities, second models' answers, counts of zones and lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from edgeinfer.model.result import Detections, Result
from edgeinfer.scene.crossing import Line
from edgeinfer.scene.tracker import Track
from edgeinfer.scene.zones import Zone

__all__ = ["Answer", "Seen"]


class Answer(msgspec.Struct):
    """What a second model said of one thing; ``at_ns``: when (CLOCK_MONOTONIC), -1 never."""

    document: dict[str, Any] | None = None
    state: str = ""
    at_ns: int = -1


class Seen(Result):
    """The detections of a frame and the scene around them. The same object each time; ``answers`` and ``tracks`` are by row."""

    detections: Detections
    tracks: Sequence[Track | None] = ()
    answers: Sequence[Answer | None] = ()
    zones: Sequence[Zone] = ()
    lines: Sequence[Line] = ()

    def score(self) -> float:
        return self.detections.score()

    def state(self) -> str:
        """Labels and their counts, what the second model says, and how many are in each zone."""
        parts = [self.detections.state()]
        if self.answers:
            said = (answer.state for answer in self.answers[: self.detections.count] if answer is not None)
            parts.append(",".join(sorted(state for state in said if state)))
        parts += [f"{zone.name}:{zone.count}" for zone in self.zones]
        return ";".join(parts)

    def document(self) -> dict[str, Any]:
        document = self.detections.document()
        for row, said in enumerate(document["detections"]):
            track = self.tracks[row] if row < len(self.tracks) else None
            answer = self.answers[row] if row < len(self.answers) else None
            if track is not None and track.id:
                said["track"] = track.id
                said["age_s"] = round((track.seen_ns - track.born_ns) / 1e9, 2)
            if answer is not None and answer.document is not None:
                said["then"] = answer.document
        if self.zones:
            document["zones"] = {zone.name: zone.document() for zone in self.zones}
        if self.lines:
            document["lines"] = {line.name: line.document() for line in self.lines}
        return document
