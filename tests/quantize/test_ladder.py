"""The recovery ladder: cheap rungs first, each with its gain, and an end that is told."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from quantize.graph import Graph
from quantize.grid import Quantized
from quantize.ladder import Choice, Ladder
from quantize.progress import Lines

LAYERS = [f"conv{number}" for number in range(10)]
METHODS = ["mse", "minmax", "percentile"]


class Made(Quantized):
    """A quantised graph that only knows how it was chosen."""

    choice: Choice


def make(choice: Choice) -> Quantized:
    made = Made(Graph("net", [], [], [], {}, {}, {}))
    made.choice = choice
    return made


def climb(loss: Callable[[Choice], float], allowed: float = 1.0, seconds: float = 60, integers_only: bool = False) -> tuple[Ladder, Choice, str]:
    said = io.StringIO()
    ladder = Ladder(make, lambda made: loss(made.choice), lambda made: LAYERS, allowed, seconds, Lines(said))  # type: ignore[attr-defined]
    choice, made = ladder.climb(Choice("mse"), METHODS, integers_only)
    assert made.choice == choice  # type: ignore[attr-defined]
    return ladder, choice, said.getvalue()


def test_nothing_is_tried_that_is_not_needed() -> None:
    """Where the first try is good enough it is the only one."""
    ladder, choice, said = climb(lambda choice: 0.5)
    assert len(ladder.rungs) == 1
    assert choice == Choice("mse")
    assert "enough" in said


def test_other_ranges_come_first() -> None:
    """They cost the device nothing."""
    ladder, choice, _ = climb(lambda choice: 0.2 if choice.ranges == "percentile" else 3.0)
    assert choice == Choice("percentile")
    assert [rung.choice.ranges for rung in ladder.rungs] == METHODS


def test_float_layers_come_last() -> None:
    """Sixteen bits are tried before, the most sensitive layers first, then more."""
    ladder, choice, _ = climb(lambda choice: 3.0 - 0.5 * len(choice.excluded))
    assert choice.excluded == tuple(LAYERS[:4])
    wide = [len(rung.choice.wide) for rung in ladder.rungs if rung.choice.wide]
    assert wide == [1, 2, 4, 8]


def test_a_rung_that_gains_nothing_is_not_kept() -> None:
    """The file does not get dearer for noise."""
    ladder, choice, said = climb(lambda choice: 3.0)
    assert choice == Choice("mse")
    assert not any(rung.kept for rung in ladder.rungs[1:])
    assert "no rung is left" in said


def test_each_rung_tells_its_gain() -> None:
    """In points, with whether it was kept."""
    _, _, said = climb(lambda choice: {"mse": 5.0, "minmax": 2.5, "percentile": 0.5}[choice.ranges])
    assert "+2.50 points: kept" in said
    assert "+2.00 points: kept" in said


def test_the_time_is_a_limit() -> None:
    """Without time only the first try is made."""
    ladder, _, said = climb(lambda choice: 9.0, seconds=0)
    assert len(ladder.rungs) == 1
    assert "--max-minutes" in said


def test_a_target_of_integers_only_gets_no_float() -> None:
    """An Edge TPU runs everything after the first float operator on the CPU."""
    ladder, _, said = climb(lambda choice: 9.0, integers_only=True)
    assert not any(rung.choice.wide or rung.choice.excluded for rung in ladder.rungs)
    assert "8-bit integers only" in said


@pytest.mark.parametrize(("choice", "text"), [
    (Choice("mse"), "mse ranges"),
    (Choice("minmax", wide=("a", "b")), "minmax ranges, 16-bit activations around 2 layers"),
    (Choice("mse", excluded=("a",)), "mse ranges, 1 layers in float")])
def test_a_choice_reads_as_a_sentence(choice: Choice, text: str) -> None:
    """It stands in the log and in the report."""
    assert str(choice) == text
