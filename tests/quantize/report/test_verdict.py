"""The verdict in one sentence, with the figures."""

from __future__ import annotations

import pytest

from quantize.compare import Parity
from quantize.metrics import Figure
from quantize.report import judge
from quantize.report.document import Accuracy, Run


def runs(*drops: float, better: str = "higher", unit: str = "%") -> Accuracy:
    """Float and as many INT8 models as there are drops, of 200 pictures."""
    name, sign = ("top-1", -1) if better == "higher" else ("mean absolute error", 1)
    other = "points" if unit == "%" else unit

    def figure(value: float) -> Figure:
        return Figure(name=name, value=value, unit=unit, better=better, count=200)  # type: ignore[arg-type]  # one of the two

    models = [Run(title=f"INT8 {index}", figures=(figure(75 + sign * drop),), drops=(
        Figure(name=f"drop of {name}", value=drop, low=drop - 1, high=drop + 1, unit=other, better="lower"),))
        for index, drop in enumerate(drops)]
    return Accuracy(samples=200, labelled=True, what="pictures", runs=(Run(title="Float", figures=(figure(75),)), *models))


def unlabelled(agreement: float, unit: str = "%", name: str = "top-1 agreement") -> Accuracy:
    measured = Figure(name=name, value=agreement, low=agreement - 3, high=agreement + 2, unit=unit)
    return Accuracy(samples=1, labelled=False, what="pictures", runs=(
        Run(title="Float", figures=()), Run(title="INT8 ONNX", figures=(measured,))))


@pytest.mark.parametrize(("accuracy", "bar", "outcome", "sentence"), [
    (runs(0.5, 2.0), 3.0, "passed", "INT8 1 lowers top-1 by 2.0 points: 73.0 % instead of 75.0 % on 200 pictures. Up to 3.0 points may be lost."),
    (runs(2.0), 2.0, "passed", "INT8 0 lowers top-1 by 2.0 points: 73.0 % instead of 75.0 % on 200 pictures. Up to 2.0 points may be lost."),
    (runs(2.0), 1.0, "missed", "INT8 0 lowers top-1 by 2.0 points: 73.0 % instead of 75.0 % on 200 pictures. Only 1.0 points may be lost."),
    (runs(-0.5), 1.0, "passed", "INT8 0 raises top-1 by 0.5 points: 75.5 % instead of 75.0 % on 200 pictures. Up to 1.0 points may be lost."),
    (runs(0.0), None, "measured", "INT8 0 leaves top-1 as it was: 75.0 % on 200 pictures. No bar was set."),
    (runs(0.5, better="lower", unit=""), None, "measured", "INT8 0 raises mean absolute error by 0.5: 75.5 instead of 75 on 200 pictures. No bar was set."),
    (unlabelled(89.7), None, "unlabelled", "There are no labels, so this is no accuracy: INT8 ONNX agrees with float on 89.7 % of 1 picture (86.7 to 91.7)."),
    (unlabelled(89.7), 12.0, "passed", "There are no labels, so this is no accuracy: INT8 ONNX agrees with float on 89.7 % of 1 picture (86.7 to 91.7); 88.0 % were asked for."),
    (unlabelled(89.7), 5.0, "missed", "There are no labels, so this is no accuracy: INT8 ONNX agrees with float on 89.7 % of 1 picture (86.7 to 91.7); 95.0 % are needed."),
    (unlabelled(17.0, "dB", "signal to noise"), None, "unlabelled",
     "There are no labels, so this is no accuracy: INT8 ONNX has a signal to noise of 17.0 dB against float on 1 picture (14.0 to 19.0)."),
])
def test_the_sentence(accuracy: Accuracy, bar: float | None, outcome: str, sentence: str) -> None:
    """The model that lost most is weighed."""
    verdict = judge(accuracy, bar)
    assert (verdict.outcome, verdict.sentence.replace("\u202f", " ")) == (outcome, sentence)


def test_a_loss_whose_interval_reaches_over_the_bar_is_said_to_be_undecided() -> None:
    """Passed, and another draw might not have."""
    (reason,) = judge(runs(0.5), 1.0).reasons
    assert reason.replace("\u2212", "-").startswith("The 95 % interval of the loss, -0.5 to 1.5, lies on both sides of that")
    assert judge(runs(0.5), 2.0).reasons == ()


@pytest.mark.parametrize(("alike", "bar", "outcome"), [(99.8, None, "measured"), (99.8, 1.0, "passed"), (99.0, 1.0, "missed"),
                                                        (99.0, None, "missed")])
def test_files_that_answer_differently_miss_the_bar(alike: float, bar: float | None, outcome: str) -> None:
    """Whatever their accuracy."""
    parity = Parity(samples=200, outputs=(), agreement=Figure(name="top-1 agreement", value=alike, unit="%"))
    verdict = judge(runs(-3.0), bar, parity, 99.5)
    assert verdict.outcome == outcome
    assert "give the same answer on" in verdict.reasons[-1]


def test_a_verdict_needs_something_to_judge() -> None:
    """Only float: a mistake in the program."""
    with pytest.raises(RuntimeError, match="needs an INT8 run"):
        judge(runs())
