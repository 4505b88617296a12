"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.model.decoders.nms import Nms
from tests.model.decoders import reference

side = st.integers(0, 6).map(lambda n: n / 8)
box = st.tuples(st.integers(0, 2), st.integers(0, 5).map(lambda n: n / 5), side, side, side, side).map(
    lambda b: (b[0], b[1], b[2], b[3], b[2] + b[4] + 0.125, b[3] + b[5] + 0.125))


def _keep(nms: Nms, found: list[reference.Found]) -> list[int]:
    rows = np.array(found, np.float64).reshape(-1, 6)
    return list(nms.keep(rows[:, 2:], rows[:, 1], rows[:, 0].astype(np.int64)))


@given(found=st.lists(box, max_size=80), iou=st.sampled_from([0.0, 0.3, 0.45, 1.0]), aware=st.booleans())
def test_it_equals_the_plain_python_algorithm(found: list[reference.Found], iou: float, aware: bool) -> None:
    """For any boxes, with equal scores and equal boxes among them, it keeps what the quadratic loop keeps, in its order."""
    kept = [found[index] for index in _keep(Nms(50, iou, aware), found)]
    assert kept == reference.nms(found, iou, aware, capacity=50)


def test_an_overlap_of_exactly_the_limit_is_kept() -> None:
    """Suppressed is what overlaps by more than the limit, not what reaches it."""
    found = [(0, 0.9, 0.0, 0.0, 1.0, 1.0), (0, 0.8, 0.0, 0.0, 0.5, 1.0)]
    assert _keep(Nms(10, 0.5), found) == [0, 1]
    assert _keep(Nms(10, 0.4999), found) == [0]


def test_boxes_of_different_classes_do_not_rival() -> None:
    """Two classes at one place are both kept, unless it is told not to look at classes."""
    found = [(0, 0.9, 0.0, 0.0, 1.0, 1.0), (1, 0.8, 0.0, 0.0, 1.0, 1.0)]
    assert _keep(Nms(10, 0.5), found) == [0, 1]
    assert _keep(Nms(10, 0.5, class_aware=False), found) == [0]


def test_equal_scores_keep_their_order() -> None:
    """Of boxes with the same score the first is kept, so that a result does not flicker."""
    found = [(0, 0.5, 0.1 * n, 0.0, 0.1 * n + 0.05, 1.0) for n in range(8)]
    assert _keep(Nms(10, 0.5), found) == list(range(8))


@pytest.mark.parametrize("count", [31, 32, 33, 64, 65])
def test_a_block_boundary_is_no_boundary(count: int) -> None:
    """A box suppresses others however far behind it they are."""
    found = [(0, 1 - n / 100, 0.0, 0.0, 1.0, 1.0) for n in range(count)]
    assert _keep(Nms(100, 0.5), found) == [0]


def test_only_the_best_are_looked_at() -> None:
    """More candidates than the capacity: the best of them count."""
    found = [(0, n / 10, 0.1 * n, 0.0, 0.1 * n + 0.05, 1.0) for n in range(9)]
    assert _keep(Nms(3, 0.5), found) == [8, 7, 6]
