"""A bundle of a bare model file: what the user says of it, what the file says, and what follows from its tensors.

Everything that the device would refuse is refused here: preprocessing and decoder are built, the model is run, and its
answers to synthetic frames go into the bundle as probes.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from edgeinfer.errors import ConfigError, DataError, Fault, ManifestError, SourceError, UsageError
from edgeinfer.model import bundle as bundles
from edgeinfer.model import probe
from edgeinfer.model.backends import RuntimeOptions, Session, open_session
from edgeinfer.model.bundle import Bundle, lines
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.model.manifest import FORMAT_VERSION, DecoderSpec, Manifest, Reset, State
from edgeinfer.model.modelfile import ModelFile, describe
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.fingerprint import fingerprint
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.model.proposal import Proposal, propose
from edgeinfer.model.tensor import Array
from edgeinfer.model.trial import runtime_versions
from edgeinfer.typed import convert
from quantize import onnx_shape, tflite_metadata, ultralytics
from quantize.facts import Facts, Learnt
from quantize.preprocessing import deduce

__all__ = ["Given", "Packed", "Proof", "learn", "pack"]

_TASKS = {"yolo": "detect", "ssd": "detect", "grid": "detect", "end_to_end": "detect", "detr": "detect",
          "instances": "segment"}  # any other decoder's task has its own name
_LABELS = "labels.txt"
Members = dict[str, Path | bytes]


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user says, in flags or in a recipe. ``preprocess`` has the fields of the manifest's; ``state`` maps inputs to
    the outputs that are fed back into them; ``constants`` are what inputs always have; ``shape`` fixes dynamic inputs by name;
    paths are as the program sees them."""

    name: str = ""
    version: str = "1"
    sequence: int = 0
    task: str = ""
    labels: str = ""
    decoder: str = ""
    parameters: dict[str, Any] = {}
    preprocess: dict[str, Any] = {}
    state: dict[str, str] = {}
    reset: dict[str, Any] = {}
    constants: dict[str, float | tuple[float, ...]] = {}
    shape: dict[str, tuple[int, ...]] = {}
    target: str = ""
    probe: tuple[str, ...] = ()
    override: bool = False


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into the manifest of a model that the toolkit quantised: its accuracy, how it came to be, and the ranges of
    its inputs while it was calibrated."""

    accuracy: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    calibration: dict[str, Any] = {}


@dataclass(frozen=True)
class Packed:
    """The bundle as it was written, and the facts in it with their origins."""

    bundle: Bundle
    facts: Facts


def pack(model: Path, out: Path, given: Given, proof: Proof = Proof()) -> Packed:  # noqa: B008  frozen
    """Write a bundle of ``model`` to ``out``: one file where it ends in .eib, else a folder.

    ``proof``: what the toolkit measured. Raises ManifestError that lists all faults found, ModelError, UnavailableError (no
    runtime), UsageError, StorageError.
    """
    with tempfile.TemporaryDirectory(prefix="quantize-pack-") as scratch:
        path = _fixed(model, given, Path(scratch))
        file = describe(path)
        session = open_session(path, file.format, RuntimeOptions())
        try:
            manifest, members, facts = _assemble(path, file, session, given)
            manifest = _proven(manifest, proof)
        finally:
            session.close()
        return Packed(_written(manifest, members, out, Path(scratch)), facts)


def _proven(manifest: Manifest, proof: Proof) -> Manifest:
    return msgspec.structs.replace(manifest, accuracy=proof.accuracy, calibration=proof.calibration,
                                   provenance={**manifest.provenance, **proof.provenance})


def learn(model: Path) -> tuple[ModelFile, Learnt]:
    """What the file says of itself, without a runtime. Raises ModelError."""
    file = describe(model)
    return file, _learnt(model, file)


def _learnt(path: Path, file: ModelFile) -> Learnt:
    return tflite_metadata.read(path) if file.format == "tflite" else ultralytics.learn(dict(file.metadata), path.name)


def _fixed(model: Path, given: Given, scratch: Path) -> Path:
    """The model file, or a copy in which --shape has fixed its dynamic sides."""
    file = describe(model)
    if not given.shape:
        if file.format == "onnx" and any(-1 in spec.shape for spec in file.inputs):
            raise ManifestError.of([_dynamic(file, name, sides) for name, sides in file.symbols.items()
                                    if name in {spec.name for spec in file.inputs}])
        return model
    if file.format != "onnx":
        raise UsageError("--shape", "an ONNX model", model.name, "convert the model anew with a fixed input shape")
    fixed = scratch / model.name
    fixed.write_bytes(onnx_shape.fix(model.read_bytes(), file, given.shape, model.name))
    return fixed


def _dynamic(file: ModelFile, name: str, sides: tuple[str, ...]) -> Fault:
    example = ",".join(side if side.isdigit() else "1" for side in sides)
    return Fault(f"input '{name}'", "fixed sides", f"[{', '.join(sides)}]", f"--shape {name}={example}")


def _assemble(path: Path, file: ModelFile, session: Session, given: Given) -> tuple[Manifest, Members, Facts]:
    given, tokenizer = _with_tokenizer(given)
    facts = Facts({f"preprocess.{name}": value for name, value in given.preprocess.items()}, given.override)
    learnt = _learnt(path, file)
    for name, value in learnt.preprocess.items():
        facts.state(f"preprocess.{name}", value, learnt.source)
    labels = _labels(facts, learnt, given.labels)
    spec = deduce(facts, session.inputs[0])
    if spec is not None:
        _collect(facts, lambda: build(spec, session.inputs[0], _format(spec)))
    decoder = _decoder(facts, learnt, session, labels, given, propose(file.inputs, file.outputs, len(labels), file.operators)[:1])
    convert(given.reset, Reset, "reset", facts.faults)
    frames = _frames(facts, given.probe)
    if facts.faults or spec is None:
        raise ManifestError.of(facts.faults)
    manifest = Manifest(
        edgeinfer=FORMAT_VERSION, name=given.name or _flat(path.stem)[:64], version=given.version, sequence=given.sequence,
        task=given.task or _TASKS.get(decoder.name, decoder.name), format=file.format, model=_flat(path.name), files={},
        inputs=session.inputs, outputs=session.outputs, preprocess=spec, decoder=decoder, labels=_LABELS if labels else "",
        fingerprint=fingerprint(spec, session.inputs[0]), target=given.target,
        state=tuple(State(input=into, output=output) for into, output in given.state.items()), constants=given.constants,
        variables=session.variables, reset=msgspec.convert(given.reset, Reset),
        probes=probe.make(session, spec, files=frames, integers=_integers(path, file), constants=given.constants),
        provenance=_provenance(path, session, facts))
    members: Members = {manifest.model: path, **{name: Path(given.probe[index]) for index, name in enumerate(frames)}}
    if tokenizer is not None:
        members[tokenizer.name] = tokenizer
    if labels:
        members[_LABELS] = "".join(f"{label}\n" for label in labels).encode()
    return manifest, members, facts


def _with_tokenizer(given: Given) -> tuple[Given, Path | None]:
    """A model of texts: its tokenizer's file as the bundle names it, and where it is. Raises UsageError."""
    text = given.preprocess.get("text")
    if not isinstance(text, dict) or not isinstance(text.get("tokenizer"), str):
        return given, None
    path = Path(text["tokenizer"])
    if not path.is_file() or _flat(path.name) != path.name:
        raise UsageError("preprocess.text.tokenizer", "a file such as tokenizer.json or vocab.txt", str(path), f"ls -l '{path}'")
    preprocess = {**given.preprocess, "text": {**text, "tokenizer": path.name}}
    return msgspec.structs.replace(given, preprocess=preprocess), path


def _labels(facts: Facts, learnt: Learnt, given: str) -> tuple[str, ...]:
    if given:
        try:
            facts.give("labels", lines(Path(given).read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            facts.refuse(f"--labels {given}", "a file of labels in UTF-8, one a line", str(error))
    if learnt.labels:
        facts.state("labels", learnt.labels, learnt.source)
    labels: tuple[str, ...] = facts.value("labels", ())
    return labels


def _decoder(facts: Facts, learnt: Learnt, session: Session, labels: tuple[str, ...], given: Given,
             likely: Sequence[Proposal]) -> DecoderSpec:
    """The decoder, made once to have it check its parameters against outputs and labels. ``likely``: what they look like, for
    a hint; it is never assumed."""
    if given.decoder:
        facts.give("decoder", given.decoder)
    if learnt.decoder:
        facts.state("decoder", learnt.decoder, learnt.source)
    if labels and len(session.outputs) == 1 and math.prod(session.outputs[0].shape) == len(labels):
        facts.assume("decoder", "classify", f"one output of {len(labels)} elements, and as many labels")
    name, told = facts.value("decoder", ""), len(facts.faults)
    if name:
        _collect(facts, lambda: DECODERS.load(name, "--decoder")(given.parameters, session.outputs, labels, session.inputs))
        hint = next((one.flags for one in likely if one.decoder == name and one.parameters != given.parameters), "")
    else:
        facts.refuse("decoder", "what the outputs mean", "nothing")
        hint = next((f"{one.reason}: {one.flags}" for one in likely if one.decoder != "raw"),
                    f"--decoder NAME, one of {', '.join(DECODERS.names())}")
    facts.faults[told:] = [replace(fault, hint=fault.hint or hint) for fault in facts.faults[told:]]
    return DecoderSpec(name=name, parameters=given.parameters)


def _frames(facts: Facts, names: Sequence[str]) -> dict[str, Array]:
    """The probes' frames by the names that they get in the bundle."""
    frames: dict[str, Array] = {}
    for index, name in enumerate(names):
        _collect(facts, lambda: frames.update({f"probe{index}.npy": probe.read_frame(Path(name))}))  # noqa: B023  called at once
    return frames


def _collect(facts: Facts, check: Callable[[], object]) -> None:
    """Keep the faults of one check, so that all are told at once."""
    try:
        check()
    except (DataError, UsageError, ConfigError, SourceError) as error:
        facts.faults.extend(error.faults)


def _format(spec: ImageSpec | WindowSpec) -> FrameFormat | WindowFormat:
    if isinstance(spec, ImageSpec):
        return FrameFormat("RGB", spec.height, spec.width)
    return WindowFormat(spec.length, spec.channels)


def _integers(path: Path, file: ModelFile) -> bool:
    """Whether the model computes in integers, if only inside: such answers differ more from runtime to runtime."""
    if file.format == "tflite":
        return tflite_metadata.quantised_tensors(path) > 0
    return any("Quantize" in name or "QLinear" in name or "Integer" in name for name in file.operators)


def _provenance(path: Path, session: Session, facts: Facts) -> dict[str, Any]:
    """How the bundle came to be; the same on every run, so that the same model gives the same bundle."""
    with path.open("rb") as stream:
        digest = bundles.sha256(stream)
    return {"packed_with": runtime_versions(), "probed_on": session.runs_on, "model_sha256": digest,
            "facts": {name: fact.origin for name, fact in sorted(facts.known.items())}}


def _flat(name: str) -> str:
    """A file's name as one that a bundle may hold."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name).lstrip("._+-") or "model"


def _written(manifest: Manifest, members: Members, out: Path, scratch: Path) -> Bundle:
    if out.suffix != ".eib":
        return bundles.write(out, manifest, members)
    bundle = bundles.write(scratch / "bundle" / manifest.name, manifest, members)
    bundles.pack(bundle.folder, out)
    return bundle
