"""When discovery is told, again, and taken back; over restarts, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeinfer.announcer import Announcer, Step
from edgeinfer.discovery import Described, Device, DiscoveryOptions

ON, OFF = DiscoveryOptions(enabled=True), DiscoveryOptions()
PORCH = Device(node="porch", version="1")
DOOR, MOTOR = Described(name="door", task="detection"), Described(name="motor", task="anomaly")
CONFIG = "homeassistant/device/porch/config"


def announcer(folder: Path, options: DiscoveryOptions = ON) -> Announcer:
    return Announcer(options, folder / "state" / "announced.json")


def announced(step: Step, topic: str = CONFIG) -> dict[str, Any]:
    payload = dict(step.values)[topic]
    assert payload, "it is removed"
    document: dict[str, Any] = json.loads(payload)["components"]
    return document


def test_it_is_announced_at_once_and_states_are_told_again_when_it_has_settled(tmp_path: Path) -> None:
    """Discovery, a second or more, then the values; and then nothing."""
    one = announcer(tmp_path)
    one.describe(PORCH, [DOOR], 100.0)
    assert "door.occupancy" in announced(one.advance(100.0))
    assert one.advance(101.0) == Step()
    assert one.advance(101.6) == Step(repeat=True)
    one.describe(PORCH, [DOOR], 110.0)
    assert one.advance(110.0) == Step()


def test_a_new_connection_tells_the_values_again(tmp_path: Path) -> None:
    """The sink sends all of them at once at a new connection; who had to be told of the entities first missed them."""
    one = announcer(tmp_path)
    one.describe(PORCH, [DOOR], 0.0)
    one.advance(0.0)
    one.advance(5.0)
    one.connected("first", 10.0)
    one.connected("first", 10.5)
    assert one.advance(10.5) == Step()
    assert one.advance(11.6) == Step(repeat=True)
    one.connected(None, 20.0)
    assert one.advance(30.0) == Step()
    one.connected("second", 40.0)
    assert one.advance(41.6) == Step(repeat=True)


def test_at_the_birth_of_home_assistant_all_is_told_again_after_a_random_delay(tmp_path: Path) -> None:
    """Its will and other topics do nothing."""
    one = announcer(tmp_path)
    assert one.topics == ("homeassistant/status",)
    one.describe(PORCH, [DOOR], 0.0)
    one.advance(0.0)
    one.advance(5.0)
    assert not one.hear("edgeinfer/porch/command/door/enabled", b"online", 10.0)
    assert one.hear("homeassistant/status", b"offline", 10.0)
    assert one.advance(20.0) == Step()
    assert one.hear("homeassistant/status", b"online", 30.0)
    assert one.advance(30.9) == Step()
    assert "door.occupancy" in announced(one.advance(36.1))
    assert one.advance(38.0) == Step(repeat=True)


def test_what_has_vanished_is_removed_by_name_over_a_restart_too(tmp_path: Path) -> None:
    """Home Assistant keeps a component that is merely left out."""
    one = announcer(tmp_path)
    one.describe(PORCH, [DOOR, MOTOR], 0.0)
    one.advance(0.0)
    one.describe(PORCH, [DOOR], 10.0)
    assert announced(one.advance(10.0))["motor.problem"] == {"platform": "binary_sensor"}
    again = announcer(tmp_path)
    again.describe(PORCH, [MOTOR], 0.0)
    components = announced(again.advance(0.0))
    assert components["door.occupancy"] == {"platform": "binary_sensor"}
    assert len(components["motor.problem"]) > 1, "it is back"


def test_switched_off_the_device_is_removed_once_and_forgotten_when_the_broker_knows(tmp_path: Path) -> None:
    """Until then each start tries again: the broker may have been away."""
    one = announcer(tmp_path)
    one.describe(PORCH, [DOOR], 0.0)
    one.advance(0.0)
    for _ in range(2):
        off = announcer(tmp_path, OFF)
        off.describe(PORCH, [DOOR], 0.0)
        assert off.advance(0.0) == Step(((CONFIG, b""),))
        assert off.advance(100.0) == Step()
    off.connected("first", 100.0)
    assert off.advance(101.0) == Step()
    off.advance(106.0)
    assert announcer(tmp_path, OFF).advance(0.0) == Step()
    assert not list((tmp_path / "state").iterdir())


def test_another_name_or_prefix_takes_the_old_device_away(tmp_path: Path) -> None:
    """And the new one is not told to remove what it never had."""
    one = announcer(tmp_path)
    one.describe(PORCH, [DOOR], 0.0)
    one.advance(0.0)
    renamed = announcer(tmp_path)
    renamed.describe(Device(node="gate", version="1"), [MOTOR], 0.0)
    step = renamed.advance(0.0)
    assert dict(step.values)[CONFIG] == b""
    assert "door.occupancy" not in announced(step, "homeassistant/device/gate/config")
    back = announcer(tmp_path)
    back.describe(PORCH, [DOOR], 0.0)
    values = dict(back.advance(0.0).values)
    assert values[CONFIG], "not removed after all"
    assert values["homeassistant/device/gate/config"] == b""


def test_who_never_announced_says_nothing_while_switched_off(tmp_path: Path) -> None:
    """No topic, no file."""
    off = announcer(tmp_path, OFF)
    assert off.topics == ()
    off.describe(PORCH, [DOOR], 0.0)
    off.connected("first", 0.0)
    assert off.advance(100.0) == Step()
    assert list(tmp_path.iterdir()) == []


def test_a_torn_memory_or_a_disk_that_fails_costs_the_memory_only(tmp_path: Path) -> None:
    """It is announced all the same."""
    (tmp_path / "state").write_text("a file where the folder should be")
    one = announcer(tmp_path)
    one.describe(PORCH, [DOOR], 0.0)
    assert announced(one.advance(0.0))
    (tmp_path / "state").unlink()
    (tmp_path / "state").mkdir()
    for damage in (b'{"topic": ', b'{"topic":"\xff"}', b'{"x":' + b"[" * 100_000, b"[]"):
        (tmp_path / "state" / "announced.json").write_bytes(damage)
        other = announcer(tmp_path)
        other.describe(PORCH, [DOOR], 0.0)
        assert announced(other.advance(0.0))
