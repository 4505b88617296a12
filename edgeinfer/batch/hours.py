"""At which hours the work may be done."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from edgeinfer.errors import UsageError

__all__ = ["Hours"]

_FORM = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_LONGEST_NAP_S = 30.0  # the clock may be set meanwhile: it is looked at anew
_DAY = 24 * 60


class Hours:
    """From ``begin`` up to ``end``, minutes of the local day; over midnight where the end is the earlier one.

    Only what the clock says now counts, so a clock that is set, and summer time, do no harm.
    """

    def __init__(self, begin: int = 0, end: int = _DAY, clock: Callable[[], time.struct_time] = time.localtime) -> None:
        self._begin, self._end, self._clock = begin, end, clock

    @classmethod
    def parse(cls, text: str) -> Hours:
        """"01:00-05:00". Raises UsageError."""
        found = _FORM.fullmatch(text.strip())
        if found is not None:
            first, minute, last, last_minute = map(int, found.groups())
            begin, end = first * 60 + minute, last * 60 + last_minute
            if minute < 60 and last_minute < 60 and begin < _DAY and end <= _DAY and begin != end:
                return cls(begin, end)
        raise UsageError("--between", "two different times of a day", text, "--between 01:00-05:00")

    def open(self) -> bool:
        """Whether it is time to work."""
        now = self._clock()
        minute = now.tm_hour * 60 + now.tm_min
        if self._begin < self._end:
            return self._begin <= minute < self._end
        return minute >= self._begin or minute < self._end

    def nap_s(self) -> float:
        """Seconds to sleep before the clock is looked at again: until the begin, and never long."""
        now = self._clock()
        left = (self._begin * 60 - (now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec)) % (_DAY * 60)
        return min(max(left, 0.5), _LONGEST_NAP_S)

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self._begin, self._end))
