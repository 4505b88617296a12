"""The whole way: from a float model and real samples to INT8 files, proven, and packed as bundles.

    read ▶ look at the target ▶ judge the samples ▶ equalise ▶ observe ranges ▶ quantise ▶ evaluate in the device's engine
         ▶ climb the recovery ladder if too much was lost ▶ compare tensor by tensor ▶ report ▶ pack
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.errors import StorageError
from quantize import targets
from quantize.account import Findings, account
from quantize.calibrate import calibrate
from quantize.check import check
from quantize.check import render as render_check
from quantize.compare import TensorComparison, compare, values_of
from quantize.dataset import tensors
from quantize.diagnosis import diagnose
from quantize.evaluate import Evaluation, evaluate
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.grid import Quantized
from quantize.heads import split_heads
from quantize.ladder import Choice, Ladder
from quantize.method import Method
from quantize.pack import Proof
from quantize.plan import integer_values
from quantize.produce import Product, bundled, float_subject, produce, subject
from quantize.progress import Progress
from quantize.qdq import explicit
from quantize.ranges import METHODS, Observer
from quantize.recipe import Recipe
from quantize.report import Document, render, to_json
from quantize.report.document import Island
from quantize.setting import Setting, establish

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
        self.target = targets.load(self.recipe.target)
        self.formats = [format for format in self.recipe.formats if format in self.target.formats]
        self.found.target = check(graph, self.target)
        for line in render_check(self.found.target):
            self.progress.say(line)
        return setting
