"""Running graphs: any values, in one session or in several."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.errors import ModelError
from quantize.graph import Graph
from quantize.graph.execute import Runner, Walk
from tests.quantize.graphs import chain, graph, random_feeds, weights


def residual() -> Graph:
    """A network whose first values are read again at its end."""
    w = [weights(4, 4, 3, 3, seed=number) for number in range(3)]
    pads = {"pads": [1] * 4}
    return graph([("Conv", ["x", w[0]], "a", pads), ("Relu", ["a"], "b"), ("Conv", ["b", w[1]], "c", pads), ("Conv", ["c", w[2]], "d", pads),
                  ("Add", ["d", "b"], "e"), ("Split", ["e"], ["f", "g"], {"axis": 1}), ("Mul", ["f", "g"], "h"), ("Concat", ["h", "x"], "y", {"axis": 1})], {"x": (1, 4, 8, 8)}, ["y"])


def test_values_are_outputs_in_the_order_asked_for() -> None:
    """Inner ones too; without a wish those of the graph."""
    net = residual()
    feeds = random_feeds(net)
    assert list(Runner(net, ["e", "a"]).run(feeds)) == ["e", "a"]
    assert list(Runner(net).run(feeds)) == ["y"]


def test_a_run_with_and_without_fusions_is_the_same() -> None:
    """To rounding."""
    net = residual()
    feeds = random_feeds(net)
    fused, plain = (Runner(net, optimize=optimize).run(feeds)["y"] for optimize in (True, False))
    np.testing.assert_allclose(fused, plain, atol=1e-5)


@pytest.mark.parametrize("most_bytes", [1, 2500, 1 << 20])
@pytest.mark.parametrize("all_values", [True, False])
def test_a_walk_gives_what_one_session_gives(most_bytes: int, all_values: bool) -> None:
    """However small its pieces are."""
    net = residual()
    feeds = random_feeds(net)
    values = ["x", *(value for node in net.nodes for value in node.outputs)] if all_values else ["c", "x", "g"]
    wanted = {**feeds, **Runner(net, [value for value in values if value != "x"]).run(feeds)}
    seen = dict(Walk(net, values, most_bytes=most_bytes).run(feeds))
    assert set(seen) == set(values)
    for value, array in seen.items():
        np.testing.assert_allclose(array, wanted[value], atol=1e-5)


def test_a_walk_keeps_no_more_than_it_needs() -> None:
    """After its last reader a value is gone: of twenty layers no two are held at once."""
    import weakref
    net = chain((1, 1000), *[("Neg",) for _ in range(20)])
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0
    for _, array in Walk(net, [node.name for node in net.nodes], most_bytes=4000).run(random_feeds(net)):
        alive.append(weakref.ref(array))
        most = max(most, sum(ref() is not None for ref in alive))
    assert most <= 3


def test_what_does_not_fit_is_a_model_error() -> None:
    """Feeds of other sides or names."""
    net = residual()
    with pytest.raises(ModelError, match="net: expected a network that ONNX Runtime runs"):
        Runner(net).run({"x": np.zeros((1, 4, 8, 9), np.float32)})
    with pytest.raises(ModelError, match="net: expected a network that ONNX Runtime runs"):
        Runner(net).run({})
