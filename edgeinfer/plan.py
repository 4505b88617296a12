"""From a configuration to plans: each pipeline checked against its bundle and its source, nothing opened; then the bill."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeinfer.composition import Composition, check
from edgeinfer.config import Config, PipelineConfig
from edgeinfer.errors import BudgetError, ConfigError, EdgeinferError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, open_model
from edgeinfer.model.decoders import DECODERS, Decoder
from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.model.memory import Bill, check_room, machine_bytes
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.signature import PublicKey
from edgeinfer.model.trial import Verdict, trial
from edgeinfer.ring import slots_for
from edgeinfer.sliding import frame_source
from edgeinfer.sources import FrameSource
from edgeinfer.trigger import Triggered

__all__ = ["EngineKey", "Plan", "bill_of", "make_plan", "make_plans", "try_models"]

EngineKey = tuple[str, RuntimeOptions, str, str]
_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Plan:
    """One pipeline, checked against its bundle and its source; nothing is opened yet. ``threshold`` None: the bundle's own,
    ``own_threshold`` (None where its decoder has none)."""

    name: str
    config: PipelineConfig
    bundle: Bundle
    source: FrameSource
    format: FrameFormat | WindowFormat
    ring_bytes: int
    lane_bytes: int
    threshold: float | None
    own_threshold: float | None
    composition: Composition

    @property
    def engine_key(self) -> EngineKey:
        """Pipelines with the same key share one engine; a stateful model has one engine a pipeline. An installed model may be
        exchanged, so it shares none with a bundle that is named by its path, be they the same today."""
        return self.bundle.digest, self.config.runtime, self.config.model, self.name if self.bundle.manifest.stateful else ""

    def fits_ring_of(self, other: Plan) -> bool:
        """Whether frames that were captured for ``other`` are what this plan's model takes: the ring can stay."""
        return self.format == other.format and _windows(self.bundle) == _windows(other.bundle)


def make_plans(config: Config, thresholds: Mapping[str, float] = _NONE) -> list[Plan]:
    """A plan for each pipeline. ``thresholds`` are those set while the daemon ran, by pipeline; one that the bundle does not
    allow (any more) gives way to the configuration's. Raises one error that lists the faults of all pipelines."""
    keys = config.keys()
    plans: list[Plan] = []
    errors: list[EdgeinferError] = []
    for name in config.pipelines:
        try:
            _check_source(config, name)
            plans.append(make_plan(config, name, config.bundle_path(name), keys, thresholds.get(name)))
        except EdgeinferError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigError.of([fault for error in errors for fault in error.faults])
    return plans


def _check_source(config: Config, name: str) -> None:
    """What a source that has something to check finds wrong with what its options name. Raises ConfigError."""
    check: Callable[[str], None] | None = getattr(config.sources[name].make(), "check", None)
    if check is not None:
        check(f"pipelines.{name}.source")


def make_plan(config: Config, name: str, path: Path, keys: Sequence[PublicKey], threshold: float | None = None) -> Plan:
    """The plan of one pipeline with the bundle at ``path``. Raises EdgeinferErrors."""
    where = f"pipelines.{name}"
    pipeline = config.pipelines[name]
    bundle = open_model(path, config.state_folder / "unpacked", keys)
    source = frame_source(config.sources[name].make(), bundle.manifest.preprocess, f"{where}.source", pipeline.resample,
                          bundle.folder)
    if pipeline.trigger is not None:
        source = Triggered(source, pipeline.trigger)
    format = source.format()
    ring_bytes = slots_for(format, not source.live) * format.nbytes
    check_room(f"{where}.source", "frames", ring_bytes)
    preprocess = build(bundle.manifest.preprocess, bundle.manifest.inputs[0], format)
    decoder, threshold = _decoder(bundle, where, pipeline.threshold if threshold is None else threshold, pipeline.threshold)
    return Plan(name, pipeline, bundle, source, format, ring_bytes, preprocess.nbytes + decoder.nbytes, threshold,
                getattr(decoder, "own_threshold", None), check(config, name, bundle, decoder, format, keys))


def _decoder(bundle: Bundle, where: str, wanted: float | None, configured: float | None) -> tuple[Decoder, float | None]:
    """With the threshold that is wanted, or else the configuration's."""
    spec, manifest = bundle.manifest.decoder, bundle.manifest
    cls = DECODERS.load(spec.name, f"{where}: decoder.name")

    def made(threshold: float | None) -> Decoder:
        decoder: Decoder = cls(spec.parameters, manifest.outputs, bundle.labels, manifest.inputs, threshold)
        return decoder

    if wanted != configured:
        try:
            return made(wanted), wanted
        except ConfigError:  # the bundle has another threshold than the one it had when this was set
            pass
    return made(configured), configured


def try_models(config: Config, plans: Sequence[Plan]) -> dict[str, Verdict]:
    """The verdict on each pipeline's model (by its name) and on its second one (NAME.then): loaded for the first time in a
    child process that a malformed one may kill."""
    models = {plan.name: (plan.bundle, plan.config.runtime) for plan in plans}
    models |= {_second(plan): (then.bundle, then.options.runtime) for plan in plans if (then := plan.composition.then) is not None}
    verdicts: dict[tuple[str, RuntimeOptions], Verdict] = {}
    for bundle, runtime in models.values():
        if (bundle.digest, runtime) not in verdicts:
            verdicts[bundle.digest, runtime] = trial(bundle, runtime, config.state_folder / "trials")
    return {name: verdicts[bundle.digest, runtime] for name, (bundle, runtime) in models.items()}


def _second(plan: Plan) -> str:
    return f"{plan.name}.then"  # no pipeline's name holds a dot


def bill_of(config: Config, plans: Sequence[Plan], verdicts: Mapping[str, Verdict], resident: int) -> Bill:
    """What everything will hold, from shapes and from what each model took in its trial. ``resident``: this process now.

    An installed model is exchanged while it runs, so there is room for a second one beside the largest. Raises BudgetError.
    """
    bill = Bill()
    bill.add("process", "Python, libraries", resident, measured=True)
    engines: dict[Hashable, int] = {}
    second: dict[str, int] = {}
    for plan in plans:
        slots = plan.ring_bytes // plan.format.nbytes
        bill.add(plan.name, f"ring, {slots} slots of {plan.format.nbytes} bytes", plan.ring_bytes)
        bill.add(plan.name, "preprocess and decoder", plan.lane_bytes)
        _compose(bill, plan, engines, verdicts)
        growth = 0 if plan.engine_key in engines else verdicts[plan.name].memory_bytes
        if plan.engine_key not in engines:
            engines[plan.engine_key] = growth
            bill.add(plan.bundle.manifest.name, "model and runtime", growth, measured=True)
        if plan.config.model:
            second[plan.config.model] = second.get(plan.config.model, 0) + growth + plan.lane_bytes + plan.format.nbytes
    if second:
        largest = max(second, key=lambda model: second[model])
        bill.add(largest, "room for a second one while it is exchanged", second[largest], measured=True)
    bill.add("outbox", "staged results and SQLite's cache", config.outbox.memory_bytes)
    budget = int(config.memory.budget_mb * 1e6) or machine_bytes()
    if bill.total > budget:
        raise BudgetError("memory.budget_mb", f"a bill within {budget / 1e6:.1f} MB", f"{bill.total / 1e6:.1f} MB",
                          "edgeinfer check CONFIG prints the bill; a smaller frame or fewer pipelines shrink it")
    return bill


def _compose(bill: Bill, plan: Plan, engines: dict[Hashable, int], verdicts: Mapping[str, Verdict]) -> None:
    """What stands around the model; a second model is shared by the pipelines of one inference thread only."""
    composition = plan.composition
    if composition.nbytes:
        bill.add(plan.name, "motion gate and scene", composition.nbytes)
    if composition.then is not None:
        bill.add(plan.name, "crops, preprocess and decoder of the second model", composition.then.nbytes)
        key = plan.engine_key, composition.then.engine_key
        if key not in engines:
            engines[key] = verdicts[_second(plan)].memory_bytes
            bill.add(composition.then.bundle.manifest.name, "second model and runtime", engines[key], measured=True)


def _windows(bundle: Bundle) -> tuple[Any, ...]:
    """How samples and rows become frames; empty for pictures, which come as the source has them."""
    spec = bundle.manifest.preprocess
    if not isinstance(spec, WindowSpec):
        return ()
    tokenizer = bundle.manifest.files[spec.text.tokenizer] if spec.text is not None else None
    return spec.length, spec.channels, spec.hop, spec.rate, spec.table, spec.text, tokenizer
