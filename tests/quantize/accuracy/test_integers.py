"""Integers that keep a layer's outputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.model.tensor import Array
from quantize.accuracy.integers import descend, error, gptq, search


def _problem(groups: int, outputs: int, inputs: int, seed: int) -> tuple[Array, Array, Array]:
    """Weights, scales and moments of columns that are much alike."""
    rng = np.random.default_rng(seed)
    wanted = rng.normal(size=(groups, outputs, inputs))
    columns = rng.normal(size=(groups, inputs, 3 * inputs)) + 2 * rng.normal(size=(groups, 1, 3 * inputs))
    return wanted, np.abs(wanted).max(2) / 7, columns @ columns.transpose(0, 2, 1) / (3 * inputs)


@settings(max_examples=20, deadline=None)
@given(groups=st.sampled_from([1, 5]), outputs=st.sampled_from([1, 6]), inputs=st.sampled_from([1, 3, 9, 70]), seed=st.integers(0, 99))
def test_no_output_errs_more_than_with_the_nearest_integers(groups: int, outputs: int, inputs: int, seed: int) -> None:
    """Whatever the layer; and many of them err less."""
    wanted, scale, moments = _problem(groups, outputs, inputs, seed)
    nearest = np.clip(np.rint(wanted / scale[:, :, None]), -7, 7)
    before = error(nearest * scale[:, :, None], wanted, moments)
    after = error(search(wanted, scale, moments, 7) * scale[:, :, None], wanted, moments)
    assert (after <= before * (1 + 1e-9)).all()
    if inputs == 70:
        assert after.sum() < 0.8 * before.sum()


def test_gptq_and_descent_both_help() -> None:
    """Each on its own, on a layer of some size."""
    wanted, scale, moments = _problem(1, 20, 100, 0)

    def total(integers: Array) -> float:
        return float(error(integers * scale[:, :, None], wanted, moments).sum())

    nearest = np.clip(np.rint(wanted / scale[:, :, None]), -7, 7)
    found = gptq(wanted, scale, moments, 7)
    assert total(found) < 0.8 * total(nearest)
    assert total(descend(found, wanted, scale, moments, 7, 5)) < total(found)
    assert total(descend(nearest, wanted, scale, moments, 7, 5)) < 0.8 * total(nearest)


@pytest.mark.parametrize("most", [7, 63, 127])
def test_integers_stay_within_their_limits(most: int) -> None:
    """Whole numbers from -most to most, however the errors pile up."""
    wanted, scale, moments = _problem(2, 4, 20, 1)
    integers = descend(gptq(wanted, scale, moments, most), wanted, scale, moments, most, 3)
    assert np.abs(integers).max() <= most
    assert np.array_equal(integers, np.rint(integers))


def test_the_error_is_that_of_the_outputs() -> None:
    """The mean square over the columns that the moments come from."""
    rng = np.random.default_rng(0)
    columns, one, other = rng.normal(size=(1, 6, 500)), rng.normal(size=(1, 3, 6)), rng.normal(size=(1, 3, 6))
    moments = columns @ columns.transpose(0, 2, 1) / 500
    np.testing.assert_allclose(error(one, other, moments), ((one - other) @ columns).__pow__(2).mean(2), rtol=1e-9)


def test_independent_columns_are_rounded_to_the_nearest() -> None:
    """Where no column can make up for another there is nothing better."""
    wanted = np.random.default_rng(0).normal(size=(1, 5, 8))
    scale = np.abs(wanted).max(2) / 127
    assert np.array_equal(gptq(wanted, scale, np.eye(8)[None], 127), np.rint(wanted / scale[:, :, None]))
