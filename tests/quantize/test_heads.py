"""Detection heads: boxes and scores in one Concat are split, so that one range does not ruin the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.heads import split_heads
from tests.quantize.graphs import graph, random_feeds

RANGES = {"box": (0.0, 640.0), "score": (0.0, 1.0)}


def head(transposed: bool) -> Graph:
    """(1, 4, 20) boxes and (1, 3, 20) scores, joined; or (1, 20, 7) where a Transpose follows."""
    nodes: list[Any] = [("Mul", ["b", np.float32(64)], "box"), ("Sigmoid", ["s"], "score"),
                        ("Concat", ["box", "score"], "joined" if transposed else "output", {"axis": 1})]
    if transposed:
        nodes.append(("Transpose", ["joined"], "output", {"perm": [0, 2, 1]}))
    return graph(nodes, {"b": (1, 4, 20), "s": (1, 3, 20)}, ["output"])


@pytest.mark.parametrize("transposed", [False, True])
def test_boxes_and_scores_become_outputs_of_their_own(transposed: bool) -> None:
    """With the very numbers that the Concat had, each part as the decoder wants it."""
    net = head(transposed)
    split, found = split_heads(net, RANGES)
    assert split.outputs == ["boxes", "scores"]
    assert found[0].output == "output"
    feeds = random_feeds(net)
    whole, parts = Runner(net).run(feeds)["output"], Runner(split).run(feeds)
    axis = 2 if transposed else 1
    assert np.array_equal(np.concatenate([parts["boxes"], parts["scores"]], axis=axis), whole)


def test_parts_of_like_ranges_stay_together() -> None:
    """One grid serves both."""
    split, found = split_heads(head(False), {"box": (0.0, 2.0), "score": (0.0, 1.0)})
    assert not found
    assert split.outputs == ["output"]


def test_a_concat_inside_the_network_is_left_alone() -> None:
    """Only what leaves the network is a head."""
    net = graph([("Concat", ["a", "b"], "j", {"axis": 1}), ("Relu", ["j"], "y")], {"a": (1, 4, 5), "b": (1, 3, 5)}, ["y"])
    assert not split_heads(net, {"a": (0.0, 640.0), "b": (0.0, 1.0), "j": (0.0, 640.0)})[1]


def test_the_reason_is_told() -> None:
    """With both widths."""
    assert "640" in str(split_heads(head(False), RANGES)[1][0])
