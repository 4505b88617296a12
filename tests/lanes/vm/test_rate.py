"""The camera at its full rate, alone on the machine. An emulated processor is too slow for it: what it misses must be counted."""

from __future__ import annotations

from tests.daemon import Subscriber, check_equations, until
from tests.lanes.vm.conftest import PIPELINES
from tests.lanes.vm.guest import Guest


def _rates(heard: Subscriber, pipeline: str) -> dict[str, float]:
    """Frames a second over about ten seconds, on the guest's clock; ``lost``: the driver made them and had no buffer."""
    heard.health.clear()
    until(lambda: len(heard.health) >= 2 and heard.health[-1]["uptime_s"] - heard.health[0]["uptime_s"] >= 10, "ten seconds", 90)
    first, last = ({**document["pipelines"][pipeline], "lost": document["pipelines"][pipeline]["source"]["missed"],
                    "at": document["uptime_s"]} for document in (heard.health[0], heard.health[-1]))
    return {name: round((last[name] - first[name]) / (last["at"] - first["at"]), 1) for name in ("captured", "inferred", "lost")}


def test_thirty_frames_a_second_are_captured_or_counted_as_lost(guest: Guest) -> None:
    """What the driver makes is captured; what it had no buffer for, because the processor was busy, is in health."""
    guest.start({"yard": {**PIPELINES["yard"], "gate": {"on_change": True}}}, health={"interval_s": 2})
    with guest.listening() as heard:
        best = 0.0
        for _ in range(6):
            rates = _rates(heard, "yard")
            print(f"\nvivid, frames a second: {rates}")
            check_equations(heard.health[-1])
            best = max(best, rates["captured"] + rates["lost"])
            if best > 25:
                break
    assert best > 25
