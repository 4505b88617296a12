"""Schedules: days and times of the week."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Iterator

import pytest

from edgeinfer.scene.schedule import Schedule, ScheduleOptions


def utc(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S")) * 1_000_000_000


# 2026-11-23 is a Monday
CASES = [
    ("08:00-18:00", "2026-11-22 08:00:00", True), ("08:00-18:00", "2026-11-22 07:59:59", False),
    ("08:00-18:00", "2026-11-22 17:59:59", True), ("08:00-18:00", "2026-11-22 18:00:00", False),
    ("Mon-Fri 08:00-18:00", "2026-11-23 12:00:00", True), ("Mon-Fri 08:00-18:00", "2026-11-28 12:00:00", False),
    ("Sat,Sun 22:00-06:00", "2026-11-28 23:00:00", True), ("Sat,Sun 22:00-06:00", "2026-11-30 05:59:59", True),
    ("Sat,Sun 22:00-06:00", "2026-11-28 05:00:00", False), ("Fri-Mon 00:00-24:00", "2026-11-23 00:00:00", True),
    ("Fri-Mon 00:00-24:00", "2026-11-24 00:00:00", False), ("sun 23:30-00:30", "2026-11-23 00:29:59", True),
]


@pytest.mark.parametrize(("span", "instant", "active"), CASES)
def test_a_span_holds_from_its_first_minute_to_before_its_last(span: str, instant: str, active: bool) -> None:
    assert Schedule(ScheduleOptions(active=(span,), clock="utc")).active(utc(instant)) is active


def test_several_spans_add_up() -> None:
    schedule = Schedule(ScheduleOptions(active=("06:00-08:00", "20:00-22:00"), clock="utc"))
    hours = [hour for hour in range(24) if schedule.active(utc(f"2026-11-24 {hour:02}:00:00"))]
    assert hours == [6, 7, 20, 21]


@pytest.fixture
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_local_time_is_what_the_clock_on_the_wall_says_summer_and_winter() -> None:
    schedule = Schedule(ScheduleOptions(active=("08:00-09:00",)))
    assert [schedule.active(utc(f"2026-{day} 06:30:00")) for day in ("07-01", "12-01")] == [True, False]
    assert [schedule.active(utc(f"2026-{day} 07:30:00")) for day in ("07-01", "12-01")] == [False, True]


@pytest.mark.parametrize("text", ["", "8-18", "08:00-08:00", "Mo 08:00-18:00", "08:60-09:00", "24:00-01:00", "08:00-25:00",
                                  "Mon- 08:00-18:00", "m on 08:00-18:00", "Mon-Wed-Fri 08:00-18:00"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        ScheduleOptions(active=(text,))
