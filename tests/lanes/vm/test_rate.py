"""The camera at its full rate, alone on the machine. An emulated processor is too slow for it: what it misses must be counted."""

from __future__ import annotations

from typing import Any

from tests.daemon import Subscriber, check_equations, until
from tests.lanes.vm.conftest import PIPELINES
from tests.lanes.vm.guest import Guest


def _rates(heard: Subscriber, pipeline: str) -> dict[str, float]:
    """Frames a second over about ten seconds, on the guest's clock; ``lost``: the driver made them and had no buffer."""
    heard.health.clear()

    def same_run() -> list[dict[str, Any]]:
        """Documents of the daemon that runs now: the broker still has the last word of the one before."""
        return [document for document in list(heard.health) if document["boot"] == heard.health[-1]["boot"]]

    until(lambda: heard.health and same_run()[-1]["uptime_s"] - same_run()[0]["uptime_s"] >= 10, "ten seconds", 150)
    documents = same_run()
    first, last = ({**document["pipelines"][pipeline], "lost": document["pipelines"][pipeline]["source"]["missed"],
                    "at": document["uptime_s"]} for document in (documents[0], documents[-1]))
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
