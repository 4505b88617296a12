"""Float against INT8 per tensor, and one INT8 file against another."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from edgeinfer.errors import DataError, ModelError
from edgeinfer.model.tensor import Array
from quantize.compare import Value, compare, parity, values_of
from quantize.graph import Graph, Node
from quantize.grid import Grid, Quantized
from quantize.metrics.fidelity import LIMIT_DB

GRID = Grid.of_range(-1.0, 1.0)


def rounded(values: Array) -> Array:
    return GRID.dequantize(GRID.quantize(values))


def on_x(feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    return feeds


def on_grid(feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    return {name: rounded(values) for name, values in feeds.items()}


def test_a_tensor_that_is_only_rounded_has_the_figures_that_follow() -> None:
    """Half a step at most, the signal to noise that a step of 2/255 gives a uniform signal, nothing saturated."""
    samples = [{"x": np.random.default_rng(seed).uniform(-1, 1, (1, 3, 20, 20)).astype(np.float32)} for seed in range(4)]
    (row,) = compare(on_x, on_grid, samples, [Value("x", "Input", GRID)])
    assert row.max_lsb == pytest.approx(0.5, abs=0.01)
    assert row.sqnr_db == pytest.approx(10 * np.log10((1 / 3) / ((2 / 255) ** 2 / 12)), abs=0.1)
    assert row.cosine == pytest.approx(1.0, abs=1e-4)
    assert (row.float_low, row.float_high) == pytest.approx((-1, 1), abs=0.01)
    assert (row.grid_low, row.grid_high) == (GRID.low, GRID.high)
    assert (row.saturated, row.dtype, row.op) == (0.0, "int8", "Input")


def test_what_lies_outside_the_grid_is_saturated() -> None:
    """Two of eight values; half a step beyond the end still rounds to it."""
    values = np.array([0, 0.5, -0.5, 0.9, -0.9, 2.0, -3.0, GRID.high + 0.4 * float(GRID.scale[0])], np.float32)
    (row,) = compare(on_x, on_grid, [{"x": values}], [Value("x", "Relu", GRID)])
    assert row.saturated == 2 / 8
    assert row.max_lsb == pytest.approx((3.0 + GRID.low) / float(GRID.scale[0]), rel=1e-4)


def test_figures_are_those_of_all_samples_together() -> None:
    """One call with two samples is the same as one with their values in one."""
    first, second = np.linspace(-1, 1, 7, dtype=np.float32), np.linspace(-0.1, 0.3, 9, dtype=np.float32)
    value = [Value("x", "Relu", GRID)]
    apart = compare(on_x, on_grid, [{"x": first}, {"x": second}], value)
    together = compare(on_x, on_grid, [{"x": np.concatenate([first, second])}], value)
    assert apart == together


def test_a_float_tensor_has_no_grid_and_an_identical_one_two_hundred_decibels() -> None:
    """None, not a made-up range."""
    (row,) = compare(on_x, on_x, [{"x": np.ones(3, np.float32)}], [Value("x", "Softmax", None)])
    assert (row.max_lsb, row.grid_low, row.grid_high, row.dtype) == (None, None, None, "float32")
    assert (row.sqnr_db, row.cosine) == (LIMIT_DB, 1.0)


def test_values_to_compare_are_in_order_of_computation_with_their_operators() -> None:
    """What has a grid, and outputs that have none; what lies inside a fused operator is not there."""
    nodes = [Node("Conv", ["x", "w", "b"], ["inner"]), Node("Relu", ["inner"], ["act"]), Node("Softmax", ["act"], ["y"])]
    graph = Graph("g", ["x"], ["y"], nodes, {}, {}, {})
    assert values_of(Quantized(graph, {"act": GRID, "x": GRID})) == [
        Value("x", "Input", GRID), Value("act", "Relu", GRID), Value("y", "Softmax", None)]


def test_memory_does_not_grow_with_samples() -> None:
    """Sixty samples of a megabyte each come and go."""
    def samples() -> Iterator[Mapping[str, Array]]:
        for seed in range(60):
            yield {"x": np.full((1, 64, 64, 64), seed / 60, np.float32)}

    tracemalloc.start()
    compare(on_x, on_grid, samples(), [Value("x", "Relu", GRID)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * 2**20


@pytest.mark.parametrize(("got", "message"), [
    ({}, "tensor 'x': expected a value in both models"),
    ({"x": np.zeros((2, 1))}, r"tensor 'x': expected shape \(2,\) in both models, got \(2, 1\)"),
    ({"x": np.array([np.nan, 0.0])}, "tensor 'x': expected finite values in both models"),
])
def test_models_that_do_not_go_together_are_refused(got: Mapping[str, Array], message: str) -> None:
    """By the tensor's name."""
    with pytest.raises(ModelError, match=message):
        compare(on_x, lambda _: got, [{"x": np.zeros(2)}], [Value("x", "Relu", GRID)])


def test_no_samples_is_an_error() -> None:
    """Nothing was compared."""
    with pytest.raises(DataError, match="compare: expected at least one sample, got none"):
        compare(on_x, on_x, [], [])
    with pytest.raises(DataError, match="parity: expected at least one sample, got none"):
        parity(on_x, on_x, [], {})


def test_parity_counts_steps_and_answers() -> None:
    """Of two samples of three scores, one score is two steps off and changes the answer."""
    first = [np.array([[0.0, 0.3, 0.1]]), np.array([[0.5, 0.4, 0.0]])]
    second = [np.array([[0.0, 0.3, 0.1]]), np.array([[0.5, 0.6, 0.0]])]
    answers = iter(second)
    found = parity(on_x, lambda _: {"y": next(answers)}, [{"y": scores} for scores in first], {"y": 0.1}, "y")
    assert (found.samples, found.outputs[0].max_lsb, found.outputs[0].identical) == (2, 2.0, pytest.approx(5 / 6))
    assert found.outputs[0].mean_lsb == pytest.approx(2 / 6, abs=1e-5)
    assert found.agreement is not None
    assert found.agreement.value == 50.0


def test_parity_of_a_model_that_does_not_classify_has_no_agreement() -> None:
    """Boxes have no best class."""
    assert parity(on_x, on_x, [{"y": np.zeros(3)}], {"y": 1.0}).agreement is None
