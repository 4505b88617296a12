"""Zones: who is in which part of the frame, since when, and what to tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from edgeinfer.model.result import Box, Detections
from edgeinfer.scene.events import Events, Reason
from edgeinfer.scene.polygon import Points, Polygon, check
from edgeinfer.scene.tracker import TREMBLE, Track

__all__ = ["Anchor", "Zone", "ZoneOptions", "leave_out"]

Anchor = Literal["bottom", "centre", "overlap"]
_Told = Literal["enter", "leave", "dwell", "count", "occupied", "empty"]
_STILL = 0.8  # of the overlap: who has less is out of the zone again


class ZoneOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``points``: a polygon in fractions of the frame. A thing stands in it by its ``anchor``: the middle of its box's lower
    edge (where it touches the ground), its centre, or by ``overlap``, the share of its box that lies within."""

    points: Points
    exclude: bool = False  # what is here is ignored: neither tracked nor told
    labels: tuple[str, ...] = ()  # only these; none: all
    anchor: Anchor = "bottom"
    overlap: float = 0.5
    settle_s: float = 0.3  # a thing must be on the other side of the edge for so long before it has entered or left
    dwell_s: float = 0.0  # told once of a thing that stays so long; 0: never
    occupied_at: int = 1  # things in the zone that make it occupied
    empty_s: float = 2.0  # it is empty when there were fewer for so long
    events: tuple[_Told, ...] = ("enter", "leave", "dwell", "occupied", "empty")

    def __post_init__(self) -> None:
        check(self.points, "points")
        if not 0 < self.overlap <= 1:
            raise ValueError(f"expected overlap above 0 and up to 1, got {self.overlap:g}")
        for name in ("settle_s", "dwell_s", "empty_s"):
            if not 0 <= getattr(self, name) <= 86400:
                raise ValueError(f"expected {name} between 0 and 86400, got {getattr(self, name):g}")
        if not 1 <= self.occupied_at <= 256:
            raise ValueError(f"expected occupied_at between 1 and 256, got {self.occupied_at}")


class Zone:
    """One zone and who is in it, by slot of the tracker. One thread; the figures may be read by any."""

    def __init__(self, name: str, options: ZoneOptions, most: int) -> None:
        self.name = name
        self.count = 0  #: things in it now, those out of sight included
        self.entered = 0  #: since the start
        self.occupied = False
        self.changes = 0  #: of the three above, counted
        self._options = options
        self._polygon = Polygon(options.points)
        self._tells = frozenset(options.events)
        self._settle_ns, self._dwell_ns, self._empty_ns = (
            round(seconds * 1e9) for seconds in (options.settle_s, options.dwell_s, options.empty_s))
        self._stays = [_Stay() for _ in range(most)]
        self._low_ns = -1  # since when there are too few

    def holds(self, box: Box | Track) -> bool:
        """Whether a box stands in the polygon."""
        if self._options.anchor == "overlap":
            return self._polygon.share_of(box.left, box.top, box.right, box.bottom) >= self._options.overlap
        y = box.bottom if self._options.anchor == "bottom" else (box.top + box.bottom) / 2
        return self._polygon.contains((box.left + box.right) / 2, y)

    def keeps(self, box: Box | Track) -> bool:
        """Whether a box that stood in the polygon still does: what only trembles on the edge has not left."""
        if self._options.anchor == "overlap":
            return self._polygon.share_of(box.left, box.top, box.right, box.bottom) >= _STILL * self._options.overlap
        y = box.bottom if self._options.anchor == "bottom" else (box.top + box.bottom) / 2
        across, down = (max(TREMBLE * side, 1e-6) for side in (box.right - box.left, box.bottom - box.top))
        return self.holds(box) or self._polygon.near((box.left + box.right) / 2, y, across, down)

    def wants(self, label: str) -> bool:
        return not self._options.labels or label in self._options.labels

    def see(self, tracks: Sequence[Track], now_ns: int, events: Events) -> None:
        """The tracks after a frame; ``now_ns`` is CLOCK_MONOTONIC."""
        count = self.count
        for track, stay in zip(tracks, self._stays, strict=True):
            if stay.number != track.number:  # the one before is gone for good
                if stay.inside:
                    self._leave(stay, stay.seen_ns, events)
                stay.begin(track.number)
            if track.seen and (stay.inside or self.wants(track.label)):
                self._judge(track, stay, now_ns, events)
            elif track.seen:
                stay.other_ns = -1
        if self.count != count:
            self.changes += 1
            self._tell(events, "count")
        self.rest(now_ns, events)

    @property
    def unsettled(self) -> bool:
        """Whether somebody is on the other side of the edge, not yet for long enough."""
        return any(stay.other_ns >= 0 for stay in self._stays)

    def rest(self, now_ns: int, events: Events) -> None:
        """What time alone brings, also while nothing moves and no frame is looked at."""
        if self._dwell_ns:
            for stay in self._stays:
                if stay.inside and not stay.dwelt and now_ns - stay.since_ns >= self._dwell_ns:
                    stay.dwelt = True
                    self._tell(events, "dwell", stay, (now_ns - stay.since_ns) / 1e9)
        if self.count >= self._options.occupied_at:
            self._low_ns = -1
            if not self.occupied:
                self.occupied = True
                self.changes += 1
                self._tell(events, "occupied")
        elif self.occupied:
            self._low_ns = now_ns if self._low_ns < 0 else self._low_ns
            if now_ns - self._low_ns >= self._empty_ns:
                self.occupied = False
                self.changes += 1
                self._tell(events, "empty")

    def vacate(self, events: Events) -> None:
        """Nothing is looked at any more: who was here is no longer known to be, and nobody is."""
        count = self.count
        for stay in self._stays:
            if stay.inside:
                self._leave(stay, stay.seen_ns, events)
            stay.begin(0)
        if self.count != count:
            self._tell(events, "count")
        if self.occupied:
            self._tell(events, "empty")
        self.changes += self.count != count or self.occupied
        self.occupied = False

    def _judge(self, track: Track, stay: _Stay, now_ns: int, events: Events) -> None:
        if (self.keeps(track) if stay.inside else self.holds(track)) == stay.inside:
            stay.other_ns = -1
        else:
            stay.other_ns = now_ns if stay.other_ns < 0 else stay.other_ns
            if track.id and now_ns - stay.other_ns >= self._settle_ns:
                if stay.inside:
                    stay.keep(track)
                    self._leave(stay, stay.other_ns, events)
                else:
                    self._enter(track, stay, events)
        stay.seen_ns = now_ns
        if stay.inside:
            stay.keep(track)

    def _enter(self, track: Track, stay: _Stay, events: Events) -> None:
        self.count += 1
        self.entered += 1
        stay.keep(track)
        stay.inside, stay.dwelt, stay.since_ns, stay.other_ns = True, False, stay.other_ns, -1
        self._tell(events, "enter", stay)

    def _leave(self, stay: _Stay, at_ns: int, events: Events) -> None:
        self.count -= 1
        stay.inside, stay.other_ns = False, -1
        self._tell(events, "leave", stay, (at_ns - stay.since_ns) / 1e9)

    def _tell(self, events: Events, reason: _Told, stay: _Stay | None = None, seconds: float = 0.0) -> None:
        if reason not in self._tells:
            return
        told: Reason = reason
        if stay is None:
            events.add(told, zone=self.name, count=self.count)
        else:
            events.add(told, zone=self.name, count=self.count, track=stay.id, label=stay.label, seconds=seconds, box=stay.box)

    def document(self) -> dict[str, Any]:
        """For payloads, health and the zone's own topic."""
        return {"count": self.count, "occupied": self.occupied, "entered": self.entered}


class _Stay:
    """One track and one zone. Times are CLOCK_MONOTONIC in ns; ``other_ns``: since when it is on the other side of the edge."""

    __slots__ = ("box", "dwelt", "id", "inside", "label", "number", "other_ns", "seen_ns", "since_ns")

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, number: int) -> None:
        self.number = number
        self.inside = self.dwelt = False
        self.id, self.label, self.box = 0, "", (0.0, 0.0, 0.0, 0.0)
        self.since_ns = self.seen_ns = 0
        self.other_ns = -1

    def keep(self, track: Track) -> None:
        """Who it is and where: that must be known when it is gone."""
        self.id, self.label, self.box = track.id, track.label, (track.left, track.top, track.right, track.bottom)


def leave_out(detections: Detections, zones: Sequence[Zone]) -> int:
    """Move what stands in zones that exclude behind the end of the rows; how many these were. The order of the others stays."""
    rows, kept, count = detections.rows, 0, detections.count
    for index in range(count):
        box = rows[index]
        if not any(zone.wants(box.label) and zone.holds(box) for zone in zones):
            rows[kept], rows[index] = box, rows[kept]
            kept += 1
    detections.count = kept
    return count - kept
