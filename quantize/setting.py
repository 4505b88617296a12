"""What a run starts from: the float graph, how it is fed, what its outputs mean, the samples, and the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeinfer.errors import ConfigError, ManifestError, UsageError
from edgeinfer.model.bundle import lines
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec
from edgeinfer.model.tensor import TensorSpec
from quantize import tflite_metadata, ultralytics
from quantize.converters import load
from quantize.dataset import Dataset, open_dataset
from quantize.facts import Facts, Learnt
from quantize.graph import Graph
from quantize.preprocessing import deduce
from quantize.recipe import Recipe

__all__ = ["Setting", "establish"]


@dataclass(frozen=True)
class Setting:
    """``graph``: the float model. ``spec``: its preprocessing, in the graph's layout. ``decoder`` and ``parameters``: of the
    bundle. ``notes``: what was assumed, in sentences."""

    graph: Graph
    spec: PreprocessSpec
    facts: Facts
    decoder: str
    parameters: dict[str, object]
    labels: tuple[str, ...]
    calibration: Dataset
    judging: Dataset
    notes: tuple[str, ...]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs as float tensors."""
        return float_inputs(self.graph)


def float_inputs(graph: Graph) -> tuple[TensorSpec, ...]:
    """Specs of the inputs of a float graph."""
    return tuple(TensorSpec(name=name, shape=graph.shapes[name], dtype="float32") for name in graph.inputs)


def establish(recipe: Recipe) -> Setting:
    """Read and check everything that a run needs, before anything long begins.

    Raises ModelError, ManifestError (with all that is not known of the preprocessing), DataError, SourceError, UsageError.
    """
    missing = [name for name in ("model", "data") if not getattr(recipe, name)]
    if missing:
        raise UsageError("quantize", f"a {' and '.join(missing)}", "none", "quantize MODEL --data DIR --target NAME -o OUT")
    path = Path(recipe.model)
    loaded = load(path, recipe.shape)
    graph = loaded.graph
    learnt = _learnt(path)
    facts = Facts({f"preprocess.{name}": value for name, value in recipe.preprocess.items()}, recipe.override)
    for name, value in learnt.preprocess.items():
        if name != "layout":  # the graph has one of its own
            facts.state(f"preprocess.{name}", value, learnt.source)
    spec = deduce(facts, float_inputs(graph)[0])
    labels = _labels(recipe, learnt)
    if spec is None:
        raise ManifestError.of(facts.faults)
    decoder, parameters, notes = _decoder(recipe, learnt, graph, labels)
    notes += [*loaded.notes]
    notes += [f"assumed {name} = {fact.value}: {fact.why}" for name, fact in facts.assumptions().items()]
    outputs = tuple(TensorSpec(name=name, shape=graph.shapes[name], dtype="float32") for name in graph.outputs)
    DECODERS.load(decoder, "--decoder")(parameters, outputs, labels, float_inputs(graph))  # faults now, not after hours
    calibration, judging = _datasets(recipe, spec, graph, labels, decoder)
    return Setting(graph, spec, facts, decoder, parameters, labels, calibration, judging, tuple(notes))


def _learnt(path: Path) -> Learnt:
    """What the file says of itself, where its kind has a place for it."""
    if path.suffix == ".tflite":
        return tflite_metadata.read(path)
    if path.suffix == ".onnx":
        from edgeinfer.model.modelfile import describe

        return ultralytics.learn(dict(describe(path).metadata), path.name)
    return Learnt()


def _labels(recipe: Recipe, learnt: Learnt) -> tuple[str, ...]:
    if not recipe.labels:
        return learnt.labels
    try:
        return tuple(lines(Path(recipe.labels).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--labels {recipe.labels}", "a file of labels in UTF-8, one a line", str(error)) from error


def _decoder(recipe: Recipe, learnt: Learnt, graph: Graph,
             labels: tuple[str, ...]) -> tuple[str, dict[str, object], list[str]]:
    """Its name, its parameters, and what was assumed."""
    stated = recipe.decoder or learnt.decoder
    if stated:
        return stated, recipe.parameters, []
    shapes = [graph.shapes[output] for output in graph.outputs]
    if len(shapes) == 1 and labels and math.prod(shapes[0]) == len(labels):
        return "classify", recipe.parameters, []  # pack finds the same
    elements = sum(math.prod(shape) for shape in shapes)
    whole = {"max_elements": elements} if elements > 2048 else {}  # too much for a payload, but not to be judged by
    said = "nothing says what the outputs mean: the bundle will publish them as they are (say --decoder)"
    return "raw", {**whole, **recipe.parameters}, [said]


def _datasets(recipe: Recipe, spec: PreprocessSpec, graph: Graph, labels: tuple[str, ...],
              decoder: str) -> tuple[Dataset, Dataset]:
    task = decoder if decoder in ("anomaly", "regress") else ""
    inputs = float_inputs(graph)

    def opened(path: str) -> Dataset:
        return open_dataset(Path(path), spec, labels=recipe.annotations or "auto", classes=labels, task=task, inputs=inputs)

    data = opened(recipe.data)
    if recipe.judge:
        return data.split(recipe.calibrate)[0] if recipe.calibrate != "all" else data, opened(recipe.judge)
    if recipe.calibrate == "all":
        return data, data
    return data.split(recipe.calibrate)


def as_given(setting: Setting, channels_last: bool) -> dict[str, object]:
    """The preprocessing as ``pack`` takes it, for a file whose pictures have their channels last, or second."""
    spec = setting.spec
    if isinstance(spec, ImageSpec):
        spec = msgspec.structs.replace(spec, layout="NHWC" if channels_last else "NCHW")
    fields: dict[str, object] = msgspec.to_builtins(spec)
    return fields
