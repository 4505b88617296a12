"""edgeinfer inspect MODEL."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec

from edgeinfer.cli.options import json_option
from edgeinfer.model.bundle import Bundle, open_model
from edgeinfer.model.modelfile import ModelFile, describe
from edgeinfer.model.proposal import Proposal, propose
from edgeinfer.model.tensor import TensorSpec

_SHOWN = 3  # proposals
_OPEN = "open sides (?) of the outputs hide it: export the model with fixed shapes"
_NONE = "none is known for such outputs"


@click.command("inspect")
@click.argument("model", type=click.Path(path_type=Path))
@json_option
def command(model: Path, as_json: bool) -> None:
    """Say what MODEL is: a bundle, an .eib, or a bare .tflite or .onnx. No runtime is needed, and none is loaded."""
    with tempfile.TemporaryDirectory(prefix="edgeinfer-") as cache:
        bare = model.is_file() and model.suffix in {".tflite", ".onnx"}
        bundle = None if bare else open_model(model, Path(cache))
        file = describe(model if bundle is None else bundle.model_path)
        if as_json:
            click.echo(json.dumps({"v": 1, "file": msgspec.to_builtins(file), "bundle": _document(bundle),
                                   "proposals": [msgspec.to_builtins(one) for one in _proposals(file, bundle)]}))
            return
        if bundle is not None:
            _print_bundle(bundle)
        _print_file(file)
        proposals = _proposals(file, bundle)
        for one in proposals:
            parameters = f" {json.dumps(one.parameters)}" if one.parameters else ""  # JSON is YAML: for a recipe
            _row("decoder?", f"{one.decoder}{parameters}: {one.reason}")
        if bundle is None:
            if not proposals:
                _row("decoder?", _OPEN if any(-1 in spec.shape for spec in file.outputs) else _NONE)
            said = [f"{shlex.quote(str(model))}", *(one.flags for one in proposals[:1]), "-o", shlex.quote(f"{model.stem}.eib")]
            _row("next", f"quantize pack {' '.join(said)}")


def _proposals(file: ModelFile, bundle: Bundle | None) -> list[Proposal]:
    """The likeliest decoders of a bare model; a bundle has one already."""
    return propose(file.inputs, file.outputs, operators=file.operators)[:_SHOWN] if bundle is None else []


def _document(bundle: Bundle | None) -> dict[str, Any] | None:
    if bundle is None:
        return None
    return {"digest": bundle.digest, "signature": bundle.trust, "labels": len(bundle.labels), "manifest": bundle.document}


def _print_bundle(bundle: Bundle) -> None:
    manifest = bundle.manifest
    _row("bundle", f"{manifest.name} {manifest.version}, {manifest.task}, {bundle.trust}")
    _row("digest", bundle.digest)
    for name, member in manifest.files.items():
        _row("file", f"{name}, {member.bytes} bytes, SHA-256 {member.sha256[:16]}…")
    _row("preprocess", ", ".join(f"{key} {value}" for key, value in msgspec.to_builtins(manifest.preprocess).items()))
    _row("decoder", f"{manifest.decoder.name} {manifest.decoder.parameters or ''}".rstrip())
    _row("labels", f"{len(bundle.labels)}: {', '.join(bundle.labels[:5])}{' …' if len(bundle.labels) > 5 else ''}")
    _row("probes", f"{len(manifest.probes)} known answers; preprocess fingerprint {manifest.fingerprint[:16]}…")
    for title, facts in (("accuracy", manifest.accuracy), ("provenance", manifest.provenance)):
        for name, value in facts.items():
            _row(title, f"{name}: {value}")


def _print_file(file: ModelFile) -> None:
    for side, specs in (("input", file.inputs), ("output", file.outputs)):
        for spec in specs:
            _row(side, _tensor(spec))
    _row("operators", ", ".join(f"{name} x {count}" for name, count in file.operators.items()))
    if file.custom_operators:
        _row("custom", ", ".join(file.custom_operators))


def _tensor(spec: TensorSpec) -> str:
    shape = ", ".join("?" if side < 0 else str(side) for side in spec.shape)
    text = f"{spec.name}  {spec.dtype} [{shape}]"
    real = spec.quantization
    if real is None:
        return text
    if real.per_axis:
        return f"{text}, quantised per axis {real.axis}: {len(real.scale)} scales"
    return f"{text}, real = {real.scale[0]:.6g} x (q - {real.zero_point[0]})"


def _row(title: str, text: str) -> None:
    click.echo(f"{title:<14}{text}")
