"""What a table of cases does not show of lines of text."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.model.decoders.ctc import Ctc
from edgeinfer.model.preprocess.geometry import Geometry
from tests.model.decoders.cases import tensor

LABELS = ["a", "␣", "b"]
LINE = np.eye(4, dtype=np.float32)[[1, 1, 2, 0, 2, 3]]  # a, a, space, blank, space, b


def _read(stored: np.ndarray, **parameters: object) -> tuple[str, float]:
    result = Ctc(parameters, [tensor("o", stored.shape)], LABELS, []).decode([stored], [], Geometry())
    return result.text, result.confidence


@pytest.mark.parametrize("shape", [(1, 6, 4), (6, 1, 4), (6, 4)])
def test_the_batch_may_be_the_second_side(shape: tuple[int, ...]) -> None:
    """PyTorch's recurrent models have their steps first."""
    assert _read(LINE.reshape(shape)) == ("a  b", 1.0)


def test_the_layout_is_told_where_both_sides_fit() -> None:
    """As many steps as classes: steps first, unless the bundle says otherwise."""
    square = np.eye(4, dtype=np.float32)[[2, 3, 3, 1]]
    assert _read(square[np.newaxis]) == (" ba", 1.0)
    assert _read(np.ascontiguousarray(square.T)[np.newaxis], layout="CT") == (" ba", 1.0)


def test_a_step_that_is_not_a_number_gives_no_character() -> None:
    """It parts what is before it from what is behind it, as a blank does."""
    line = LINE.copy()
    line[1, 2], line[2] = np.nan, np.inf
    assert _read(line) == ("a b", 1.0)


def test_a_text_fits_a_payload() -> None:
    """At most 1,024 characters: a longer one would be refused whole."""
    assert len(_read(np.tile(np.eye(4, dtype=np.float32)[[1, 3]], (800, 1)))[0]) == 1024
