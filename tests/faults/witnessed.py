"""What the tests of faults ask of the results that a witness received."""

from __future__ import annotations

import os
import time
from datetime import datetime
from itertools import pairwise

from tests.broker import until
from tests.daemon import Subscriber, check_equations

__all__ = ["FULL", "LEAST_RATE", "all_published", "equations_hold", "nothing_is_missing", "rate", "wait"]

FULL = os.environ.get("EDGEINFER_FAULTS") == "full"
LEAST_RATE = 0.5 if FULL else 0.2  # of what it was: loose, since the machine may be busy with other tests


def rate(subscriber: Subscriber, pipeline: str, begin: float, end: float) -> float:
    """Results a second by the time of capture (CLOCK_REALTIME, s)."""
    stamps = {(result["boot"], result["seq"]): datetime.fromisoformat(result["ts"].replace("Z", "+00:00")).timestamp()
              for result in list(subscriber.results) if result["pipeline"] == pipeline}
    return sum(begin <= stamp < end for stamp in stamps.values()) / (end - begin)


def nothing_is_missing(subscriber: Subscriber, pipeline: str) -> None:
    """Each boot's sequence starts at 1 and first occurrences have no gap and are in order."""
    for boot, numbers in subscriber.sequences(pipeline).items():
        assert numbers == list(range(1, len(numbers) + 1)), f"boot {boot}: {[p for p in pairwise(numbers) if p[1] != p[0] + 1][:5]}"


def all_published(subscriber: Subscriber, pipeline: str, seconds: float = 20.0) -> None:
    """Wait until every result that the last health document knows of is there."""
    def caught_up() -> bool:
        health = subscriber.health[-1]
        return len(subscriber.sequences(pipeline).get(health["boot"], ())) >= health["pipelines"][pipeline]["published"]
    until(caught_up, f"all results of {pipeline}", seconds)


def equations_hold(subscriber: Subscriber) -> None:
    """In every health document that was received."""
    assert subscriber.health
    for health in list(subscriber.health):
        check_equations(health)


def wait(seconds: float) -> tuple[float, float]:
    """When it began and ended (CLOCK_REALTIME, s)."""
    begin = time.time()
    time.sleep(seconds)
    return begin, time.time()
