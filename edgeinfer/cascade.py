"""A second model that looks at what the first one found: whose face is this, which bird, where are the joints.

    detections ─▶ which ones, at most so many a frame ─▶ crop ─▶ second lane ─▶ detections[i].then
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from edgeinfer.crop import Aim, Crop, turned_format
from edgeinfer.log import log
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.consistency import is_name
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.result import Box, Detections
from edgeinfer.scene.seen import Answer
from edgeinfer.scene.tracker import Tracker

__all__ = ["Cascade", "ThenOptions", "crop_format"]


class ThenOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The second model of a pipeline, and what it looks at. Whether a face must be turned upright is for the user of the two
    models to say; everything about the second model itself is in its bundle."""

    bundle: str = ""
    model: str = ""  # an installed one, which is followed while the daemon runs
    runtime: RuntimeOptions = RuntimeOptions()
    threshold: float | None = None  # only stricter (higher) than the bundle's
    labels: tuple[str, ...] = ()  # of the first model: only these; none: all
    min_score: float = 0.0
    min_pixels: int = 16  # a box with a shorter side is not worth a look
    margin: float = 0.1  # around the box, in shares of its sides, on each side
    square: bool = False  # the shorter side grows to the longer
    rotate: tuple[str, str] | None = None  # two keypoints (names or numbers): turned so that they lie level, the first on the left
    most: int = 4  # crops a frame
    every_s: float = 0.0  # with a tracker: between two looks at one thing

    def __post_init__(self) -> None:
        if bool(self.bundle) == bool(self.model):
            raise ValueError(f"expected either bundle or model, got {'both' if self.bundle else 'neither'}")
        if self.model and not is_name(self.model):
            raise ValueError(f"expected model of 1 to 64 letters, digits, '.', '_', '+' and '-', got {self.model[:80]!r}")
        for name, least, most in (("min_score", 0, 1), ("margin", 0, 2), ("most", 1, 64), ("every_s", 0, 86400),
                                  ("min_pixels", 2, 4096)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"expected {name} between {least} and {most}, got {getattr(self, name)}")


def crop_format(options: ThenOptions, format: FrameFormat) -> FrameFormat:
    """What the second model's preprocessing is built for, of frames of this format."""
    return turned_format(format) if options.rotate else format


class Cascade:
    """The second model of one pipeline (a ``Second`` of its scene). Used by the inference thread only.

    Which detections are looked at: without a tracker the best of each frame; with one, the things that were looked at the
    longest ago (or never), and none more often than each ``every_s``. What was said of a thing stays with it.
    """

    def __init__(self, options: ThenOptions, engine: Engine, format: FrameFormat) -> None:
        """Raises ManifestError where the bundle and the frames do not fit each other."""
        self.engine = engine
        self.looked = 0  #: crops the second model was run on
        self.failed = 0  #: crops it failed on: the first model's result goes on without
        self.last_error = ""
        self.put_off = 0  #: those that had to wait for another frame, since ``most`` were looked at
        self._options = options
        self._format = format
        self.lane = engine.lane(crop_format(options, format), options.threshold)
        self._crop = Crop(self.lane.preprocess, format, options.rotate is not None)
        self.lane.preprocess = self._crop
        self._every_ns = round(options.every_s * 1e9)
        self._remembered: list[Answer] = []
        self._numbers: list[int] = []
        self._answers: list[Answer | None] = []
        self._due: list[tuple[int, int]] = []  # (looked at when, row)

    @property
    def nbytes(self) -> int:
        return self.lane.nbytes

    def warm_up(self) -> None:
        """One run on a blank frame that counts as none."""
        self.lane.warm_up(Frame(self._format))

    def answer(self, frame: Frame, detections: Detections, tracker: Tracker | None) -> list[Answer | None]:
        """What is known of each detection, by row; the same list each time."""
        if len(self._answers) < len(detections.rows):
            self._allocate(len(detections.rows), len(tracker.tracks) if tracker is not None else len(detections.rows))
        now_ns, due = frame.monotonic_ns, self._due
        due.clear()
        for row in range(detections.count):
            known = self._answers[row] = self._known(row, tracker)
            if known is not None and self._wants(detections.rows[row], frame) and \
                    (known.at_ns < 0 or tracker is None or now_ns - known.at_ns >= self._every_ns):
                due.append((known.at_ns if tracker is not None else row, row))
        due.sort()
        for _, row in due[: self._options.most]:
            known = self._answers[row]
            if known is not None:
                self._look(frame, detections.rows[row], known)
        self.put_off += max(len(due) - self._options.most, 0)
        return self._answers

    def _allocate(self, rows: int, things: int) -> None:
        """Once, at the first frame (and again should another model find more at a time)."""
        self._answers = [None] * rows
        self._remembered = [Answer() for _ in range(things)]
        self._numbers = [0] * things

    def _known(self, row: int, tracker: Tracker | None) -> Answer | None:
        """What was said of the thing in this row; None for one that is not followed."""
        slot, number = row, -1  # without a tracker nothing is remembered
        if tracker is not None:
            track = tracker.of_row[row] if row < len(tracker.of_row) else None
            if track is None:
                return None
            slot, number = track.slot, track.number
        known = self._remembered[slot]
        if number < 0 or self._numbers[slot] != number:
            self._numbers[slot] = number
            known.document, known.state, known.at_ns = None, "", -1
        return known

    def _wants(self, box: Box, frame: Frame) -> bool:
        options, format = self._options, frame.format
        if (options.labels and box.label not in options.labels) or box.score < options.min_score:
            return False
        assert isinstance(format, FrameFormat)  # plans refuse windows
        return min((box.right - box.left) * format.width, (box.bottom - box.top) * format.height) >= options.min_pixels

    def _look(self, frame: Frame, box: Box, known: Answer) -> None:
        format = frame.format
        assert isinstance(format, FrameFormat)  # plans refuse windows
        self._crop.aim(self._aim(box, format))
        known.at_ns = frame.monotonic_ns
        try:
            result = self.lane.infer(frame)
        except Exception as error:  # noqa: BLE001  a plug-in's fault costs one answer; the first model is not to blame
            self._fail(error)
            return
        self._crop.turn_back(result, format)
        self.looked += 1
        known.document, known.state = result.document(), result.state()

    def _fail(self, error: Exception) -> None:
        """Told to the log once for each kind of failure."""
        self.failed += 1
        text = f"{type(error).__name__}: {error}"
        if text != self.last_error:
            self.last_error = text
            log.error("model %s: a crop was skipped: %s", self.engine.bundle.manifest.name, text)

    def _aim(self, box: Box, format: FrameFormat) -> Aim:
        grow = 1 + 2 * self._options.margin
        width, height = (box.right - box.left) * format.width * grow, (box.bottom - box.top) * format.height * grow
        if self._options.square or self._options.rotate:
            width = height = min(max(width, height), format.width, format.height)
        angle = _tilt(box, self._options.rotate, format) if self._options.rotate else 0.0
        return Aim((box.left + box.right) / 2 * format.width, (box.top + box.bottom) / 2 * format.height, width, height, angle)

    def figures(self) -> dict[str, Any]:
        """For health. Any thread."""
        lane, manifest = self.lane, self.engine.bundle.manifest
        return {"model": f"{manifest.name}:{manifest.version}", "runs_on": self.engine.session.runs_on,
                "inferred": self.looked, "failed": self.failed, "error": self.last_error, "put_off": self.put_off,
                "latency_ms": {"preprocess": lane.preprocess_ns.summary(), "invoke": lane.invoke_ns.summary(),
                               "decode": lane.decode_ns.summary()}}


def _tilt(box: Box, names: Sequence[str], format: FrameFormat) -> float:
    """By how much the line from the first keypoint to the second falls to the right (radians); 0 where one is missing."""
    first, second = (_find(box, name) for name in names)
    if first is None or second is None:
        return 0.0
    x0, y0 = box.keypoints[first].x, box.keypoints[first].y
    x1, y1 = box.keypoints[second].x, box.keypoints[second].y
    return math.atan2((y1 - y0) * format.height, (x1 - x0) * format.width)


def _find(box: Box, name: str) -> int | None:
    for index, point in enumerate(box.keypoints):
        if point.name == name or str(index) == name:
            return index
    return None
