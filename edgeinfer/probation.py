"""A new model on probation: is it worse than the one whose place it took? Pure: time and figures are given.

=========  ==============================  =====================================================  ==================
limit      compares                        with                                                   judged
=========  ==============================  =====================================================  ==================
failed     the share of failed frames      ``max_failed``, or twice the old model's share         at any time
latency    p95 of a frame's way            ``deadline_ms``, or twice the old one's and 5 ms more  at any time
scores     the distribution of scores      the old model's: stability index of ``max_psi``        at the end
inputs     the distribution of inputs      the calibration: stability index of ``max_drift``,     at the end
                                           where the old model's was within it
=========  ==============================  =====================================================  ==================

After a restart the figures of the old model are those that were kept, and the new one's latency is held against them at the
end: a device that has just started is slow. Nothing is judged before ``min_frames`` frames (samples, for distributions), but
for a model that fails on the few that it saw by the end; one that saw none is watched until it does. Distributions are left
for the end because a scene changes, too: over the whole time they say more of the model and less of the hour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from edgeinfer.counters import stability_index

__all__ = ["CRASHES", "REBOOTS", "Figures", "Probation", "UpdateOptions"]

CRASHES = 2  # ends of the daemon that were not orderly, in one life of the kernel: then the new model goes
REBOOTS = 5  # and so many that came with another start of the kernel: power cuts, unless the model does it
_LEAST_MORE_MS = 5.0


class UpdateOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a new model is watched after it took over, and what sends it back. A limit of 0 is not watched."""

    probation_s: float = 600.0  # how long, and until the first frame; 0: not at all
    deadline_ms: float = 0.0  # p95 of a frame's way; 0: twice the old model's, and at least 5 ms more
    max_failed: float = 0.02  # share of frames that the model or its decoder fails on; 1 is not watched
    max_psi: float = 4.0  # population stability index of the scores against the old model's
    max_drift: float = 4.0  # population stability index of the inputs, where the old model's was within it
    min_frames: int = 100  # before anything is said of shares, latencies and distributions

    def __post_init__(self) -> None:
        for name, most in (("probation_s", 30 * 86400), ("deadline_ms", 600_000), ("max_failed", 1), ("max_psi", 1000),
                           ("max_drift", 1000)):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= most):
                raise ValueError(f"expected {name} between 0 and {most}, got {value:g}")
        if not 1 <= self.min_frames <= 1_000_000:
            raise ValueError(f"expected min_frames between 1 and 1000000, got {self.min_frames}")


class Figures(NamedTuple):
    """Of one model in one pipeline since it took over. ``drift``: the stability index of its inputs, None where unknown."""

    frames: int
    failed: int
    p95_ms: float
    scores: tuple[int, ...]
    drift: float | None = None


class Probation:
    """One model's. ``old``: by pipeline, the figures of the model before it; of those that are not there nothing is compared.
    ``restarted``: the daemon was, since the new one took over."""

    def __init__(self, options: UpdateOptions, old: Mapping[str, Figures], now_s: float, *, restarted: bool = False) -> None:
        self.state: Literal["watching", "accepted", "violated"] = "watching"
        self.reason = ""
        self.until_s = now_s + options.probation_s
        self._options = options
        self._old = dict(old)
        self._restarted = restarted

    def judge(self, figures: Mapping[str, Figures], now_s: float) -> str:
        """The state after these figures; it changes once. ``now_s``: a monotonic clock."""
        if not self._options.probation_s:
            self.state = "accepted"
        elif self.state == "watching":
            over = now_s >= self.until_s and any(new.frames for new in figures.values())  # who saw no frame proved nothing
            for name, new in figures.items():
                self.reason = self.reason or self._violation(name, new, over)
            self.state = "violated" if self.reason else "accepted" if over else "watching"
        return self.state

    def _violation(self, name: str, new: Figures, over: bool) -> str:
        old = self._old.get(name)
        found = self._failed(new, old, over) or self._late(new, None if self._restarted and not over else old)
        if not found and over and old is not None:
            found = self._scores(new, old) or self._inputs(new, old)
        return f"{name}: {found}" if found else ""

    def _failed(self, new: Figures, old: Figures | None, over: bool) -> str:
        """Of few frames, at the end, more than may fail of ``min_frames`` are too many, as where all fail of a frame a minute."""
        least = self._options.min_frames
        allowed = max(self._options.max_failed, 2 * old.failed / old.frames if old is not None and old.frames else 0.0)
        if (new.frames < least and not over) or new.failed <= allowed * max(new.frames, least):
            return ""
        return f"{new.failed} of {new.frames} frames failed (at most {allowed:.3g} of them may)"

    def _late(self, new: Figures, old: Figures | None) -> str:
        allowed = self._options.deadline_ms
        if not allowed and old is not None and old.frames >= self._options.min_frames:
            allowed = max(2 * old.p95_ms, old.p95_ms + _LEAST_MORE_MS)
        if not allowed or new.frames < self._options.min_frames or new.p95_ms <= allowed:
            return ""
        return f"95 % of frames take up to {new.p95_ms:.1f} ms (at most {allowed:.1f} ms)"

    def _scores(self, new: Figures, old: Figures) -> str:
        most, least = self._options.max_psi, self._options.min_frames
        if not most or min(sum(new.scores), sum(old.scores)) < least:
            return ""
        index = stability_index(old.scores, new.scores)
        return f"its scores are distributed otherwise: stability index {index:.2f} (at most {most:g})" if index > most else ""

    def _inputs(self, new: Figures, old: Figures) -> str:
        most = self._options.max_drift
        if not most or new.drift is None or old.drift is None or old.drift > most or new.frames < self._options.min_frames:
            return ""
        found = f"its inputs are not what it was calibrated on: stability index {new.drift:.2f} (at most {most:g})"
        return found if new.drift > most else ""
