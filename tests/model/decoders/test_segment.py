"""Regions of maps with more cells than 16 bits have numbers for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.tensor import Array
from tests.model.decoders.cases import tensor

SIDE = 600


def _decode(cells: Array) -> Any:
    decoder = DECODERS.load("segment", "test")({"min_area": 0, "max_regions": 3}, [tensor("o", (1, SIDE, SIDE), "uint8")],
                                               ["ground", "dots", "block"], [])
    for _ in range(2):
        said = decoder.decode([cells[np.newaxis]], [], Geometry()).document()
    return said


@pytest.mark.parametrize("block", [False, True])
def test_ninety_thousand_regions_are_told_apart(block: bool) -> None:
    """A dot in every second cell of every second row: each is a region, also beside a class whose extent is small."""
    cells = np.zeros((SIDE, SIDE), np.uint8)
    cells[::2, ::2] = 1
    if block:
        cells[100:400, 100:400] = 2
    regions = _decode(cells)["regions"]
    assert len(regions) == 3
    if block:
        assert regions[0]["label"] == "block"
        assert regions[0]["area"] == 0.25
        assert regions[0]["box"] == pytest.approx([100 / SIDE, 100 / SIDE, 400 / SIDE, 400 / SIDE], abs=1e-4)
    assert [one["area"] for one in regions[block:]] == [round(1 / SIDE**2, 5)] * (3 - block)
    assert regions[block]["box"] == pytest.approx([0, 0, 1 / SIDE, 1 / SIDE], abs=1e-4)


def test_the_best_of_many_channels_is_the_same_wherever_they_stand() -> None:
    """Of equal scores the lower class, channels first and last."""
    scores = np.random.default_rng(2).integers(0, 4, (40, 30, 5)).astype(np.int8)
    said = []
    for stored in (scores, np.ascontiguousarray(np.moveaxis(scores, -1, 0))):
        decoder = DECODERS.load("segment", "test")({"min_area": 0, "mask": 64}, [tensor("o", (1, *stored.shape), "int8", 0.1)], [], [])
        said.append(decoder.decode([stored[np.newaxis]], [], Geometry()).document())
    assert said[0] == said[1]
    shares = {one["index"]: one["area"] for one in said[0]["areas"]}
    assert shares == {index: pytest.approx(float((scores.argmax(axis=2) == index).mean()), abs=1e-5) for index in range(1, 5)}
