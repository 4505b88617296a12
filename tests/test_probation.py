"""Probation: pure decisions from figures and time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.counters import Scores, stability_index
from edgeinfer.probation import Figures, Probation, UpdateOptions
from edgeinfer.settlement import restarted
from edgeinfer.store import Probation as Record

OPTIONS = UpdateOptions(probation_s=100, min_frames=50)


def _scores(*values: float) -> tuple[int, ...]:
    scores = Scores()
    for value in values:
        scores.add(value)
    return tuple(scores.buckets)


CALM = _scores(*[0.2] * 60, *[0.9] * 40)
OLD = Figures(frames=1000, failed=0, p95_ms=10.0, scores=CALM, drift=0.1)
GOOD = Figures(frames=100, failed=0, p95_ms=11.0, scores=CALM, drift=0.2)

# options, the old model's figures, the new one's, seconds since it took over: what is judged, and a word of the reason
CASES: dict[str, tuple[UpdateOptions, Figures | None, Figures, float, str, str]] = {
    "all is well": (OPTIONS, OLD, GOOD, 50, "watching", ""),
    "all was well": (OPTIONS, OLD, GOOD, 100, "accepted", ""),
    "too few frames to say": (OPTIONS, OLD, GOOD._replace(frames=49, failed=49, p95_ms=900), 50, "watching", ""),
    "frames fail": (OPTIONS, OLD, GOOD._replace(failed=3), 1, "violated", "3 of 100 frames failed"),
    "all of few frames failed": (OPTIONS, OLD, GOOD._replace(frames=10, failed=10), 100, "violated", "10 of 10 frames failed"),
    "one of few frames failed": (OPTIONS, OLD, GOOD._replace(frames=10, failed=1), 100, "accepted", ""),
    "no frame was seen": (OPTIONS, OLD, GOOD._replace(frames=0), 1000, "watching", ""),
    "no probation": (UpdateOptions(probation_s=0), OLD, GOOD._replace(failed=100), 0, "accepted", ""),
    "as few fail as before": (OPTIONS, OLD._replace(failed=30), GOOD._replace(failed=5), 1, "watching", ""),
    "failures are not watched": (UpdateOptions(max_failed=1, min_frames=50), OLD, GOOD._replace(failed=100), 1, "watching", ""),
    "slower than twice": (OPTIONS, OLD, GOOD._replace(p95_ms=20.1), 1, "violated", "up to 20.1 ms (at most 20.0 ms)"),
    "a small model may be 5 ms slower": (OPTIONS, OLD._replace(p95_ms=0.5), GOOD._replace(p95_ms=5.4), 1, "watching", ""),
    "over the deadline": (UpdateOptions(deadline_ms=12, min_frames=50), OLD, GOOD._replace(p95_ms=12.5), 1, "violated", "12.0 ms"),
    "within the deadline": (UpdateOptions(deadline_ms=50, min_frames=50), OLD, GOOD._replace(p95_ms=49), 1, "watching", ""),
    "nothing to compare with": (OPTIONS, None, GOOD._replace(p95_ms=500, scores=_scores(*[0.0] * 99)), 100,
                                                "accepted", ""),
    "scores collapse": (OPTIONS, OLD, GOOD._replace(scores=_scores(*[0.0] * 99)), 100, "violated", "distributed otherwise"),
    "scores are left for the end": (OPTIONS, OLD, GOOD._replace(scores=_scores(*[0.0] * 99)), 99, "watching", ""),
    "scores of few frames": (OPTIONS, OLD, GOOD._replace(scores=_scores(*[0.0] * 40)), 100, "accepted", ""),
    "other inputs": (OPTIONS, OLD, GOOD._replace(drift=5.0), 100, "violated", "calibrated on"),
    "inputs were strange before": (OPTIONS, OLD._replace(drift=6.0), GOOD._replace(drift=7.0), 100, "accepted", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_a_new_model_is_judged(name: str) -> None:
    """Each limit alone, at either side of it."""
    options, old, new, now_s, state, word = CASES[name]
    probation = Probation(options, {"door": old} if old is not None else {}, 0.0)
    assert probation.judge({"door": new}, now_s) == state
    assert word in probation.reason
    assert probation.reason.startswith("door: ") == (state == "violated")


def test_after_a_restart_latency_is_compared_at_the_end() -> None:
    """A device that has just started is slow; frames that fail, and a deadline, are judged at any time all the same."""
    slow = GOOD._replace(p95_ms=50)
    probation = Probation(OPTIONS, {"door": OLD}, 0.0, restarted=True)
    assert probation.judge({"door": slow}, 99) == "watching"
    assert probation.judge({"door": slow}, 100) == "violated"
    for options, new in ((OPTIONS, GOOD._replace(failed=3)), (UpdateOptions(deadline_ms=12, min_frames=50), slow)):
        assert Probation(options, {"door": OLD}, 0.0, restarted=True).judge({"door": new}, 1) == "violated"


def test_one_bad_pipeline_is_enough() -> None:
    """Pipelines that share a model are judged each by its own past, and go back together."""
    probation = Probation(OPTIONS, {"door": OLD, "hall": OLD._replace(p95_ms=40)}, 0.0)
    assert probation.judge({"door": GOOD, "hall": GOOD._replace(p95_ms=70)}, 1) == "watching"
    assert probation.judge({"door": GOOD._replace(p95_ms=70), "hall": GOOD}, 2) == "violated"
    assert probation.judge({"door": GOOD, "hall": GOOD}, 200) == "violated"  # what was judged stays


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0, 1e5), st.floats(0, 1000))
def test_any_figures_are_judged(frames: int, failed: int, p95_ms: float, now_s: float) -> None:
    """Nothing divides by zero, and after the time the answer is final, unless no frame was seen."""
    probation = Probation(UpdateOptions(probation_s=100, min_frames=1), {"door": OLD._replace(frames=0)}, 0.0)
    state = probation.judge({"door": Figures(frames + failed, failed, p95_ms, _scores(), None)}, now_s)
    assert state != "watching" or now_s < 100 or not frames + failed


@pytest.mark.parametrize(("clean", "boot_id", "starts", "boots"), [
    (True, "a", 0, 0), (False, "a", 1, 0), (True, "b", 0, 0), (False, "b", 0, 1)],
    ids=["asked for", "a crash", "a restart of the device", "a power cut"])
def test_ends_that_nobody_asked_for_are_counted(clean: bool, boot_id: str, starts: int, boots: int) -> None:
    """A crash and a power cut are told apart by the kernel's boot id."""
    record = restarted(Record(digest="d", boot_id="a", clean=clean), boot_id)
    assert (record.starts, record.boots, record.clean, record.boot_id) == (starts, boots, False, boot_id)


def test_the_stability_index_is_what_its_formula_gives() -> None:
    """Two bins, worked out by hand; symmetric; 0 for the same shares and where there is nothing to compare."""
    assert stability_index([50, 50], [75, 25]) == pytest.approx(0.27465, abs=1e-4)
    assert stability_index([75, 25], [50, 50]) == pytest.approx(stability_index([50, 50], [75, 25]))
    assert stability_index([10, 30], [1, 3]) == 0
    assert stability_index([0, 0], [1, 3]) == 0
    assert stability_index([1, 0], [0, 1]) > 10


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_score_has_a_bucket(score: float) -> None:
    """NaN, infinities and numbers of any size are counted once."""
    scores = Scores()
    scores.add(score)
    assert sum(scores.buckets) == scores.count == 1
