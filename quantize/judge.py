"""The verdict on a calibration set, before anything is calibrated: is it enough, is it varied, and does it reach the model as
the model was trained?

Wrong preprocessing is the costliest mistake, and no runtime notices it. So the float model is asked: see ``judging.oracle``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from quantize.dataset.tensors import Tensors
from quantize.graph import Graph
from quantize.judging.channels import Channels
from quantize.judging.content import Content
from quantize.judging.conventions import Convention, rivals
from quantize.judging.finding import Finding, Severity
from quantize.judging.firstlayer import first_layer
from quantize.judging.growth import Growth, growth_finding
from quantize.judging.normalisation import by_model, by_samples, normalises_itself
from quantize.judging.oracle import Comparison, Run, compare

__all__ = ["Finding", "Growth", "Verdict", "growth_finding", "judge", "watched"]

_ORDER: dict[Severity, int] = {"warning": 0, "note": 1, "ok": 2}


@dataclass(frozen=True)
class Verdict:
    """``count`` samples were read; ``unreadable`` were not, by name, and why. ``tensor`` and ``raw`` are each channel's figures
    as the model gets them and before normalisation. ``findings``: warnings first."""

    kind: str
    count: int
    unreadable: dict[str, str]
    tensor: Channels
    raw: Channels
    findings: tuple[Finding, ...]
    comparison: Comparison | None = field(default=None, repr=False)

    @property
    def severity(self) -> Severity:
        """The worst of the findings."""
        return self.findings[0].severity if self.findings else "ok"

    def with_finding(self, finding: Finding) -> Verdict:
        """The same with one more, such as ``Growth.finding`` once the ranges are known."""
        return Verdict(self.kind, self.count, self.unreadable, self.tensor, self.raw, _sorted([*self.findings, finding]),
                       self.comparison)

    def lines(self) -> list[str]:
        """For people: the figures, then a line for each finding."""
        rows = [f"{self.count} samples ({self.kind})"]
        for name, channels in (("as stored", self.raw), ("as the model gets them", self.tensor)):
            mean, deviation = (" ".join(f"{value:.4g}" for value in values[:8]) for values in (channels.mean, channels.deviation))
            ends = " to ".join(f"{round(float(value), 4):.4g}" for value in (channels.least.min(), channels.greatest.max()))
            rows.append(f"  {name}: mean {mean}, deviation {deviation}, {ends}")
        return [*rows, *map(str, self.findings)]

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        findings = [{"severity": one.severity, "topic": one.topic, "text": one.text, "advice": one.advice} for one in self.findings]
        return {"kind": self.kind, "count": self.count, "unreadable": dict(self.unreadable), "tensor": self.tensor.document(),
                "raw": self.raw.document(), "findings": findings,
                "normalisation": None if self.comparison is None else self.comparison.document()}


def judge(tensors: Tensors, *, run: Run | None = None, graph: Graph | None = None, classes: Sequence[str] = (), task: str = "",
          budget: int = 60) -> Verdict:
    """Look at every sample once, and ask the float model about at most ``budget`` inputs.

    ``run`` takes the inputs by name and gives the outputs, and the values of ``watched(graph)`` where there are any; without
    it the model is not asked. More runs tell finer differences: with 60, pixels of 0 to 255 for -1 to 1; with 480, ImageNet's
    mean and deviation for -1 to 1, and blue for red. ``task`` "regress" or "anomaly" says that answers have no peak.
    Raises what walking the dataset raises: one error where nothing can be read.
    """
    content = Content(tensors.spec, tensors.inputs[0], classes)
    for sample, feeds in tensors:
        content.add(sample, feeds[tensors.inputs[0].name])
    findings = [*content.findings(), *by_samples(tensors.spec, content.tensor)]
    unreadable = tensors.dataset.unreadable
    if unreadable:
        names = ", ".join(list(unreadable)[:3]) + (", …" if len(unreadable) > 3 else "")
        findings.append(Finding("warning", "unreadable", f"{len(unreadable)} samples cannot be read and are left out: {names} "
                                f"({next(iter(unreadable.values()))})", "repair or remove them"))
    found = None
    if run is not None:
        found = compare(tensors, Convention("the recipe", tensors.spec), rivals(tensors.spec, content.raw), run,
                        first_layer(graph) if graph is not None and watched(graph) else None, task, budget, content.usable)
    if found is not None:
        findings += by_model(found, tensors.spec, graph is not None and normalises_itself(graph))
    return Verdict(tensors.dataset.kind, content.count, dict(unreadable), content.tensor, content.raw, _sorted(findings), found)


def watched(graph: Graph) -> list[str]:
    """Values, beside the outputs, that ``run`` should give so that more can be told."""
    first = first_layer(graph)
    return [] if first is None or first.name in graph.outputs else [first.name]


def _sorted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))
