"""The whole way: from a float model and real samples to INT8 files, proven, and packed as bundles.

    read ▶ look at the target ▶ judge the samples ▶ equalise ▶ observe ranges ▶ quantise ▶ evaluate in the device's engine
         ▶ climb the recovery ladder if too much was lost ▶ compare tensor by tensor ▶ report ▶ pack
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.errors import StorageError, UsageError
from quantize import targets
from quantize.account import Findings, account, figure_text, proof_of
from quantize.calibrate import calibrate
from quantize.check import check
from quantize.check import render as render_check
from quantize.compare import Feeds, Run, TensorComparison, compare, values_of
from quantize.dataset import tensors
from quantize.diagnosis import diagnose
from quantize.evaluate import Evaluation, evaluate
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.grid import Quantized
from quantize.heads import split_heads
from quantize.ladder import Choice, Ladder
from quantize.method import Method, prepared
from quantize.plan import integer_values
from quantize.produce import bundled, flat_name, float_subject, produce, save, subject
from quantize.progress import Progress, Silent
from quantize.qdq import explicit
from quantize.ranges import METHODS, Observer
from quantize.recipe import Recipe
from quantize.report import Document, render, to_json
from quantize.report.document import Island
from quantize.setting import Setting, establish
from quantize.subject import Subject
from quantize.verdict import growth_of, judge_samples

__all__ = ["Outcome", "run"]

_COMPARED = 24  # samples on which tensors are compared


@dataclass(frozen=True)
class Outcome:
    """``document``: the report. ``bundles``: by format. ``passed``: no bar was missed."""

    document: Document
    bundles: dict[str, Path]
    passed: bool


def run(recipe: Recipe, out: Path, progress: Progress, command: str = "") -> Outcome:
    """Quantise ``recipe.model`` into the folder ``out``.

    Raises UsageError, ModelError, ManifestError, DataError, SourceError, UnavailableError, StorageError. What was observed
    before an error or an interruption is kept in ``out`` and used by the next run.
    """
    return _Run(recipe, out, progress).go(command)


class _Run:
    """One run and what its steps hand on."""

    def __init__(self, recipe: Recipe, out: Path, progress: Progress) -> None:
        self.recipe, self.out, self.progress = recipe, out, progress
        self.found = Findings()
        self.parameters: dict[str, object] = {}

    def go(self, command: str) -> Outcome:
        _writable(self.out)
        setting = self._read()
        self._judge(setting)
        method, observer = self._prepare(setting)
        with tempfile.TemporaryDirectory(prefix="quantize-run-") as scratch:
            quantized = self._quantise(setting, method, Path(scratch))
            evaluation = self._prove(setting, method, quantized, Path(scratch))
        self._compare(setting, method, observer, quantized)
        return self._report(setting, quantized, evaluation, command)

    def _read(self) -> Setting:
        self.progress.step(f"Reading {self.recipe.model}")
        setting = establish(self.recipe)
        graph = setting.graph
        self.progress.say(f"{len(graph.nodes)} operators, inputs {_shapes(graph, graph.inputs)}, outputs "
                          f"{_shapes(graph, graph.outputs)}")
        for note in setting.notes:
            self.progress.say(note)
        if not self.recipe.target:
            raise UsageError("--target", "the device that the model is for", "none", f"--target {targets.names()[0]}")
        self.target = targets.load(self.recipe.target)
        self.formats = [format for format in self.recipe.formats if format in self.target.formats]
        if not self.formats:
            raise UsageError("--format", f"a format that {self.target.name} runs in integers", ", ".join(self.recipe.formats),
                             f"--format {self.target.formats[0]}")
        self.found.target = check(graph, self.target)
        for line in render_check(self.found.target):
            self.progress.say(line)
        return setting

    def _judge(self, setting: Setting) -> None:
        self.progress.step(f"Judging {len(setting.calibration)} samples of {self.recipe.data} to calibrate on")
        self.verdict = judge_samples(setting, self.progress)
        for line in self.verdict.lines:
            self.progress.say(line)

    def _prepare(self, setting: Setting) -> tuple[Method, Observer]:
        """The graph as it will be quantised, and the ranges of its values."""
        self.progress.step("Preparing the float network")
        graph, done = prepared(setting.graph, self.recipe)
        for sentence in done:
            self.progress.say(sentence)
        self.progress.step("Observing the ranges of activations")
        observer = calibrate(graph, setting, integer_values(graph), self.out / "cache", self.progress, self.recipe.threads)
        verdict = self.verdict.with_ranges(observer)
        self.progress.say(str(growth_of(observer)))
        self.found.calibration, self.found.causes = verdict.section(self.recipe.ranges), verdict.causes
        graph, heads = split_heads(graph, {name: (one.low, one.high) for name, one in observer.histograms.items()})
        for head in heads:
            self.progress.say(str(head))
            observer.histograms.update({new: observer.histograms[old] for old, new in head.renamed.items()})
            self.parameters |= head.parameters(setting.decoder)
        return Method(graph, observer, setting, self.recipe, self.target.rules, self.progress), observer

    def _quantise(self, setting: Setting, method: Method, scratch: Path) -> Quantized:
        """The first choice, or the best rung of the ladder where that loses too much."""
        self.progress.step("Quantising")
        first = Choice(self.recipe.ranges)
        if self.recipe.max_drop is None:
            return method.make(first)
        reference = float_subject(method.graph, setting, self.recipe, scratch, self.parameters)

        def loss(quantized: Quantized) -> float:
            return self._loss(setting, quantized, reference, scratch)

        ladder = Ladder(method.make, loss, method.ranking, self.recipe.max_drop, 60 * self.recipe.max_minutes, self.progress)
        try:
            _, quantized = ladder.climb(first, list(METHODS), integers_only="edgetpu" in self.target.paths.values())
        finally:
            reference.close()
        self.found.rungs, self.found.ended = ladder.rungs, ladder.ended
        return quantized

    def _loss(self, setting: Setting, quantized: Quantized, reference: Subject, scratch: Path) -> float:
        """Points that the first file to be made loses; without labels, points of agreement with the float model."""
        product = produce(quantized, self.formats[:1], self.recipe.io, self.target.rules, scratch / "rung")[0]
        tried = subject(product, setting, self.recipe, scratch / "rung.bundle", parameters=self.parameters)
        try:
            evaluation = evaluate(reference, [tried], setting.judging, Silent(), setting.labels)
        finally:
            tried.close()
        return evaluation.standings[1].loss

    def _prove(self, setting: Setting, method: Method, quantized: Quantized, scratch: Path) -> Evaluation:
        """Write the files, and judge them beside the float model in the engine of the device."""
        self.progress.step("Writing and judging the INT8 files")
        stem = self.out / flat_name(Path(self.recipe.model).stem)
        products = produce(quantized, self.formats, self.recipe.io, self.target.rules, stem)
        subjects = [float_subject(method.graph, setting, self.recipe, scratch, self.parameters)]
        try:
            for product in products:
                self.progress.say(f"{product.path.name}: {product.path.stat().st_size / 1e6:.2f} MB, "
                                  f"{len(product.islands)} operators in float")
                subjects.append(subject(product, setting, self.recipe, scratch / product.format, parameters=self.parameters))
            evaluation = evaluate(subjects[0], subjects[1:], setting.judging, self.progress, setting.labels)
        finally:
            for one in subjects:
                one.close()
        self.found.products, self.found.evaluation = products, evaluation
        for standing in evaluation.standings[1:]:
            self.progress.say(f"{standing.title}: {', '.join(map(figure_text, [*standing.drops, *standing.figures]))}")
        return evaluation

    def _compare(self, setting: Setting, method: Method, observer: Observer, quantized: Quantized) -> None:
        self.progress.step("Comparing float and INT8 tensor by tensor")
        self.found.layers = _layers(setting, method, quantized)
        self.found.histograms = observer.histograms
        whole = {name: (one.low, one.high) for name, one in observer.histograms.items()}
        bulk = {name: one.bulk() for name, one in observer.histograms.items()}
        islands = [Island(node=node, op=op, reason=reason) for product in self.found.products
                   for node, op, reason in product.islands]
        self.found.causes = diagnose(setting.graph, method.graph, whole, bulk, self.found.layers, islands, self.found.causes)
        for cause in self.found.causes:
            self.progress.say(cause.sentence)

    def _report(self, setting: Setting, quantized: Quantized, evaluation: Evaluation, command: str) -> Outcome:
        self.progress.step("Packing and reporting")
        document = account(self.recipe, setting, quantized, self.found, command)
        proof = proof_of(setting, quantized, self.found, document)
        bundles = {}
        for product in self.found.products:
            stem = product.path.stem if product.format == self.formats[0] else f"{product.path.stem}-{product.format}"
            bundles[product.format] = self.out / f"{stem}.eib"
            bundled(product, setting, self.recipe, bundles[product.format], proof, self.parameters)
        save(self.out / "report.json", to_json(document))
        save(self.out / "report.html", render(document).encode())
        for made in [*bundles.values(), self.out / "report.html", self.out / "report.json"]:
            self.progress.say(f"wrote {made}")
        self.progress.say(document.verdict.sentence)
        return Outcome(document, bundles, document.verdict.outcome != "missed")


def _layers(setting: Setting, method: Method, quantized: Quantized) -> Sequence[TensorComparison]:
    values = values_of(quantized)
    names = [value.name for value in values if value.name not in method.graph.inputs]
    reference, integer = Runner(method.graph, names), Runner(explicit(quantized), names)
    grids = quantized.activations

    def with_inputs(runner: Runner, rounded: bool) -> Run:
        def answers(feeds: Feeds) -> Feeds:
            inputs = {name: grids[name].dequantize(grids[name].quantize(array)) if rounded and name in grids else array
                      for name, array in feeds.items()}
            return {**inputs, **runner.run(feeds)}
        return answers

    some = setting.judging.split(min(_COMPARED, len(setting.judging)))[0]
    samples = (feeds for _, feeds in tensors(some, setting.spec, setting.inputs))
    return compare(with_inputs(reference, False), with_inputs(integer, True), samples, values)


def _shapes(graph: Graph, names: Sequence[str]) -> str:
    return ", ".join(f"'{name}' {list(graph.shapes[name])}" for name in names)


def _writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(str(out), "a folder that can be made", error.strerror or str(error), "-o FOLDER") from error
