"""``quantize pack``: a bundle of a bare model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeinfer.errors import ConfigError, Fault, UsageError
from quantize.cli.options import given_flags, merged, preprocess_flags, read_recipe

if TYPE_CHECKING:
    from quantize.pack import Packed

__all__ = ["command"]


@click.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="OUT.eib for one file, else a folder.")
@given_flags
@click.option("--probe", type=click.Path(dir_okay=False), multiple=True, help="A frame in a .npy to know the answer of.")
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="All this in YAML; flags win.")
@click.option("--json", "as_json", is_flag=True, help="The manifest and the origin of each fact on stdout.")
@preprocess_flags
def command(model: Path, out: Path, recipe: Path | None, as_json: bool, **flags: Any) -> None:
    """Make a bundle of a bare .tflite or .onnx MODEL, or one file of a bundle's folder.

    Sizes, layout, dtypes and quantisation are read from the file, and so are normalisation and labels where it has metadata.
    """
    if model.is_dir():
        _archive(model, out)
        return
    from edgeinfer.typed import convert
    from quantize.pack import Given, pack

    faults: list[Fault] = []
    given = convert(merged(read_recipe(recipe), flags), Given, str(recipe or ""), faults)
    if given is None:
        raise ConfigError.of(faults)
    packed = pack(model, out, given)
    _tell(packed, out, as_json)


def _archive(folder: Path, out: Path) -> None:
    from edgeinfer.model import bundle

    if out.suffix != ".eib":
        raise UsageError("-o", "OUT.eib for a bundle's folder", str(out), f"-o {out}.eib")
    bundle.pack(folder, out)
    click.echo(f"wrote {out}", err=True)


def _tell(packed: Packed, out: Path, as_json: bool) -> None:
    """Every fact and its origin; what was assumed goes to stderr, with why."""
    manifest, facts = packed.bundle.manifest, packed.facts.known
    if as_json:
        origins = {name: fact.origin for name, fact in facts.items()}
        click.echo(json.dumps({"v": 1, "path": str(out), "digest": packed.bundle.digest, "origins": origins,
                               "manifest": packed.bundle.document}))
    else:
        values = sum(len(expected.values) for probe in manifest.probes for expected in probe.expected)
        click.echo(f"{out}: {manifest.name} {manifest.version}, {manifest.task}, {values} known answers")
        for name, fact in facts.items():
            value = f"{len(fact.value)} names" if name == "labels" else fact.value
            click.echo(f"  {name:<24}{value!s:<28}  {'assumed' if fact.assumed else fact.origin}")
    for name, fact in packed.facts.assumptions().items():
        click.echo(f"assumed {name} = {fact.value}: {fact.why}", err=True)
    if not manifest.probes:
        click.echo("no known answers: every output jumps when a frame hardly changes; give a clear one: --probe", err=True)
