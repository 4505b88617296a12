"""What is worth telling. Pure: time is given, no clock is read, nothing but counters and the last M states is kept.

Each frame's result has a state. It is *off* while the score is below the minimum, and ``result.state()`` otherwise
(of any gate that looks at states: ``on_change`` or ``n_of_m``). The filters apply in this order; the first that holds a
frame back counts it:

====  ==============  =======================================  ========================================  =============
step  option          asks                                     holds back, counted as                    lets through
====  ==============  =======================================  ========================================  =============
1     n_of_m          was this state (off too) seen in N of    ``unconfirmed``                           to step 2
                      the last M frames, this one included?
2     on_change       is it the state that was told last?      off ``below``, any other ``unchanged``    "off", "change"
      no on_change    is it off?                               ``below``                                 to step 3
3     every           is it the first, or the k-th since?      ``every``                                 "score" with a
                                                                                                         minimum, "frame"
                                                                                                         without
4     heartbeat_s     held back by 1 to 3, and nothing told    (whatever held it back)                   "heartbeat"
                      for that long, or ever?
5     min_interval_s  was anything told less than that ago?    ``interval``                              the reason
====  ==============  =======================================  ========================================  =============

What follows from it:

- With ``on_change`` the first confirmed state is told, off or not: what a broker retained from an earlier run is corrected.
- A change that comes within the minimum interval is late, not lost: it is told by the first frame after the interval that
  is still in a state other than the one told.
- ``every`` thins plain frames only, never a change, an "off" or a heartbeat.
- A heartbeat tells the frame at hand, even an unconfirmed one. The next confirmed state is then told as a change.
- frames = told + the sum of ``suppressed()``, always.
"""

from __future__ import annotations

import math

import msgspec

from edgeinfer.model.result import Result

__all__ = ["Gate", "GateOptions"]

_OFF = "\0off"  # no label holds NUL
_NEVER = -(1 << 63)  # ns: longer ago than any interval


class GateOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a gate; the defaults let every frame through.

    ``min_score`` and ``release`` are in the unit of the result's score; on from ``min_score``, off below ``release`` (None:
    the same as ``min_score``). ``min_interval_s`` and ``heartbeat_s`` are seconds, 0 switches them off.
    """

    min_score: float | None = None
    release: float | None = None
    on_change: bool = False
    n_of_m: tuple[int, int] | None = None
    min_interval_s: float = 0.0
    heartbeat_s: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        for name in ("min_score", "release"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"expected {name} to be a finite number, got {value}")
        if self.release is not None and (self.min_score is None or self.release > self.min_score):
            raise ValueError(f"expected release to be at most min_score ({self.min_score}), got {self.release}")
        if self.n_of_m is not None and not 1 <= self.n_of_m[0] <= self.n_of_m[1] <= 256:
            raise ValueError(f"expected n_of_m [N, M] with 1 <= N <= M <= 256, got {list(self.n_of_m)}")
        for name in ("min_interval_s", "heartbeat_s"):
            value = getattr(self, name)
            if not 0 <= value < 1e9:
                raise ValueError(f"expected {name} to be seconds, 0 or more, got {value}")
        least = self.min_interval_s
        if 0 < self.heartbeat_s < least:
            raise ValueError(f"expected heartbeat_s of at least min_interval_s ({least}), got {self.heartbeat_s}")
        if self.every < 1:
            raise ValueError(f"expected every to be 1 or more, got {self.every}")


class Gate:
    """One pipeline's gate. ``admit`` belongs to the inference thread; the counters may be read by any."""

    def __init__(self, options: GateOptions) -> None:
        self.on = options.min_score is None  #: the score is above the minimum, by hysteresis
        self.told = 0  #: frames let through
        self.heartbeat_s = options.heartbeat_s
        self._scored = options.min_score is not None
        self._minimum = options.min_score or 0.0
        self._release = self._minimum if options.release is None else options.release
        self._on_change = options.on_change
        self._stateful = options.on_change or options.n_of_m is not None
        self._needed, window = options.n_of_m or (1, 1)
        self._history: list[str | None] = [None] * window  # the last M states; None before M frames came
        self._next = 0  # where in the history the next state goes
        self._every = options.every
        self._since = options.every - 1  # plain frames since one passed step 3
        self._interval_ns = round(options.min_interval_s * 1e9)
        self._heartbeat_ns = round(options.heartbeat_s * 1e9)
        self._told: str | None = None  # the state told last; None when there is none, or it was not confirmed
        self._told_ns = _NEVER
        self._held = {"below": 0, "unconfirmed": 0, "unchanged": 0, "every": 0, "interval": 0}

    def admit(self, result: Result, now_ns: int) -> str:
        """Why this result is to be published: "frame", "score", "change", "off" or "heartbeat"; "" when it is not.

        ``now_ns`` is CLOCK_MONOTONIC in ns. A frame that is held back allocates nothing that stays.
        """
        state = self._state(result)
        confirmed = self._confirm(state)
        reason, held = self._judge(state, confirmed)
        quiet_ns = now_ns - self._told_ns
        if held and self._heartbeat_ns and quiet_ns >= self._heartbeat_ns:
            reason, held = "heartbeat", ""
        if not held and quiet_ns < self._interval_ns:
            held = "interval"
        if held:
            self._held[held] += 1
            return ""
        self.told += 1
        self._told = state if confirmed else None
        self._told_ns = now_ns
        return reason

    def due(self, now_ns: int) -> bool:
        """Whether a heartbeat is, so that a frame is worth looking at for its sake."""
        return bool(self._heartbeat_ns) and now_ns - self._told_ns >= self._heartbeat_ns

    def suppressed(self) -> dict[str, int]:
        """How many frames were held back, by what, for health."""
        return dict(self._held)

    def _state(self, result: Result) -> str:
        if self._scored:
            self.on = result.score() >= (self._release if self.on else self._minimum)  # NaN is off
            if not self.on:
                return _OFF
        return result.state() if self._stateful else ""

    def _confirm(self, state: str) -> bool:
        """Whether the state was seen in N of the last M frames, this one included."""
        history = self._history
        history[self._next] = state
        self._next = (self._next + 1) % len(history)
        return history.count(state) >= self._needed

    def _judge(self, state: str, confirmed: bool) -> tuple[str, str]:
        """Steps 1 to 3: the reason, or else the counter that counts the frame."""
        off = state is _OFF
        if not confirmed:
            return "", "unconfirmed"
        if self._on_change and state != self._told:
            return "off" if off else "change", ""
        if off or self._on_change:
            return "", "below" if off else "unchanged"
        self._since += 1
        if self._since < self._every:
            return "", "every"
        self._since = 0
        return "score" if self._scored else "frame", ""
