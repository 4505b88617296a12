"""What is composed around a pipeline's model (motion gate, scene, second model), checked against its bundle and its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeinfer.cascade import Cascade, ThenOptions, crop_format
from edgeinfer.config import Config, PipelineConfig
from edgeinfer.crop import Crop
from edgeinfer.errors import ConfigError, Fault
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, open_model
from edgeinfer.model.decoders import DECODERS, Decoder
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.result import Detections, Result, Segmentation
from edgeinfer.model.signature import PublicKey
from edgeinfer.registry import closest
from edgeinfer.scene.motion import Motion
from edgeinfer.scene.scene import Scene
from edgeinfer.scene.schedule import Schedule

__all__ = ["Composition", "Then", "check", "compose"]


@dataclass(frozen=True)
class Then:
    """The second model of one pipeline; nothing is loaded yet."""

    bundle: Bundle
    options: ThenOptions
    nbytes: int  # of its preprocessing, its crops and its decoder

    @property
    def engine_key(self) -> tuple[str, RuntimeOptions]:
        """Pipelines of one inference thread that have the same share an engine."""
        return self.bundle.digest, self.options.runtime


@dataclass(frozen=True)
class Composition:
    """What stands around the model, ready to be allocated by ``compose``."""

    then: Then | None
    nbytes: int  # of motion gate and scene


def check(config: Config, name: str, bundle: Bundle, decoder: Decoder, format: FrameFormat | WindowFormat,
          keys: Sequence[PublicKey]) -> Composition:
    """Raises ConfigError with all that does not fit, and what opening the second bundle raises."""
    where, pipeline = f"pipelines.{name}", config.pipelines[name]
    asked = [kind for kind in ("track", "zones", "lines", "then") if getattr(pipeline, kind)]
    if not asked and pipeline.motion is None:
        return Composition(None, 0)
    if not isinstance(format, FrameFormat):
        raise ConfigError(f"{where}.{(asked or ['motion'])[0]}", "a source of pictures", "a source of samples")
    result = _blank(bundle, decoder)
    if asked and not isinstance(result, Detections):
        raise ConfigError(f"{where}.{asked[0]}", "a model that finds things (detection, pose)",
                          f"the decoder '{bundle.manifest.decoder.name}'", "edgeinfer inspect MODEL tells what a model gives")
    faults = [*_labels(pipeline, bundle, where), *_keypoints(pipeline, result, where)]
    if faults:
        raise ConfigError.of(faults)
    nbytes = Motion(pipeline.motion, format).nbytes if pipeline.motion is not None else 0
    return Composition(_then(config, name, format, keys), nbytes + (Scene(pipeline.scene).nbytes if asked else 0))


def _blank(bundle: Bundle, decoder: Decoder) -> Result:
    """What the decoder makes of outputs that are all zero: decoders raise nothing on any values."""
    outputs, inputs = ([np.zeros(spec.shape, spec.dtype) for spec in specs]
                       for specs in (bundle.manifest.outputs, bundle.manifest.inputs))
    return decoder.decode(outputs, inputs, Geometry())


def _labels(pipeline: PipelineConfig, bundle: Bundle, where: str) -> list[Fault]:
    named = list(pipeline.scene.labels)
    if pipeline.then is not None:
        named += [("then.labels", label) for label in pipeline.then.labels]
    return [Fault(f"{where}.{place}", "labels of the bundle", f"'{label[:80]}'", closest(label, list(bundle.labels)))
            for place, label in named if bundle.labels and label not in bundle.labels]


def _keypoints(pipeline: PipelineConfig, result: Result, where: str) -> list[Fault]:
    """Only where the decoder's rows say beforehand which they have."""
    rotate = pipeline.then.rotate if pipeline.then is not None else None
    if rotate is None or not isinstance(result, Detections) or not result.rows or not result.rows[0].keypoints:
        return []
    points = result.rows[0].keypoints
    known = [point.name for point in points if point.name]
    numbers = set(map(str, range(len(points))))
    return [Fault(f"{where}.then.rotate", "keypoints of the first model", f"'{name[:80]}'", closest(name, known))
            for name in rotate if name not in known and name not in numbers]


def _then(config: Config, name: str, format: FrameFormat, keys: Sequence[PublicKey]) -> Then | None:
    options, path, where = config.pipelines[name].then, config.then_path(name), f"pipelines.{name}.then"
    if options is None or path is None:
        return None
    bundle = open_model(path, config.state_folder / "unpacked", keys)
    manifest = bundle.manifest
    if not isinstance(manifest.preprocess, ImageSpec):
        raise ConfigError(where, "a model of pictures", "one of samples")
    if manifest.stateful:
        raise ConfigError(where, "a model without a memory", "a recurrent one: the crops of a frame have no order")
    cropped = crop_format(options, format)
    inner = build(manifest.preprocess, manifest.inputs[0], cropped)
    decoder: Decoder = DECODERS.load(manifest.decoder.name, f"{where}: decoder.name")(
        manifest.decoder.parameters, manifest.outputs, bundle.labels, manifest.inputs, options.threshold)
    if options.rotate and isinstance(_blank(bundle, decoder), Segmentation):
        raise ConfigError(f"{where}.rotate", "crops that stand upright, for a model of masks", "rotate",
                          f"take {where}.rotate out")
    return Then(bundle, options, Crop(inner, format, options.rotate is not None).nbytes + decoder.nbytes)


def compose(pipeline: PipelineConfig, composition: Composition, format: FrameFormat | WindowFormat, second: Engine | None,
            begun: int) -> tuple[Schedule | None, Motion | None, Scene | None]:
    """Allocates. ``second``: the engine of the second model, where there is one; ``begun``: identities given before."""
    schedule = Schedule(pipeline.schedule) if pipeline.schedule is not None else None
    if not isinstance(format, FrameFormat):
        return schedule, None, None
    motion = Motion(pipeline.motion, format) if pipeline.motion is not None else None
    then = composition.then
    if then is None and pipeline.scene.tracked is None:
        return schedule, motion, None
    cascade = Cascade(then.options, second, format) if then is not None and second is not None else None
    if cascade is not None:
        cascade.warm_up()
    return schedule, motion, Scene(pipeline.scene, cascade, begun)
