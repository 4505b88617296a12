"""One pipeline's scene: detections in, identities, counts and events out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from edgeinfer.model.engine import Lane
from edgeinfer.model.frame import Frame
from edgeinfer.model.result import Detections
from edgeinfer.scene.crossing import Line, LineOptions
from edgeinfer.scene.events import Events
from edgeinfer.scene.seen import Answer, Seen
from edgeinfer.scene.tracker import Tracker, TrackOptions
from edgeinfer.scene.zones import Zone, ZoneOptions, leave_out

__all__ = ["Scene", "SceneOptions", "Second"]


class SceneOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a pipeline's configuration says of its scene. Zones and lines need identities, and so bring a tracker."""

    track: TrackOptions | None = None
    zones: Mapping[str, ZoneOptions] = {}
    lines: Mapping[str, LineOptions] = {}

    @property
    def tracked(self) -> TrackOptions | None:
        """How, where identities are given."""
        return self.track or (TrackOptions() if self.zones or self.lines else None)

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """(where, label) of each label that is named."""
        return tuple((f"{kind}.{name}.labels", label) for kind, table in (("zones", self.zones), ("lines", self.lines))
                     for name, options in table.items() for label in options.labels)


class Second(Protocol):
    """A second model that looks at what the first one found."""

    lane: Lane

    def answer(self, frame: Frame, detections: Detections, tracker: Tracker | None) -> list[Answer | None]:
        """By row; the same list each time."""
        ...

    def figures(self) -> dict[str, Any]:
        """For health. Any thread."""
        ...


class Scene:
    """Used by the inference thread; the counts may be read by any. The tracker's clock stands still while the scene does."""

    def __init__(self, options: SceneOptions, second: Second | None = None, begun: int = 0) -> None:
        """``begun``: identities that an earlier scene of the same pipeline gave."""
        wanted = options.tracked
        self.tracker = Tracker(wanted, begun) if wanted is not None else None
        most = wanted.most if wanted is not None else 0
        zones = {name: Zone(name, zone, 0 if zone.exclude else most) for name, zone in options.zones.items()}
        self.zones = tuple(zone for name, zone in zones.items() if not options.zones[name].exclude)
        self.lines = tuple(Line(name, line, most) for name, line in options.lines.items())
        self._places: tuple[tuple[str, Zone | Line], ...] = (
            *((f"zone/{zone.name}", zone) for zone in self.zones), *((f"line/{line.name}", line) for line in self.lines))
        self.events = Events()
        self.second = second
        self.left_out = 0  #: detections in zones that exclude
        self._excluding = tuple(zone for name, zone in zones.items() if options.zones[name].exclude)
        self._seen = Seen(Detections([]), self.tracker.of_row if self.tracker is not None else (), (), self.zones, self.lines)
        self._told: dict[str, int] = {}  # of each zone and line, at which of its changes
        self._still_ns = 0  # so long nothing moved, altogether
        self._rests_ns = -1  # since when nothing moves; -1: it does
        self._last_ns = 0  # of the last frame, looked at or not
        self.nbytes = (self.tracker.nbytes if self.tracker is not None else 0) + 256 * most * (len(self.zones) + len(self.lines))

    def see(self, detections: Detections, frame: Frame) -> Seen:
        """One frame that the model looked at. The same object each time, filled anew; ``events`` are those of this frame."""
        now_ns = self._last_ns = frame.monotonic_ns
        if self._rests_ns >= 0:
            self._still_ns += max(now_ns - self._rests_ns, 0)
            self._rests_ns = -1
        self.events.clear()
        if self._excluding:
            self.left_out += leave_out(detections, self._excluding)
        if self.tracker is not None:
            self.tracker.update(detections, now_ns - self._still_ns)
            for zone in self.zones:
                zone.see(self.tracker.tracks, now_ns, self.events)
            for line in self.lines:
                line.see(self.tracker.tracks, self.events)
        self._seen.detections = detections
        if self.second is not None:
            self._seen.answers = self.second.answer(frame, detections, self.tracker)
        return self._seen

    @property
    def unsettled(self) -> bool:
        """Whether another look is needed to know who is where: somebody came, is out of sight, or goes over an edge."""
        if self.tracker is None:
            return False
        return any(track.number and not (track.id and track.seen) for track in self.tracker.tracks) \
            or any(zone.unsettled for zone in self.zones)

    def rest(self, now_ns: int) -> None:
        """One frame that the model did not look at since nothing moves: who stands still stays where and who they are."""
        self._last_ns = now_ns
        if self._rests_ns < 0:
            self._rests_ns = now_ns
        self.events.clear()
        for zone in self.zones:
            zone.rest(now_ns, self.events)

    def reopen(self, now_ns: int) -> bool:
        """The source was closed and is open again. True where that took longer than a thing may be out of sight: the scene was
        left then, and there are events to tell."""
        if self.tracker is None or now_ns - self._last_ns <= self.tracker.options.lost_s * 1e9:
            return False
        self.leave()
        return True

    def leave(self) -> None:
        """Nothing is looked at any more: nobody is known to be anywhere. Once, however often it is called."""
        self.events.clear()
        if self.tracker is not None and (any(track.number for track in self.tracker.tracks)
                                         or any(zone.count or zone.occupied for zone in self.zones)):
            self.tracker.forget()
            for zone in self.zones:
                zone.vacate(self.events)

    def changed(self) -> list[tuple[str, dict[str, Any]]]:
        """(topic below the pipeline's, document) of each zone and line whose figures are not those told last."""
        found = []
        for topic, place in self._places:
            if self._told.get(topic) != place.changes:
                self._told[topic] = place.changes
                found.append((topic, place.document()))
        return found

    @property
    def topics(self) -> tuple[str, ...]:
        """Of zones and lines, below the pipeline's."""
        return tuple(topic for topic, _ in self._places)

    def figures(self) -> dict[str, Any]:
        """For health. Any thread."""
        figures: dict[str, Any] = {"tracks": self.tracker.counts() if self.tracker is not None else None,
                                   "zones": {zone.name: zone.document() for zone in self.zones},
                                   "lines": {line.name: line.document() for line in self.lines},
                                   "left_out": self.left_out}
        return {**figures, "events": {reason: count for reason, count in self.events.told.items() if count},
                "events_refused": self.events.refused}
