"""Scores in the quantised domain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders.heads import ClassHead, SoftmaxHead
from edgeinfer.model.decoders.scores import Real, Scores
from edgeinfer.model.tensor import Quantization, TensorSpec
from tests.model.decoders import reference
from tests.model.decoders.cases import tensor


@given(threshold=st.floats(0, 1), scale=st.floats(1e-4, 1), zero=st.integers(-128, 127), logits=st.booleans())
@example(threshold=0.5, scale=1 / 256, zero=-128, logits=False)  # 0.5 is itself a step
@example(threshold=0.0, scale=1 / 256, zero=-128, logits=True)
@example(threshold=1.0, scale=1 / 256, zero=-128, logits=True)  # no logit reaches it
def test_one_stored_value_is_the_threshold(threshold: float, scale: float, zero: int, logits: bool) -> None:
    """For all 256 values: stored >= limit exactly where the real score reaches the threshold."""
    scores = Scores(tensor("s", (1, 4), "int8", scale, zero), "test", threshold, logits)
    for stored in range(-128, 128):
        assert (stored >= scores.limit) == (scores.one(stored) >= threshold)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, 0.9])
def test_a_float_that_says_the_threshold_reaches_it(dtype: Any, threshold: float) -> None:
    """float32(0.7) is less than 0.7, and is meant to reach it all the same; the next float below does not."""
    limit = Scores(tensor("s", (1, 4), dtype), "test", threshold).limit
    kind = np.dtype(dtype).type
    assert float(kind(threshold)) >= limit
    assert float(np.nextafter(kind(threshold), kind(0))) < limit


def test_a_sixteen_bit_tensor_has_a_limit_too() -> None:
    """int16 scores, scale 1/32768: 0.25 is 8192."""
    assert Scores(tensor("s", (1, 4), "int16", 1 / 32768), "test", 0.25).limit == 8192


def test_an_output_quantised_per_axis_is_refused() -> None:
    """One limit for a tensor with several scales would be wrong, so it is an error."""
    per_axis = Quantization(scale=(0.1, 0.2), zero_point=(0, 0), axis=1)
    spec = TensorSpec(name="s", shape=(1, 2), dtype="int8", quantization=per_axis)
    with pytest.raises(ManifestError, match="test: expected a tensor with one scale, got 's' with 2 scales"):
        Real(spec, "test")


@pytest.mark.parametrize("channels_first", [False, True])
def test_survivors_are_the_candidates_with_a_class_over_the_limit(channels_first: bool) -> None:
    """Columns before the classes are not looked at; a candidate with several hits is found once."""
    head = np.full((50, 7), -128, np.int8)
    head[:, :4] = 127
    head[3, 5], head[9, 4:], head[49, 6] = 10, 20, 0
    kind = ClassHead(Scores(tensor("s", (50, 7), "int8", 1 / 256, -128), "test", 0.5), 50, 7, 4, channels_first)
    stored = np.asfortranarray(head) if channels_first else head
    rows = kind.survivors(stored)
    assert rows.tolist() == [3, 9, 49]
    classes, scores = kind.best(stored, rows)
    assert classes.tolist() == [1, 0, 2]
    assert scores.tolist() == [138 / 256, 148 / 256, 0.5]


@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.0, 0.34, 0.5, 0.9, 1.0]), first=st.integers(0, 1))
def test_the_softmax_of_few_rows_is_the_softmax_of_all(seed: int, threshold: float, first: int) -> None:
    """The necessary condition in the quantised domain never loses a row that reaches the threshold."""
    head = np.random.default_rng(seed).integers(-128, 128, (60, 4)).astype(np.int8)
    values = Real(tensor("s", (60, 4), "int8", 0.05, 3), "test")
    rows, classes, scores = SoftmaxHead(values, 60, 4, first, threshold).find(head)
    expected = []
    for index, row in enumerate(values.many(head).tolist()):
        shares = reference.softmax(row)[first:]
        best = max(range(len(shares)), key=lambda i: (shares[i], -i))
        if shares[best] >= threshold:
            expected.append((index, best, shares[best]))
    assert list(zip(rows, classes, strict=True)) == [one[:2] for one in expected]
    assert all(math.isclose(score, one[2], rel_tol=1e-9) for score, one in zip(scores, expected, strict=True))


@given(seed=st.integers(0, 10**6), columns=st.sampled_from([7, 8, 12]), hits=st.sampled_from([0, 1, 30, 190, 260, 600]))
def test_few_or_many_survivors_are_the_same_rows(seed: int, columns: int, hits: int) -> None:
    """For any number of hits, several in a row among them, what is before the classes never counts."""
    rng = np.random.default_rng(seed)
    head = np.zeros((300, columns), np.int8)
    head[:, :4] = 100
    head.reshape(-1)[rng.integers(0, head.size, hits)] = 50
    kind = ClassHead(Scores(tensor("s", head.shape, "int8", 1 / 64), "test", 0.5), 300, columns, 4, False)
    for _ in range(2):
        assert kind.survivors(head).tolist() == np.flatnonzero((head[:, 4:] >= 32).any(axis=1)).tolist()
