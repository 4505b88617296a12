"""Why accuracy was lost: causes by name, each with where it is and what to do, not a list of numbers.

    weight-imbalance     channels whose weights differ so much that one grid of the activation ruins the small ones
    activation-outlier   few values far from all others stretch a range
    concat-ranges        a Concat gives unlike ranges one grid
    float-island         operators that compute in float inside an INT8 network
    few-samples          ranges that still grow, or too little to see them
    preprocessing        samples that do not look like what the model was trained on
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from quantize.compare import TensorComparison
from quantize.graph import Graph
from quantize.plan import WEIGHTED
from quantize.report.document import Cause, Island, Severity

__all__ = ["diagnose"]

_IMBALANCE = 30.0  # the largest channel of a layer over its tenth part smallest
_OUTLIER = 4.0  # the whole range over that of 99.9 % of the values
_UNLIKE = 6.0
_GOOD_DB = 45.0  # of one rounding to 8 bits: more than that was no gain, so losing it is no loss
_BAD_DB = 15.0  # a tensor below this lost what matters

Range = tuple[float, float]


def diagnose(before: Graph, after: Graph, whole: Mapping[str, Range], bulk: Mapping[str, Range],
             layers: Sequence[TensorComparison], islands: Iterable[Island], data: Iterable[Cause]) -> tuple[Cause, ...]:
    """``before`` and ``after`` equalisation; ``whole`` and ``bulk``: the range of all and of 99.9 % of the values of each
    activation; ``layers``: float against INT8; ``data``: what the samples themselves were found to be."""
    bad = {layer.name for layer in layers if layer.sqnr_db < _BAD_DB}
    causes = [*data, *_imbalance(before, after, bad), *_outliers(whole, bulk, bad), *_concats(after, whole, bad),
              *_float_islands(list(islands)), *_first_loss(layers)]
    order: dict[Severity, int] = {"bad": 0, "warning": 1, "note": 2, "good": 3}
    return tuple(sorted(causes, key=lambda cause: order[cause.severity]))


def _imbalance(before: Graph, after: Graph, bad: set[str]) -> list[Cause]:
    found, left = _imbalanced(before), _imbalanced(after)
    if not found and not left:
        return []
    worst = max(found or left, key=lambda name: (found or left)[name])
    ratio = (found or left)[worst]
    if found and not set(found) & set(left):
        return [Cause(kind="weight-imbalance", severity="good", tensors=tuple(found),
                      sentence=f"The weights of {len(found)} layers differed up to {ratio:.0f} times from channel to "
                               "channel; cross-layer equalisation has evened them out.")]
    severity: Severity = "warning" if bad & set(left) else "note"
    return [Cause(kind="weight-imbalance", severity=severity, tensors=tuple(left), advice=(
        "Train with weight decay on depthwise layers, or allow 16-bit activations there: --max-drop climbs to them."),
        sentence=f"The channels of {len(left)} layers differ up to {ratio:.0f} times in their weights, and nothing before "
                 "or behind them can take that up.")]


def _imbalanced(graph: Graph) -> dict[str, float]:
    """Layers whose largest channel is so many times their small ones (the tenth percentile of living ones)."""
    found = {}
    for node in graph.nodes:
        weights = graph.constants.get(node.inputs[1]) if node.op in WEIGHTED else None
        if weights is None or node.op == "ConvTranspose":
            continue
        sizes = np.abs(weights).reshape(len(weights), -1).max(axis=1)
        alive = sizes[sizes > 1e-6 * sizes.max(initial=0.0)]
        if alive.size > 1 and alive.max() / np.quantile(alive, 0.1) > _IMBALANCE:
            found[node.name] = float(alive.max() / np.quantile(alive, 0.1))
    return found


def _outliers(whole: Mapping[str, Range], bulk: Mapping[str, Range], bad: set[str]) -> list[Cause]:
    found = {name: _span(whole[name]) / _span(bulk[name]) for name in whole
             if name in bulk and _span(bulk[name]) > 0 and _span(whole[name]) / _span(bulk[name]) > _OUTLIER}
    if not found:
        return []
    worst = max(found, key=lambda name: found[name])
    return [Cause(kind="activation-outlier", severity="warning" if bad & set(found) else "note", tensors=tuple(found),
                  sentence=f"In {len(found)} activations a thousandth of the values stretches the range; most in '{worst}', "
                           f"{found[worst]:.1f} times what the others need.",
                  advice="A range that cuts outliers off serves them better: --ranges mse or --ranges percentile.")]


def _concats(graph: Graph, whole: Mapping[str, Range], bad: set[str]) -> list[Cause]:
    found = {}
    for node in graph.nodes:
        spans = [_span(whole[value]) for value in node.inputs if value in whole and _span(whole[value]) > 0]
        if node.op == "Concat" and len(spans) > 1 and max(spans) / min(spans) > _UNLIKE:
            found[node.name] = max(spans) / min(spans)
    if not found:
        return []
    worst = max(found, key=lambda name: found[name])
    return [Cause(kind="concat-ranges", severity="warning" if bad & set(found) else "note", tensors=tuple(found),
                  sentence=f"{len(found)} Concats join unlike ranges; in '{worst}' one input is {found[worst]:.0f} times as "
                           "wide as another, which keeps few steps of the common grid.",
                  advice="Normalise before joining, or give the parts outputs of their own.")]


def _float_islands(islands: list[Island]) -> list[Cause]:
    if not islands:
        return []
    kinds = sorted({island.op for island in islands})
    return [Cause(kind="float-island", severity="note", tensors=tuple(dict.fromkeys(island.node for island in islands)),
                  sentence=f"{len({island.node for island in islands})} operators compute in float inside the INT8 network: "
                           f"{', '.join(kinds)}.",
                  advice="They cost time, not accuracy; quantize check says which operators would do the same in integers.")]


def _first_loss(layers: Sequence[TensorComparison]) -> list[Cause]:
    """The layer at which most is lost, where the network ends up bad."""
    if not layers or layers[-1].sqnr_db >= _BAD_DB:
        return []
    steps = [(min(one.sqnr_db, _GOOD_DB) - other.sqnr_db, other) for one, other in pairwise(layers)]
    if not steps:
        return []
    lost, where = max(steps, key=lambda step: step[0])
    return [Cause(kind="first-loss", severity="warning", tensors=(where.name,),
                  sentence=f"Most is lost in '{where.name}' ({where.op}): {lost:.1f} dB from one tensor to the next.",
                  advice="The chart of layers shows it; --max-drop tries more bits there.")]


def _span(limits: Range) -> float:
    return max(limits[1], 0.0) - min(limits[0], 0.0)
