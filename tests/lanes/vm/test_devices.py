"""Known pictures, a known temperature and a known tone come out of the broker as results."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from tests.daemon import Subscriber, until
from tests.lanes.vm.conftest import play_pictures
from tests.lanes.vm.guest import Guest


def _of(heard: Subscriber, pipeline: str) -> list[dict[str, Any]]:
    return [result for result in list(heard.results) if result["pipeline"] == pipeline]


def test_known_pictures_give_known_results(guest: Guest, heard: Subscriber) -> None:
    """Each picture that was taken within a colour's three seconds, half a second from their ends, is told as that colour."""
    began = play_pictures(guest) + 3  # before, it is what played last
    until(lambda: len(_since(heard, began)) >= 60, "sixty pictures", 90)
    judged = []
    for taken, result in _since(heard, began):
        if 0.5 < taken % 3 < 2.5:
            judged.append((_label(result), ("red", "green", "blue")[int(taken) // 3 % 3], result["result"]["classes"][0]["score"]))
    print(f"\nloopback: {len(judged)} pictures, lowest score {min(score for *_, score in judged):.3f}")
    assert {label for label, _, _ in judged} == {"red", "green", "blue"}
    assert [label for label, _, _ in judged] == [colour for _, colour, _ in judged]
    assert min(score for *_, score in judged) > 0.9


def _since(heard: Subscriber, began: float) -> list[tuple[float, dict[str, Any]]]:
    """Results of the hall's pictures that were taken later, and when."""
    taken = [(datetime.fromisoformat(result["ts"].replace("Z", "+00:00")).timestamp(), result) for result in _of(heard, "hall")]
    return [(when, result) for when, result in taken if when > began]


def _label(result: dict[str, Any]) -> str:
    label: str = result["result"]["classes"][0]["label"]
    return label


def test_an_i2c_sensor_reaches_results(heard: Subscriber) -> None:
    """The bus, the kernel's driver, Industrial I/O: 25.08 degrees, as the data sheet's example has it."""
    until(lambda: len(_of(heard, "climate")) >= 5, "five windows", 60)
    for result in _of(heard, "climate"):
        np.testing.assert_allclose(_values(result), 25080, atol=10)


def test_sound_reaches_results(heard: Subscriber) -> None:
    """A tone of 2 kHz at half of full scale: half a period later each sample is its opposite."""
    until(lambda: len(_of(heard, "sound")) >= 5, "five windows", 60)
    result = _of(heard, "sound")[-1]
    samples = np.array(_values(result))
    np.testing.assert_allclose(samples[4:], -samples[:-4], atol=2e-3)
    np.testing.assert_allclose(np.sqrt(2 * np.mean(samples**2)), 0.5, atol=0.01)


def _values(result: dict[str, Any]) -> list[float]:
    """Of the one output tensor."""
    (tensor,) = result["result"]["tensors"].values()
    values: list[float] = tensor["data"]
    return values


def test_the_unit_is_shut_in_with_the_camera_working(guest: Guest, heard: Subscriber) -> None:
    """systemd's own judgement, at most 1.5 of 10, while pictures come through that very unit."""
    until(lambda: len(_of(heard, "yard")) >= 10, "pictures", 60)
    said = guest.run("systemd-analyze security --no-pager --threshold=15 edgeinfer.service | tail -1")
    print(f"\n{said}")
    assert guest.run("systemd-analyze security --no-pager --threshold=15 edgeinfer.service >/dev/null && echo yes") == "yes"
