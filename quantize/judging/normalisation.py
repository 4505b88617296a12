"""Whether the recipe's normalisation fits the model, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec, WindowSpec
from quantize.graph import Graph
from quantize.judging.channels import Channels
from quantize.judging.finding import Finding
from quantize.judging.firstlayer import USUAL
from quantize.judging.oracle import Comparison, Witness

__all__ = ["by_model", "by_samples", "normalises_itself"]

STRONG, SOME = 3.0, 2.0  # log odds: 20 to 1 is "strong" (R. Kass and A. Raftery, "Bayes factors", 1995)
_HARMLESS = 0.9  # share of the answers that stay the same
_COLOUR_ODDS, _COLOUR_SAMPLES = 4.0, 64  # by answers alone: nets answer some photos better with red and blue exchanged
_LEAST_LABELLED = 12
_LEAST_RIGHT = 0.25  # beyond chance: a model that anybody quantises is better


def by_model(found: Comparison, spec: PreprocessSpec, itself: bool) -> Iterator[Finding]:
    """What the float model says. ``itself``: its graph begins by normalising."""
    strange = _strange_labels(found)
    if strange is not None:  # which also tells against the right normalisation
        yield strange
        return
    witnesses = (found.recipe, *found.rivals)
    likely = [rival for rival in found.rivals if rival.odds >= SOME and rival.agreement < _HARMLESS
              and not (rival.convention.swapped and not _sure(found, rival))]
    if likely:
        yield _better(found, [rival for rival in likely if rival.odds > likely[0].odds - STRONG], spec, itself)
    elif found.measure == "none" and all(witness.quotient is None for witness in witnesses):
        yield Finding("note", "normalisation", f"whether {described(spec)} fits cannot be told from this float model",
                      "compare preprocess.mean and preprocess.std with what the training did")
    elif found.rivals:
        yield Finding("ok", "normalisation", f"no usual way fits the float model better than {described(spec)}{_colours(found)}")


def _better(found: Comparison, likely: Sequence[Witness], spec: PreprocessSpec, itself: bool) -> Finding:
    """``likely``: the ways that are about as likely as the first."""
    best = likely[0]
    strong = best.odds >= STRONG
    reasons = list(_reasons(found, best))
    if itself:
        reasons.append("its graph begins by normalising, which the recipe should then not do")
    ways = " or ".join(f"'{rival.name}'" for rival in likely)
    return Finding("warning" if strong else "note", "normalisation",
                   f"{ways} fits the float model {'much' if strong else 'somewhat'} better than {described(spec)}, "
                   f"odds {_odds(best.odds)}: {'; '.join(reasons)}",
                   f"if it was trained so, set {' or '.join(rival.convention.setting for rival in likely)}")


def _sure(found: Comparison, rival: Witness) -> bool:
    """Whether colours may be spoken of."""
    enough = _LEAST_LABELLED if found.measure == "truth" else _COLOUR_SAMPLES
    return rival.odds >= _COLOUR_ODDS and len(rival.answers) >= enough


def _reasons(found: Comparison, best: Witness) -> Iterator[str]:
    own, its = found.recipe.quotient, best.quotient
    if own is not None and its is not None and not best.convention.swapped and not 1 / 3 < own / USUAL < 3:
        what = "is lost in the signal" if own < USUAL else "drowns the signal"
        yield f"the first layer's bias {what} ({_short(own)} of its deviation, {_short(its)} then, about 1 is usual)"
    if found.measure == "truth" and found.right[best.name] != found.right[found.recipe.name]:
        yield f"right answers to labelled samples: {found.right[found.recipe.name]:.0%}, and {found.right[best.name]:.0%} then"
    if found.recipe.variation < best.variation / 3:
        yield "the answers hardly differ from sample to sample, and do then"
    yield f"{1 - best.agreement:.0%} of the answers to {len(best.answers)} samples change"


def _colours(found: Comparison) -> str:
    swapped = next((rival for rival in found.rivals if rival.convention.swapped), None)
    if swapped is None:
        return ""
    first, _, second = swapped.name.partition(" for ")
    if swapped.odds <= -STRONG:
        return f"; {second} fits better than {first}"
    return f"; whether it wants {second} or {first} cannot be told from {len(swapped.answers)} samples"


def _strange_labels(found: Comparison) -> Finding | None:
    """Labels in another order than the model's classes make every answer wrong, however the input is normalised."""
    heard = [one for one in (found.recipe, *found.rivals) if len(one.answers) >= _LEAST_LABELLED]
    if found.measure != "truth" or found.labelled < _LEAST_LABELLED or not heard:
        return None
    best = max(found.right[one.name] for one in heard)
    chance = 1 / found.recipe.answers[0].size
    if best > chance + _LEAST_RIGHT * (1 - chance):
        return None
    return Finding("warning", "labels", f"the float model is right on {best:.0%} of {found.labelled} labelled samples at most, "
                   "however they are normalised",
                   "see that the labels count the classes as the model does, with its background if it has one")


def by_samples(spec: PreprocessSpec, tensor: Channels) -> Iterator[Finding]:
    """What the samples alone say of a window's mean and deviation, or least and greatest."""
    if not isinstance(spec, WindowSpec) or spec.normalize == "none" or not tensor.count:
        return
    alive = tensor.deviation > 0
    if spec.normalize == "standardize":
        wrong = alive & ((np.abs(tensor.mean) > 1) | (tensor.deviation > 3) | (tensor.deviation < 1 / 3))
        usual = "mean 0 and deviation 1"
    else:
        wrong = alive & ((tensor.least < -0.1) | (tensor.greatest > 1.1) | (tensor.greatest - tensor.least < 0.1))
        usual = "0 to 1"
    for channel in np.flatnonzero(wrong)[:3]:
        yield Finding("warning", "normalisation", f"channel {channel} is normalised to mean {tensor.mean[channel]:.3g}, deviation "
                      f"{tensor.deviation[channel]:.3g}, {tensor.least[channel]:.3g} to {tensor.greatest[channel]:.3g}, where "
                      f"{usual} is meant", "see that the unit is the one of training, and the constants those of the training set")


def described(spec: PreprocessSpec) -> str:
    """The recipe's normalisation in short."""
    if isinstance(spec, WindowSpec):
        return {"none": "the sensor's own units", "standardize": "the recipe's mean and std",
                "minmax": "the recipe's minimum and maximum"}[spec.normalize]
    mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (spec.mean, spec.std))
    return f"the recipe ({spec.colour}, mean {mean}, std {std})" if isinstance(spec, ImageSpec) else ""


def normalises_itself(graph: Graph) -> bool:
    """Whether the graph subtracts from its input or scales it before anything else."""
    value = graph.inputs[0]
    for node in graph.nodes:
        if value in node.inputs:
            if node.op in ("Sub", "Add", "Mul", "Div", "BatchNormalization"):
                return any(graph.is_constant(input) for input in node.inputs)
            if node.op not in ("Transpose", "Reshape", "Cast"):
                return False
            value = node.outputs[0]
    return False


def _odds(log: float) -> str:
    return f"{np.exp(log):.0f} to 1" if log < 7 else "over 1000 to 1"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"
