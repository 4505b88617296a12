"""The gate: which frames are worth telling."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.errors import Fault
from edgeinfer.gate import Gate, GateOptions
from edgeinfer.model.result import Anomaly, Box, Classes, Detections, Label, Raw, Regression, Result
from edgeinfer.typed import convert

SECOND = 1_000_000_000


def classes(score: float, label: str = "cat") -> Classes:
    return Classes([Label(0, label, score)], 1)


def reasons(options: dict[str, Any], frames: list[tuple[float, float, str]]) -> list[str]:
    gate = Gate(GateOptions(**options))
    return [gate.admit(classes(score, label), round(at * SECOND)) for at, score, label in frames]


# options, [(second, score, label)], reasons in one line; "-" is held back
CASES: dict[str, tuple[dict[str, Any], list[tuple[float, float, str]], str]] = {
    "the defaults let every frame through": (
        {}, [(0, 0.1, "cat"), (0, 0.0, "dog"), (0, 0.1, "cat")], "frame frame frame"),
    "a minimum lets through what reaches it": (
        {"min_score": 0.5}, [(0, 0.49, "cat"), (1, 0.5, "cat"), (2, 0.4, "cat")], "- score -"),
    "a release below the minimum keeps the state on until the score is below it": (
        {"min_score": 0.6, "release": 0.4},
        [(0, 0.5, "cat"), (1, 0.6, "cat"), (2, 0.4, "cat"), (3, 0.39, "cat"), (4, 0.5, "cat")], "- score score - -"),
    "without a release the minimum itself is the edge": (
        {"min_score": 0.6}, [(0, 0.6, "cat"), (1, 0.59, "cat"), (2, 0.6, "cat")], "score - score"),
    "on change tells the first state and each other one": (
        {"on_change": True}, [(0, 0.9, "cat"), (1, 0.8, "cat"), (2, 0.9, "dog"), (3, 0.9, "cat")], "change - change change"),
    "a fall below the minimum is told once, as off": (
        {"on_change": True, "min_score": 0.5},
        [(0, 0.9, "cat"), (1, 0.1, "cat"), (2, 0.1, "dog"), (3, 0.9, "cat")], "change off - change"),
    "the first state is told though it is off, to correct what an earlier run left retained": (
        {"on_change": True, "min_score": 0.5}, [(0, 0.1, "cat"), (1, 0.1, "cat")], "off -"),
    "2 of 3 needs the state twice before it counts": (
        {"on_change": True, "n_of_m": (2, 3)},
        [(0, 1, "cat"), (1, 1, "cat"), (2, 1, "dog"), (3, 1, "cat"), (4, 1, "dog"), (5, 1, "dog")], "- change - - change -"),
    "off must be confirmed too, so that one bad frame does not end a state": (
        {"on_change": True, "min_score": 0.5, "n_of_m": (2, 2)},
        [(0, 0.9, "cat"), (1, 0.9, "cat"), (2, 0.1, "cat"), (3, 0.9, "cat"), (4, 0.1, "cat"), (5, 0.1, "cat")],
        "- change - - - off"),
    "N of M alone thins out what flickers": (
        {"n_of_m": (2, 2)}, [(0, 1, "cat"), (1, 1, "cat"), (2, 1, "dog"), (3, 1, "cat"), (4, 1, "cat")],
        "- frame - - frame"),
    "a minimum interval holds back what comes too early": (
        {"min_interval_s": 2}, [(0, 1, "cat"), (1, 1, "cat"), (1.9, 1, "cat"), (2, 1, "cat")], "frame - - frame"),
    "a change within the interval is late, not lost": (
        {"on_change": True, "min_interval_s": 2},
        [(0, 1, "cat"), (1, 1, "dog"), (1.5, 1, "dog"), (2.5, 1, "dog"), (5, 1, "dog")], "change - - change -"),
    "a change that is gone before the interval ends is not told": (
        {"on_change": True, "min_interval_s": 2}, [(0, 1, "cat"), (1, 1, "dog"), (3, 1, "cat")], "change - -"),
    "a heartbeat tells what does not change": (
        {"on_change": True, "heartbeat_s": 3},
        [(0, 1, "cat"), (1, 1, "cat"), (3, 1, "cat"), (4, 1, "cat"), (6, 1, "cat")], "change - heartbeat - heartbeat"),
    "a heartbeat comes below the minimum, from the first frame on": (
        {"min_score": 0.5, "heartbeat_s": 3}, [(0, 0.1, "cat"), (1, 0.1, "cat"), (3, 0.1, "cat")], "heartbeat - heartbeat"),
    "a change resets the heartbeat": (
        {"on_change": True, "heartbeat_s": 3}, [(0, 1, "cat"), (2, 1, "dog"), (4, 1, "dog"), (5, 1, "dog")],
        "change change - heartbeat"),
    "after a heartbeat of an unconfirmed frame the next confirmed state is a change": (
        {"on_change": True, "n_of_m": (2, 3), "heartbeat_s": 2},
        [(0, 1, "cat"), (1, 1, "cat"), (3, 1, "dog"), (4, 1, "cat"), (5, 1, "cat")], "heartbeat change heartbeat change -"),
    "every third frame is let through, the first one at once": (
        {"every": 3}, [(at, 1, "cat") for at in range(7)], "frame - - frame - - frame"),
    "every counts frames above the minimum only": (
        {"every": 2, "min_score": 0.5},
        [(0, 0.9, "cat"), (1, 0.1, "cat"), (2, 0.9, "cat"), (3, 0.1, "cat"), (4, 0.9, "cat")], "score - - - score"),
    "every never thins changes": (
        {"every": 3, "on_change": True}, [(0, 1, "cat"), (1, 1, "dog"), (2, 1, "cat")], "change change change"),
    "a score that is not a number is off": (
        {"min_score": 0.0}, [(0, float("nan"), "cat"), (1, 0.0, "cat")], "- score"),
    "a negative minimum is a minimum": (
        {"min_score": -1.5, "release": -2.0}, [(0, -1.6, "x"), (1, -1.5, "x"), (2, -2.0, "x"), (3, -2.1, "x")],
        "- score score -"),
}


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    """Each row of the table is a claim; its frames give its reasons."""
    options, frames, expected = CASES[name]
    assert [reason or "-" for reason in reasons(options, frames)] == expected.split()


# two results of each task with other scores and states, and the options that tell them apart
RESULTS: list[tuple[Result, Result, float]] = [
    (classes(0.2, "cat"), classes(0.9, "dog"), 0.5),
    (Detections([], 0), Detections([Box(0, "person", 0.9)], 1), 0.5),
    (Anomaly(value=1.0, threshold=2.0), Anomaly(value=3.0, threshold=2.0), 2.5),
    (Regression(("x",), [1.0]), Regression(("x",), [20.0]), 10.0),
    (Raw(("x",), ((2,),), [[0.0, 1.0]]), Raw(("x",), ((2,),), [[0.0, 9.0]]), 5.0),
]


@pytest.mark.parametrize(("low", "high", "minimum"), RESULTS, ids=lambda value: type(value).__name__)
def test_every_task_passes_a_minimum_and_tells_its_changes(low: Result, high: Result, minimum: float) -> None:
    """With a minimum between two results of a task, low, high, high, low is told as off, change, nothing, off."""
    gate = Gate(GateOptions(min_score=minimum, on_change=True))
    assert [gate.admit(result, 0) for result in (low, high, high, low)] == ["off", "change", "", "off"]


@pytest.mark.parametrize(("low", "high", "minimum"), RESULTS[:4], ids=lambda value: type(value).__name__)
def test_states_of_a_task_are_compared(low: Result, high: Result, minimum: float) -> None:
    """On change needs no minimum: another label, another count, an anomaly, another value are changes."""
    gate = Gate(GateOptions(on_change=True))
    assert [gate.admit(result, 0) for result in (low, low, high, low)] == ["change", "", "change", "change"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"release": 0.5}, "release to be at most min_score (None)"),
    ({"min_score": 0.4, "release": 0.5}, "release to be at most min_score (0.4)"),
    ({"min_score": float("nan")}, "min_score to be a finite number"),
    ({"min_score": 0.5, "release": float("-inf")}, "release to be a finite number"),
    ({"n_of_m": (0, 3)}, "n_of_m [N, M]"),
    ({"n_of_m": (4, 3)}, "n_of_m [N, M]"),
    ({"n_of_m": (4, 257)}, "n_of_m [N, M]"),
    ({"min_interval_s": -1}, "min_interval_s to be seconds"),
    ({"heartbeat_s": float("inf")}, "heartbeat_s to be seconds"),
    ({"heartbeat_s": float("nan")}, "heartbeat_s to be seconds"),
    ({"heartbeat_s": 1, "min_interval_s": 2}, "heartbeat_s of at least min_interval_s (2)"),
    ({"every": 0}, "every to be 1 or more"),
]


@pytest.mark.parametrize(("options", "expected"), BAD)
def test_options_that_contradict_are_refused(options: dict[str, Any], expected: str) -> None:
    """Options that cannot hold together are a ValueError that reads "expected X, got Y"."""
    with pytest.raises(ValueError, match=r"^expected .*, got ") as caught:
        GateOptions(**options)
    assert expected in str(caught.value)


def test_a_config_names_its_fault() -> None:
    """Through the configuration a contradiction becomes a fault at its place, and a list becomes N of M."""
    faults: list[Fault] = []
    assert convert({"heartbeat_s": 1.0, "min_interval_s": 2.0}, GateOptions, "pipelines.door.gate", faults) is None
    assert [fault.where for fault in faults] == ["pipelines.door.gate"]
    assert convert({"n_of_m": [2, 3]}, GateOptions, "gate", []) == GateOptions(n_of_m=(2, 3))
    with pytest.raises(msgspec.ValidationError, match="unknown"):
        msgspec.convert({"minscore": 1}, GateOptions)


options_of = st.builds(
    GateOptions,
    min_score=st.sampled_from([None, 0.5]),
    on_change=st.booleans(),
    n_of_m=st.sampled_from([None, (1, 1), (2, 3), (3, 5)]),
    min_interval_s=st.sampled_from([0.0, 0.5, 2.0]),
    heartbeat_s=st.sampled_from([0.0, 2.0, 5.0]),
    every=st.integers(1, 3),
)
steps = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.sampled_from([0.1, 0.9]), st.sampled_from("ab")), max_size=40)


def run(options: GateOptions, frames: list[tuple[int, float, str]]) -> tuple[Gate, list[tuple[int, str]]]:
    """The gate after these frames, each (ns since the last one, score, label), and what it said at which time."""
    gate, now, said = Gate(options), 0, []
    for step, score, label in frames:
        now += step
        said.append((now, gate.admit(classes(score, label), now)))
    return gate, said


@given(options_of, steps)
def test_two_results_are_never_closer_than_the_minimum_interval(options: GateOptions, frames: Any) -> None:
    """Whatever else is set, changes and heartbeats included, the interval is kept."""
    times = [now for now, reason in run(options, frames)[1] if reason]
    assert all(later - earlier >= options.min_interval_s * SECOND for earlier, later in pairwise(times))


@given(options_of, steps)
def test_no_frame_ends_a_silence_of_a_heartbeat_untold(options: GateOptions, frames: Any) -> None:
    """After each frame something was told within the last heartbeat_s, from the first frame on."""
    told = None
    for now, reason in run(options, frames)[1]:
        told = now if reason else told
        if options.heartbeat_s:
            assert told is not None
            assert now - told < options.heartbeat_s * SECOND


@given(options_of, steps)
def test_every_frame_is_told_or_counted(options: GateOptions, frames: Any) -> None:
    """frames = told + the sum of what was held back."""
    gate, said = run(options, frames)
    assert gate.told == sum(1 for _, reason in said if reason)
    assert len(frames) == gate.told + sum(gate.suppressed().values())


@given(st.integers(1, 5), st.integers(0, 4), st.lists(st.tuples(st.sampled_from([0.1, 0.9]), st.sampled_from("abc"))))
def test_n_of_m_is_what_a_plain_count_gives(needed: int, more: int, frames: list[tuple[float, str]]) -> None:
    """With N of M and on change, what is told is what a list of all states and a count of its last M give."""
    gate = Gate(GateOptions(min_score=0.5, on_change=True, n_of_m=(needed, needed + more)))
    states: list[str] = []
    told = None
    for score, label in frames:
        state = label if score >= 0.5 else "nothing"
        states.append(state)
        confirmed = states[-(needed + more):].count(state) >= needed
        expected = ("off" if state == "nothing" else "change") if confirmed and state != told else ""
        told = state if expected else told
        assert gate.admit(classes(score, label), 0) == expected


@given(options_of.filter(lambda options: options.on_change and options.n_of_m is None), steps)
def test_after_a_quiet_while_the_state_told_is_the_state_that_is(options: GateOptions, frames: Any) -> None:
    """A frame later than the minimum interval leaves no difference between what is and what was told last."""
    gate, _ = run(options, frames)
    now = 10_000 * SECOND
    expected = "off" if options.min_score else "change"
    assert gate.admit(classes(0.1, "last"), now) in (expected, "heartbeat", "")  # where off was told before
    assert gate.admit(classes(0.9, "other"), now + 3 * SECOND) == "change"
    assert gate.admit(classes(0.1, "last"), now + 6 * SECOND) == expected


@pytest.mark.parametrize("module", ["gate", "payload"])
def test_gate_and_payload_import_no_arrays(module: str) -> None:
    """What decides and writes messages cannot reach frames: no numpy, ring, frame or tensor in its process."""
    code = f"import sys, edgeinfer.{module}; print(*(m for m in sys.modules if m == 'numpy' or m.startswith('edgeinfer')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert f"edgeinfer.{module}" in loaded
    assert not {"numpy", "edgeinfer.ring", "edgeinfer.model.frame", "edgeinfer.model.tensor"} & set(loaded)
