"""The account of a run: everything found on the way, as the tree of values that the report is drawn from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer import devices
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.preprocess.spec import ImageSpec
from quantize.check import Verdict as TargetVerdict
from quantize.compare import TensorComparison
from quantize.evaluate import Evaluation, Standing
from quantize.grid import Grid, Quantized
from quantize.ladder import Rung
from quantize.metrics import Figure
from quantize.pack import Proof
from quantize.produce import Product
from quantize.ranges import Histogram
from quantize.recipe import Recipe
from quantize.report import document as report
from quantize.report import judge
from quantize.report.thumbnail import thumbnail
from quantize.setting import Setting

__all__ = ["Findings", "account", "figure_text", "proof_of"]

_DRAWN = 24  # histograms
_BARS = 64
_COARSE = 32  # bins of an input's histogram in the manifest


@dataclass
class Findings:
    """What the steps of a run found; a step that was left out leaves its field empty."""

    calibration: report.Calibration | None = None
    causes: tuple[report.Cause, ...] = ()
    target: TargetVerdict | None = None
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    rungs: Sequence[Rung] = ()
    ended: str = ""
    layers: Sequence[TensorComparison] = ()
    evaluation: Evaluation | None = None
    products: Sequence[Product] = ()


def account(recipe: Recipe, setting: Setting, quantized: Quantized, found: Findings, command: str) -> report.Document:
    """The document of a run that came to its end."""
    evaluation = found.evaluation
    assert evaluation is not None
    accuracy = _accuracy(setting, evaluation)
    return report.Document(
        model=Path(recipe.model).name, target=recipe.target, accuracy=accuracy,
        verdict=judge(accuracy, recipe.max_drop, evaluation.parity, recipe.min_parity),
        worst=_worst(setting, evaluation), layers=tuple(found.layers),
        histograms=_histograms(found.histograms, quantized, found.layers, recipe.ranges),
        ladder=_ladder(found, recipe), diagnosis=found.causes, islands=_islands(found.products),
        operators=_operators(found.target), parity=evaluation.parity, files=_files(evaluation, found.products),
        calibration=found.calibration, provenance=_provenance(recipe, setting, found.products, command))


def _accuracy(setting: Setting, evaluation: Evaluation) -> report.Accuracy:
    runs = tuple(report.Run(title=one.title, figures=one.figures, drops=one.drops, runs_on=one.runs_on)
                 for one in evaluation.standings)
    what = "pictures" if isinstance(setting.spec, ImageSpec) else "windows"
    return report.Accuracy(samples=evaluation.samples, labelled=evaluation.labelled, runs=runs, what=what,
                           source=setting.judging.path.name)


def _worst(setting: Setting, evaluation: Evaluation) -> tuple[report.Sample, ...]:
    """The samples on which INT8 is furthest from float, with their pictures or signals."""
    order = {worst.index: worst for worst in evaluation.worst}
    made: dict[int, report.Sample] = {}
    for sample in setting.judging.samples(list(order)):
        worst = order[sample.index]
        made[sample.index] = report.Sample(
            name=worst.sample, answers=worst.answers, sqnr_db=round(worst.sqnr_db, 2), truth=worst.truth,
            image=_picture(sample.frame), signal=_signal(sample.frame))
    return tuple(made[index] for index in order if index in made)


def _picture(frame: Frame) -> bytes:
    if isinstance(frame.format, FrameFormat) and frame.format.pixel_format in ("RGB", "BGR", "GREY"):
        return thumbnail(frame.view, frame.format.pixel_format)
    return b""


def _signal(frame: Frame) -> tuple[float, ...]:
    """The first channel of a window, in at most some 200 numbers."""
    if isinstance(frame.format, FrameFormat):
        return ()
    signal = frame.view[:, 0]
    return tuple(round(float(value), 6) for value in signal[:: max(1, len(signal) // 200)])


def _histograms(histograms: Mapping[str, Histogram], quantized: Quantized, layers: Sequence[TensorComparison],
                method: str) -> tuple[report.Histogram, ...]:
    """Of the activations that lost most, in order of computation."""
    worst = {layer.name for layer in sorted(layers, key=lambda layer: layer.sqnr_db)[:_DRAWN]}
    drawn = []
    for name, histogram in histograms.items():
        grid = quantized.activations.get(name)
        if name not in worst or grid is None or not histogram.total or histogram.high <= histogram.low:
            continue
        counts, _ = np.histogram(histogram.centres, _BARS, (histogram.low, histogram.high), weights=histogram.counts)
        half = float(grid.scale[0]) / 2
        outside = (histogram.centres < grid.low - half) | (histogram.centres > grid.high + half)
        drawn.append(report.Histogram(
            name=name, low=histogram.low, high=histogram.high, counts=tuple(int(count) for count in counts),
            chosen_low=grid.low, chosen_high=grid.high, method=method,
            clipped=float(histogram.counts[outside].sum() / histogram.total)))
    return tuple(drawn)


def _ladder(found: Findings, recipe: Recipe) -> report.Ladder | None:
    if not found.rungs:
        return None
    rungs = tuple(report.Rung(
        did=str(rung.choice), gain=rung.gain, seconds=round(rung.seconds, 1), kept=rung.kept,
        figure=Figure(name="points lost", value=rung.loss, unit="points", better="lower")) for rung in found.rungs)
    return report.Ladder(rungs=rungs, bar=recipe.max_drop, ended=found.ended)


def _islands(products: Sequence[Product]) -> tuple[report.Island, ...]:
    return tuple(report.Island(node=node, op=op, reason=reason, file=product.title)
                 for product in products for node, op, reason in product.islands)


def _operators(verdict: TargetVerdict | None) -> tuple[report.TargetOperators, ...]:
    if verdict is None:
        return ()
    made = []
    for path in verdict.paths:
        leaving: dict[tuple[str, str], list[str]] = {}
        for placement in path.leaving:
            leaving.setdefault((placement.op, placement.why), []).append(placement.node)
        operators = tuple(report.Operator(op=op, count=len(nodes), reason=why, node=nodes[0])
                          for (op, why), nodes in leaving.items())
        made.append(report.TargetOperators(target=f"{verdict.target}, {path.format}", leaving=operators,
                                           integer=len(path.placements) - len(path.leaving), other=len(path.leaving)))
    return tuple(made)


def figure_text(figure: Figure) -> str:
    """A figure for people, with its interval."""
    unit = "" if not figure.unit else figure.unit if figure.unit == "%" else f" {figure.unit}"
    interval = "" if figure.low is None or figure.high is None else f" ({figure.low:.4g} to {figure.high:.4g})"
    return f"{figure.name} {figure.value:.4g}{unit}{interval}"


def proof_of(setting: Setting, quantized: Quantized, found: Findings, document: report.Document) -> Proof:
    """What the bundle's manifest says of the run: accuracy, origin, and what the inputs looked like."""
    evaluation = found.evaluation
    assert evaluation is not None
    figures = {one.title: {figure.name: round(figure.value, 4) for figure in [*one.figures, *one.drops]}
               for one in evaluation.standings}
    machine = devices.probe()
    made = document.provenance
    return Proof(
        accuracy={"data": setting.judging.path.name, "samples": evaluation.samples, "labelled": evaluation.labelled,
                  "method": "the device's engine on this machine", "figures": figures},
        provenance={"quantized_with": versions(), "cpu": machine.model, "dot_product": machine.dot_product,
                    "hashes": made.hashes if made else {}},
        calibration={"samples": len(setting.calibration), "inputs": {
            name: _input(one, quantized.activations.get(name))
            for name in setting.graph.inputs if (one := found.histograms.get(name)) is not None and one.total}})


def _input(seen: Histogram, grid: Grid | None) -> dict[str, Any]:
    """What an input looked like, in real values: the device compares what it sees (``edgeinfer.model.drift``)."""
    low, high = seen.bulk(0.998)
    return {"low": seen.low, "high": seen.high, "mean": seen.mean(), "std": seen.std(), "low_0.1%": low, "high_99.9%": high,
            "histogram": _coarse(seen, grid)}


def _coarse(seen: Histogram, grid: Grid | None) -> dict[str, Any]:
    """Counts in equal bins over the range that the input's integers have, half a step more at both ends: then an edge lies
    between two integers. An input that stays float: over all that was seen."""
    half = float(grid.scale[0]) / 2 if grid is not None else 0.0
    low, high = (grid.low - half, grid.high + half) if grid is not None else (seen.low, seen.high)
    counts, _ = np.histogram(np.clip(seen.centres, low, high), _COARSE, (low, max(high, low + 1e-6)), weights=seen.counts)
    return {"low": low, "high": high, "counts": [int(count) for count in counts]}


def _files(evaluation: Evaluation, products: Sequence[Product]) -> tuple[report.File, ...]:
    names = {product.title: product.path.name for product in products}

    def file(one: Standing) -> report.File:
        latency = report.Latency(**one.latency) if one.latency["count"] else None
        return report.File(title=one.title, name=names.get(one.title, ""), bytes=one.bytes, latency=latency,
                           runs_on=one.runs_on)

    return tuple(file(one) for one in evaluation.standings)


def _provenance(recipe: Recipe, setting: Setting, products: Sequence[Product], command: str) -> report.Provenance:
    import yaml

    files = [Path(recipe.model), *(product.path for product in products)]
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}
    hashes[f"samples of {Path(recipe.data).name}"] = setting.calibration.digest()
    said = {name: value for name in recipe.__struct_fields__ if (value := getattr(recipe, name)) not in ("", (), {}, None)}
    machine = devices.probe()
    return report.Provenance(
        command=command, recipe=yaml.safe_dump(_plain(said), sort_keys=False), versions=versions(), hashes=hashes,
        machine=report.Machine(cpu=machine.model, architecture=machine.architecture, cores=machine.cores,
                               vnni=machine.dot_product), assumed=setting.notes)


def versions() -> dict[str, str]:
    """Of all packages that decide what comes out, those that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("edgeinfer", "numpy", "onnx", "flatbuffers", "onnxruntime", "ai-edge-litert", "opencv-python-headless"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
