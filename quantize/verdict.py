"""The verdict on the samples of a run, for its log and for its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quantize.dataset import tensors
from quantize.graph.execute import Runner
from quantize.judge import Finding, Verdict, judge, watched
from quantize.judging.finding import Severity
from quantize.judging.growth import growth_finding
from quantize.progress import Progress
from quantize.ranges import Observer
from quantize.report import document as report
from quantize.setting import Setting

__all__ = ["SampleVerdict", "growth_of", "judge_samples"]

_BUDGET = 480  # runs of the float model, in which it is asked which normalisation it answers best with
_SEVERITY: dict[Severity, report.Severity] = {"ok": "good", "note": "note", "warning": "warning"}
_SENTENCES: dict[Severity, str] = {
    "ok": "Nothing speaks against these samples.",
    "note": "These samples will do; see the notes.",
    "warning": "These samples may mislead the calibration: see the warnings before trusting the result.",
}
_CAUSES = {"normalisation": "preprocessing", "colour": "preprocessing", "count": "few-samples", "ranges": "few-samples"}


@dataclass(frozen=True)
class SampleVerdict:
    """What was found of the calibration samples."""

    setting: Setting
    verdict: Verdict

    @property
    def lines(self) -> list[str]:
        """For people."""
        return self.verdict.lines()

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"severity": self.verdict.severity, **self.verdict.document()}

    def with_ranges(self, observer: Observer) -> SampleVerdict:
        """The same, with whether the ranges still grew when the samples ended."""
        return SampleVerdict(self.setting, self.verdict.with_finding(growth_of(observer)))

    def section(self, method: str) -> report.Calibration:
        """For the report. ``method``: how ranges were chosen."""
        findings = tuple(report.Finding(severity=_SEVERITY[one.severity], sentence=f"{one.topic}: {one.text}", hint=one.advice)
                         for one in self.verdict.findings)
        severity = self.verdict.severity
        return report.Calibration(source=self.setting.calibration.path.name, samples=self.verdict.count, method=method,
                                  severity=_SEVERITY[severity], sentence=_SENTENCES[severity], findings=findings)

    @property
    def causes(self) -> tuple[report.Cause, ...]:
        """Warnings, as causes of what is lost."""
        return tuple(report.Cause(kind=_CAUSES.get(one.topic, "samples"), severity="warning", advice=one.advice,
                                  sentence=f"Calibration samples: {one.text}.")
                     for one in self.verdict.findings if one.severity == "warning")


def judge_samples(setting: Setting, progress: Progress) -> SampleVerdict:
    """Look at every calibration sample, and ask the float model what it makes of them. Raises DataError, SourceError."""
    graph = setting.graph
    runner = Runner(graph, list(dict.fromkeys([*graph.outputs, *watched(graph)])))
    task = {"regress": "regress", "anomaly": "anomaly"}.get(setting.decoder, "")
    walked = tensors(setting.calibration, setting.spec, setting.inputs)
    verdict = judge(walked, run=runner.run, graph=graph, classes=setting.labels, task=task, budget=_BUDGET)
    return SampleVerdict(setting, verdict)


def growth_of(observer: Observer) -> Finding:
    """Whether ranges grew in the last quarter of the samples."""
    after = {name: (one.low, one.high) for name, one in observer.histograms.items() if one.total}
    return growth_finding(observer.before, after, observer.seen)
