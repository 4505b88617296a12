"""When a pipeline looks at all: days and times of the week."""

from __future__ import annotations

import re
import time
from typing import Literal

import msgspec

__all__ = ["Schedule", "ScheduleOptions"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(?:([a-z,\- ]+?)\s+)?(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)", re.IGNORECASE)
_DAY_MINUTES = 24 * 60


class ScheduleOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``active``: spans like "08:00-18:00" (each day), "Mon-Fri 08:00-18:00", "Sat,Sun 22:00-06:00" (into the next day)."""

    active: tuple[str, ...]
    clock: Literal["local", "utc"] = "local"
    close: bool = False  # the source is closed outside of them (a camera's light goes out); else its frames are skipped

    def __post_init__(self) -> None:
        if not self.active:
            raise ValueError("expected active to name at least one span of time, got none")
        for text in self.active:
            _parse(text)


class Schedule:
    """Answers for any instant; the week's minutes are worked out here, once, so that each answer is one look-up."""

    def __init__(self, options: ScheduleOptions) -> None:
        self.close = options.close
        self._local = options.clock == "local"
        self._minutes = bytearray(7 * _DAY_MINUTES)
        for text in options.active:
            days, start, end = _parse(text)
            for day in days:
                for minute in range(start, end):
                    self._minutes[(day * _DAY_MINUTES + minute) % len(self._minutes)] = 1
        self._answer = (-1, True)  # the minute that was asked about last; one attribute, since any thread may ask

    def active(self, wall_ns: int) -> bool:
        """``wall_ns`` is CLOCK_REALTIME. A jump of the clock, a change to summer time: the answer is that of the clock's face."""
        minute = wall_ns // 60_000_000_000
        asked, active = self._answer
        if minute != asked:
            face = time.localtime(minute * 60) if self._local else time.gmtime(minute * 60)
            active = bool(self._minutes[face.tm_wday * _DAY_MINUTES + face.tm_hour * 60 + face.tm_min])
            self._answer = minute, active
        return active


def _parse(text: str) -> tuple[list[int], int, int]:
    """(days from Monday = 0, first minute, minute after the last; beyond a day's where it goes on after midnight)."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a span like 'Mon-Fri 08:00-18:00', got {text[:80]!r}")
    days, *clock = match.groups()
    start_hour, start_minute, end_hour, end_minute = map(int, clock)
    start, end = 60 * start_hour + start_minute, 60 * end_hour + end_minute
    if max(start_minute, end_minute) > 59 or start >= _DAY_MINUTES or end > _DAY_MINUTES or start == end:
        raise ValueError(f"expected two times of day that differ, from 00:00 to 24:00, got {text[:80]!r}")
    return _parse_days(days, text), start, end if end > start else end + _DAY_MINUTES


def _parse_days(days: str | None, text: str) -> list[int]:
    if not days:
        return list(range(7))
    found: list[int] = []
    for part in days.lower().split(","):
        names = [name.strip() for name in part.split("-")]
        first, last = names[0], names[-1]
        if len(names) > 2 or first not in _DAYS or last not in _DAYS:
            raise ValueError(f"expected days of {', '.join(day.title() for day in _DAYS)}, got {text[:80]!r}")
        index = _DAYS.index(first)
        found += [(index + step) % 7 for step in range((_DAYS.index(last) - index) % 7 + 1)]
    return sorted(set(found))
