"""What a person is shown of one frame: the picture with all that was found on it, or the window with its spectrogram."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import msgspec

from edgeinfer.annotate import annotate, to_bgr
from edgeinfer.drawing.fills import Moved, Overlay, Trail, Zone
from edgeinfer.drawing.signals import draw_window
from edgeinfer.looking.second import labelled, pointed
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.preprocess.features import features_of
from edgeinfer.model.preprocess.featurespec import StatisticsSpec
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.result import Anomaly, Box, Classes, Detections, Result
from edgeinfer.model.tensor import Array
from edgeinfer.scene.crossing import Line, LineOptions
from edgeinfer.scene.motion import Motion
from edgeinfer.scene.seen import Answer, Seen
from edgeinfer.scene.zones import Zone as SceneZone
from edgeinfer.scene.zones import ZoneOptions

__all__ = ["View"]

_TRAIL = 48  # places of one thing
_PAST = 120  # results of a sensor
_NOTHING = Detections([])
_HELD = {"": "", "still": ": still, skipped", "schedule": ": outside of its schedule, skipped",
         "failed": ": the model failed, skipped"}


class View:
    """One pipeline's frames, one after the other: it remembers where things were. ``zones`` and ``lines`` as the configuration has
    them, by name; ``motion``: what moves and its mask are drawn, too."""

    def __init__(self, bundle: Bundle, title: str, zones: Mapping[str, ZoneOptions] | None = None,
                 lines: Mapping[str, LineOptions] | None = None, motion: Motion | None = None) -> None:
        self._title, self._motion = title, motion
        self._zones, self._lines = zones or {}, lines or {}
        self._trails: dict[int, deque[tuple[float, float]]] = {}
        self._past: deque[tuple[float, int]] = deque(maxlen=_PAST)
        spec = bundle.manifest.preprocess
        self._spec = spec if isinstance(spec, WindowSpec) else None
        rows = self._spec is not None and self._spec.features is not None and not isinstance(self._spec.features, StatisticsSpec)
        self._features = features_of(self._spec) if rows and self._spec is not None else None

    def draw(self, frame: Frame, result: Result | None, held: str = "") -> Array:
        """A new BGR picture; the arguments stay as they are. ``held``: why the model did not look at this frame ("still",
        "schedule", "failed"; "": it did); then the result is that of the frame before, or None."""
        title, found = self._title + _HELD[held], _NOTHING if result is None else result
        if isinstance(frame.format, FrameFormat):
            shown, overlays = self._with_scene(found, frame.monotonic_ns, follow=not held)
            return annotate(to_bgr(frame), shown, title, [*self._moving(), *overlays])
        assert self._spec is not None  # what takes windows says so
        if result is not None and not held:
            self._past.append(_height(result))
        features = None
        if self._features is not None:
            self._features.forget()
            features = self._features.of(frame)
        return annotate(draw_window(frame.view, self._spec.rate, features, tuple(self._past)), found, title)

    def _moving(self) -> list[Overlay]:
        if self._motion is None:
            return []
        masks = [Zone("no motion", points, excluded=True) for points in self._motion.options.mask]
        return [*masks, Moved(self._motion.changed)]

    def _with_scene(self, result: Result, now_ns: int, follow: bool) -> tuple[Result, list[Overlay]]:
        if not isinstance(result, Seen):
            return result, self._places((), ())
        rows, within, feet = list[Box](), list[Box](), dict[int, tuple[float, float]]()
        for index, box in enumerate(result.detections.rows[: result.detections.count]):
            track = result.tracks[index] if index < len(result.tracks) else None
            shown, found = _answered(box, result.answers[index] if index < len(result.answers) else None, now_ns)
            within += found
            if track is not None and track.id:
                feet[track.id] = (box.left + box.right) / 2, box.bottom
                if follow:
                    self._follow(track.id, *feet[track.id])
                shown = msgspec.structs.replace(shown, label=f"#{track.id} {shown.label}", index=track.id)
            rows.append(shown)
        for gone in set(self._trails) - set(feet) if follow else ():  # fades while it is out of sight
            self._trails[gone].popleft()
            if not self._trails[gone]:
                del self._trails[gone]
        trails = [Trail(number, (*points, *([feet[number]] if number in feet else []))) for number, points in self._trails.items()]
        return Detections([*rows, *within], len(rows) + len(within)), [*trails, *self._places(result.zones, result.lines)]

    def _follow(self, number: int, x: float, y: float) -> None:
        """One place more, with what trembles evened out."""
        trail = self._trails.setdefault(number, deque(maxlen=_TRAIL))
        last_x, last_y = trail[-1] if trail else (x, y)
        trail.append((last_x + 0.4 * (x - last_x), last_y + 0.4 * (y - last_y)))

    def _places(self, of_zones: Sequence[SceneZone], of_lines: Sequence[Line]) -> list[Overlay]:
        zones = {zone.name: zone for zone in of_zones}
        lines = {line.name: line for line in of_lines}
        places: list[Overlay] = [Zone(name, options.points, name in zones and zones[name].count > 0,
                       str(zones[name].count) if name in zones else "", options.exclude) for name, options in self._zones.items()]
        for name, options in self._lines.items():
            counts = lines[name].counts if name in lines else {}
            places.append(Zone(name, options.points, False, "  ".join(f"{way} {count}" for way, count in counts.items())))
        return places


def _answered(box: Box, answer: Answer | None, now_ns: int) -> tuple[Box, list[Box]]:
    """A detection with what the second model says of it, and what that found within it. Places of an earlier frame are left out:
    they would hang in the air."""
    if answer is None or answer.document is None:
        return box, []
    if "detections" not in answer.document:
        return msgspec.structs.replace(box, label=f"{box.label}: {answer.state}" if answer.state else box.label), []
    if answer.at_ns != now_ns:
        return box, []
    return pointed(box, answer.document), labelled(answer.document)


def _height(result: Result) -> tuple[float, int]:
    """Of the strip of what was: how high, and which colour."""
    if isinstance(result, Anomaly):
        return result.value / (2 * result.threshold or 1.0), 2 if result.value > result.threshold else 0
    if isinstance(result, Classes) and result.count:
        return result.rows[0].score, result.rows[0].index
    return result.score(), 0
