"""Which detection is which thing: identities over time.

Association in two rounds as in ByteTrack (Zhang et al., 2022): detections that may begin a track first, with all tracks; then
the weak ones, with tracks that were seen the last time. Tracks without an identity yet take what is left. A last round finds
what was out of sight: a lost track takes a detection near to where it must be by now, the farther the longer ago it was seen.

Who goes behind something is seen in part first: the box shrinks, and its middle slows down. So each track remembers its last
full view; where the part that was seen last lies in that view, moved on, the track goes on from the view.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from edgeinfer.model.result import Box, Detections
from edgeinfer.model.tensor import Array
from edgeinfer.scene.kalman import Kalman

__all__ = ["TREMBLE", "Track", "TrackOptions", "Tracker"]

TREMBLE = 0.1  #: a box in sight of a detector trembles by less than this part of its sides, however still the thing stands

_REACH = 0.5  # how far from its prediction a thing may be found, in its sizes
_REACH_PER_S = 1.5  # and so much more for each second
_LONGEST_REACH = 3.0
_LARGER, _SMALLER = 2.0, 0.02  # it may be so many times as long or as short: at first only a part of it is seen
_FULL = 0.9  # of the area of the last full view makes another one
_SETTLED = 4  # frames until the velocity is worth remembering
_STEADY_NS = 400_000_000  # its time constant: it slows down while the first tenth of the thing goes out of sight
_VIEW_NS = 3_000_000_000  # the last full view is forgotten after that: the thing has become smaller
_BLINK_NS = 300_000_000  # a detector misses for so long what is in full sight
_WITHIN = 0.75  # sizes of the view, moved on, in which the middle of what was seen last must lie around its own


class TrackOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How detections become tracks. Nothing here is about one model: its threshold stays where it is."""

    begin_score: float = 0.0  # a detection of a lower score continues a track, but begins none
    confirm: int = 2  # frames in a row that a thing must be seen in before it has an identity
    lost_s: float = 2.0  # a thing that was out of sight for longer is a new one when it comes back
    min_iou: float = 0.2  # overlap with the prediction that makes it the same thing
    by_label: bool = True  # things of different labels are never the same
    most: int = 64  # tracks at one time

    def __post_init__(self) -> None:
        for name, least, most in (("begin_score", 0, 1), ("min_iou", 0.01, 0.99), ("lost_s", 0.05, 600)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"expected {name} between {least:g} and {most:g}, got {getattr(self, name):g}")
        if not 1 <= self.confirm <= 100:
            raise ValueError(f"expected confirm between 1 and 100 frames, got {self.confirm}")
        if not 1 <= self.most <= 256:
            raise ValueError(f"expected most between 1 and 256 tracks, got {self.most}")


class Track:
    """One slot of the tracker. ``number`` is another for each thing that had the slot (0: free); ``id`` is the identity, given
    once the thing is confirmed (0 before). The box is where it was seen last, in fractions of the frame."""

    __slots__ = ("born_ns", "bottom", "hidden", "hits", "id", "index", "label", "left", "number", "right", "row", "score",
                 "seen_ns", "slot", "top")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.number = self.id = self.hits = self.index = 0
        self.hidden = False  # out of sight for so long that it is followed by its last full view
        self.label = ""
        self.score = self.left = self.top = self.right = self.bottom = 0.0
        self.born_ns = self.seen_ns = 0
        self.row = -1  # the detection of this frame; -1: not seen in it

    @property
    def seen(self) -> bool:
        return self.row >= 0


class Tracker:
    """Follows the first ``most`` detections of each frame. All memory is allocated here; one thread."""

    def __init__(self, options: TrackOptions, begun: int = 0) -> None:
        """``begun``: identities that were given before, so that none comes twice."""
        self.options = options
        self.tracks: Sequence[Track] = tuple(Track(slot) for slot in range(options.most))
        self.of_row: list[Track | None] = [None] * options.most  #: the track of each detection of the frame at hand
        self.begun = begun  #: identities given so far
        self.refused = 0  #: detections that found no free slot
        self._lost_ns = round(options.lost_s * 1e9)
        self._kalman = Kalman(options.most)
        self._views = np.zeros((options.most, 7))  # the last full view: the filtered box, its velocity, and the largest area
        self._viewed_ns = [0] * options.most
        self._found = np.zeros((options.most, 4))  # detections: centre x, centre y, width, height
        self._strong = np.zeros(options.most, bool)
        self._score = np.zeros((options.most, options.most))  # of a pair; -1: not to be paired
        self._numbers = 0
        self._now_ns = 0
        self.nbytes = self._kalman.nbytes + self._found.nbytes + self._score.nbytes + 512 * options.most

    def update(self, detections: Detections, now_ns: int) -> None:
        """One frame. ``now_ns`` is any clock in ns that does not go back."""
        options, rows = self.options, min(detections.count, self.options.most)
        self._take(detections.rows, rows)
        seconds = max(now_ns - self._now_ns, 0) / 1e9
        self._now_ns = now_ns
        self._kalman.predict(min(seconds, options.lost_s))
        before = [track for track in self.tracks if track.number]
        lost = [track for track in before if track.row < 0]
        for track in before:
            track.row = -1
        known = [track for track in before if track.id]  # a second box on one thing must not take its place
        new = [track for track in before if not track.id]
        self._pair(known, detections.rows, rows, strong=True)
        self._pair([track for track in known if track not in lost], detections.rows, rows, strong=False)
        self._pair(new, detections.rows, rows, strong=True)
        self._pair(new, detections.rows, rows, strong=False)
        self._find(before, detections.rows, rows)
        for track in before:
            if track.row < 0:
                self._miss(track)
        for row in range(rows):
            if self.of_row[row] is None and self._strong[row]:
                self._begin(row, detections.rows[row])
        for seen in self.of_row[:rows]:
            if seen is not None and not seen.id and seen.hits >= options.confirm:
                self.begun += 1
                seen.id = self.begun

    def forget(self) -> None:
        """Everything that is followed now; identities go on."""
        for track in self.tracks:
            if track.number:
                self._free(track)
        for row in range(len(self.of_row)):
            self.of_row[row] = None

    def _take(self, rows: Sequence[Box], count: int) -> None:
        for row, box in enumerate(rows[:count]):
            self.of_row[row] = None
            self._found[row] = ((box.left + box.right) / 2, (box.top + box.bottom) / 2, box.right - box.left,
                                box.bottom - box.top)
            self._strong[row] = box.score >= self.options.begin_score
        for row in range(count, len(self.of_row)):
            self.of_row[row] = None

    def _pair(self, tracks: Sequence[Track], rows: Sequence[Box], count: int, *, strong: bool) -> None:
        """Those that overlap most first."""
        tracks = [track for track in tracks if track.row < 0]
        if not tracks or not count:
            return
        score = self._overlaps([track.slot for track in tracks], count)
        self._greedily(score, tracks, rows, count, self.options.min_iou, strong)

    def _find(self, tracks: Sequence[Track], rows: Sequence[Box], count: int) -> None:
        """What was out of sight, or has jumped, by where it must be now: the score is 1 there and 0 at the end of its reach."""
        tracks = [track for track in tracks if track.row < 0 and track.id]
        if not tracks or not count:
            return
        slots = [track.slot for track in tracks]
        at, found = self._kalman.at[slots][:, None, :], self._found[None, :count, :]
        reach = np.array([min(_REACH + _REACH_PER_S * (self._now_ns - track.seen_ns) / 1e9, _LONGEST_REACH) for track in tracks])
        size = np.maximum(np.maximum(at[..., 2:], found[..., 2:]), 1e-9)
        away = np.sqrt((((found[..., :2] - at[..., :2]) / size) ** 2).sum(axis=-1)) / reach[:, None]
        grown = np.maximum(found[..., 2:], 1e-9) / np.maximum(at[..., 2:], 1e-9)
        away[((grown > _LARGER) | (grown < _SMALLER)).any(axis=-1)] = 2
        score = self._score[: len(tracks), :count]
        np.subtract(1, away, out=score)
        self._greedily(score, tracks, rows, count, 0.0, strong=True)

    def _overlaps(self, slots: list[int], count: int) -> Array:
        """Intersection over union of predictions and detections."""
        box, found = self._kalman.corners()[slots][:, None, :], self._found[None, :count, :]
        low, high = found[..., :2] - found[..., 2:] / 2, found[..., :2] + found[..., 2:] / 2
        sides = np.clip(np.minimum(box[..., 2:], high) - np.maximum(box[..., :2], low), 0, None)
        both = sides[..., 0] * sides[..., 1]
        areas = (box[..., 2:] - box[..., :2]).prod(axis=-1) + found[..., 2:].prod(axis=-1)
        score = self._score[: len(slots), :count]
        np.divide(both, np.maximum(areas - both, 1e-12), out=score)
        return score

    def _greedily(self, score: Array, tracks: Sequence[Track], rows: Sequence[Box], count: int, least: float,
                  strong: bool) -> None:
        for row in range(count):
            if self.of_row[row] is not None or bool(self._strong[row]) != strong:
                score[:, row] = -1
            elif self.options.by_label:
                for index, track in enumerate(tracks):
                    if track.index != rows[row].index:
                        score[index, row] = -1
        while True:
            index, row = divmod(int(score.argmax()), count)
            if not score[index, row] > least:
                return
            self._see(tracks[index], row, rows[row])
            score[index, :] = -1
            score[:, row] = -1

    def _see(self, track: Track, row: int, box: Box) -> None:
        if track.hidden:
            self._kalman.find(track.slot, self._found[row])
        else:
            self._kalman.correct(track.slot, self._found[row])
        track.row, track.hits, track.hidden, track.seen_ns = row, track.hits + 1, False, self._now_ns
        self.of_row[row] = track
        track.index, track.label, track.score = box.index, box.label, box.score
        track.left, track.top, track.right, track.bottom = box.left, box.top, box.right, box.bottom
        self._remember(track)

    def _remember(self, track: Track) -> None:
        """This view, where it is a full one. The largest area does not follow one that shrinks, or each view would be full."""
        view, box = self._views[track.slot], self._kalman.at[track.slot]
        area = box[2] * box[3]
        if track.hits == 1 or self._now_ns - self._viewed_ns[track.slot] > _VIEW_NS:
            view[6] = area
        if area >= _FULL * view[6]:
            weight = 1.0 if track.hits < _SETTLED else min((self._now_ns - self._viewed_ns[track.slot]) / _STEADY_NS, 1.0)
            view[4:6] += weight * (self._kalman.speed[track.slot, :2] - view[4:6])
            view[:4], view[6] = box, max(area, view[6])
            self._viewed_ns[track.slot] = self._now_ns

    def _hide(self, track: Track) -> None:
        """Out of sight for longer than a detector blinks. What was seen last may have been a part of it."""
        track.hidden = True
        view = self._views[track.slot].copy()
        view[:2] += view[4:6] * ((track.seen_ns - self._viewed_ns[track.slot]) / 1e9)  # where it was when it was seen last
        away_x, away_y = abs((track.left + track.right) / 2 - view[0]), abs((track.top + track.bottom) / 2 - view[1])
        area = (track.right - track.left) * (track.bottom - track.top)
        if area < _FULL * view[6] and away_x < _WITHIN * view[2] and away_y < _WITHIN * view[3]:
            view[:2] += view[4:6] * ((self._now_ns - track.seen_ns) / 1e9)
            self._kalman.lose(track.slot, view[:4], view[4:6])

    def _miss(self, track: Track) -> None:
        """Not seen in this frame: given up when it was never confirmed, is lost for too long, or has left the frame."""
        x, y, width, height = self._kalman.at[track.slot]
        gone = not (-width / 2 < x < 1 + width / 2 and -height / 2 < y < 1 + height / 2)
        if not track.id or gone or self._now_ns - track.seen_ns > self._lost_ns:
            self._free(track)
            return
        self._kalman.lose(track.slot)
        if not track.hidden and self._now_ns - track.seen_ns >= _BLINK_NS:
            self._hide(track)

    def _free(self, track: Track) -> None:
        self._kalman.free(track.slot)
        track.number = track.id = track.hits = 0
        track.row, track.hidden = -1, False

    def _begin(self, row: int, box: Box) -> None:
        track = next((track for track in self.tracks if not track.number), None) or self._oldest_lost()
        if track is None:
            self.refused += 1
            return
        self._kalman.begin(track.slot, self._found[row])
        self._numbers += 1
        track.number, track.id, track.hits, track.born_ns = self._numbers, 0, 0, self._now_ns
        self._see(track, row, box)

    def _oldest_lost(self) -> Track | None:
        return min((track for track in self.tracks if track.row < 0), key=lambda track: track.seen_ns, default=None)

    def counts(self) -> dict[str, int]:
        """For health: tracks in sight and lost at the moment, identities given, detections refused. Any thread."""
        known = [track for track in self.tracks if track.id]
        seen = sum(track.seen for track in known)
        return {"seen": seen, "lost": len(known) - seen, "begun": self.begun, "refused": self.refused}
