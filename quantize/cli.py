"""The command line of the toolkit. What is heavy is imported by the command that needs it, so that ``--help`` is quick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeinfer import __version__
from edgeinfer.errors import ConfigError, Fault, UsageError
from edgeinfer.outermost import run_program

if TYPE_CHECKING:
    from quantize.pack import Packed

__all__ = ["main"]


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"expected numbers separated by commas, got {text!r}") from error


def _pair(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value is JSON, or text where it is none."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"expected KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sides = text.rpartition("=")  # an input's name may hold an equals sign, sides do not
    if not name or not all(side.isdecimal() and int(side) > 0 for side in sides.split(",")):
        raise click.BadParameter(f"expected NAME=1,3,224,224, got {text!r}")
    return name, tuple(map(int, sides.split(",")))


_PREPROCESS = {  # flag: field of the manifest's preprocess, type, help
    "--height": ("height", int, "Pixels; known from the model's input where it is given."),
    "--width": ("width", int, "Pixels; as --height."),
    "--colour": ("colour", click.Choice(["RGB", "BGR", "GREY"]), "Order of the channels."),
    "--layout": ("layout", click.Choice(["NHWC", "NCHW"]), "Channels last or second."),
    "--resize": ("resize", click.Choice(["stretch", "letterbox", "crop"]), "How a picture of another shape is fitted."),
    "--pad": ("pad", click.IntRange(0, 255), "Pixel value around a letterboxed picture."),
    "--window-length": ("length", int, "Samples in a window."),
    "--channels": ("channels", int, "Channels of the sensor."),
    "--hop": ("hop", int, "Samples from one window to the next."),
    "--rate": ("rate", float, "Samples a second; 0 for any."),
    "--normalize": ("normalize", click.Choice(["standardize", "minmax", "none"]), "What the model was trained on."),
    "--mean": ("mean", _numbers, "Subtracted: one number, or one a channel; pixels are 0 to 255."),
    "--std": ("std", _numbers, "Divided by: one number, or one a channel."),
    "--minimum": ("minimum", _numbers, "For minmax."),
    "--maximum": ("maximum", _numbers, "For minmax."),
}


def _preprocess_flags(command: Any) -> Any:
    for flag, (name, kind, text) in reversed(_PREPROCESS.items()):
        metavar = "NUMBER,…" if kind is _numbers else None
        command = click.option(flag, f"preprocess_{name}", type=kind, metavar=metavar, help=text)(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quantize")
def program() -> None:
    """From a model file to a bundle that edgeinfer runs."""


@program.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="OUT.eib for one file, else a folder.")
@click.option("--name", help="Of the model; else the file's.")
@click.option("--version", help="Of the model; else 1.")
@click.option("--task", help="As published; else what the decoder does.")
@click.option("--labels", type=click.Path(dir_okay=False), help="Class names, one a line, UTF-8.")
@click.option("--decoder", help="What the outputs mean: classify, yolo, ssd, anomaly, regress, raw.")
@click.option("--param", "parameters", type=_pair, multiple=True, metavar="KEY=JSON", help="A parameter of the decoder.")
@click.option("--state", type=_pair, multiple=True, metavar="INPUT=OUTPUT", help="An output that is fed back.")
@click.option("--shape", type=_shape, multiple=True, metavar="NAME=1,3,8,8", help="Fixes an ONNX input with dynamic sides.")
@click.option("--target", help="The device that the model was made for.")
@click.option("--probe", type=click.Path(dir_okay=False), multiple=True, help="A frame in a .npy to know the answer of.")
@click.option("--override", is_flag=True, default=None, help="Flags are right where metadata differs.")
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="All this in YAML; flags win.")
@click.option("--json", "as_json", is_flag=True, help="The manifest and the origin of each fact on stdout.")
@_preprocess_flags
def pack(model: Path, out: Path, recipe: Path | None, as_json: bool, **flags: Any) -> None:
    """Make a bundle of a bare .tflite or .onnx MODEL, or one file of a bundle's folder.

    Sizes, layout, dtypes and quantisation are read from the file, and so are normalisation and labels where it has metadata.
    """
    if model.is_dir():
        _archive(model, out)
        return
    from edgeinfer.typed import convert
    from quantize.pack import Given
    from quantize.pack import pack as make

    faults: list[Fault] = []
    given = convert(_merged(_recipe(recipe), flags), Given, str(recipe or ""), faults)
    if given is None:
        raise ConfigError.of(faults)
    packed = make(model, out, given)
    _tell(packed, out, as_json)


@program.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One document on stdout.")
def inspect(model: Path, as_json: bool) -> None:
    """What a bare .tflite or .onnx says of itself: tensors, quantisation, operators, metadata."""
    import msgspec

    from quantize.pack import learn

    file, learnt = learn(model)
    if as_json:
        document = {"v": 1, "file": msgspec.to_builtins(file), "preprocess": learnt.preprocess, "labels": learnt.labels}
        click.echo(json.dumps(document))
        return
    for side, specs in (("input", file.inputs), ("output", file.outputs)):
        for spec in specs:
            shape = ", ".join(file.symbols.get(spec.name, tuple(map(str, spec.shape))))
            real = spec.quantization
            formula = f", {real.scale[0]:g} x (q - {real.zero_point[0]})" if real else ""
            click.echo(f"{side:<12}{spec.name}  {spec.dtype} [{shape}]{formula}")
    click.echo(f"{'operators':<12}{', '.join(f'{name} x {count}' for name, count in file.operators.items())}")
    click.echo(f"{'metadata':<12}{learnt.source or 'none'}")
    for name, value in learnt.preprocess.items():
        click.echo(f"{name:<12}{value}")
    click.echo(f"{'labels':<12}{len(learnt.labels)}")


def _archive(folder: Path, out: Path) -> None:
    from edgeinfer.model import bundle

    if out.suffix != ".eib":
        raise UsageError("-o", "OUT.eib for a bundle's folder", str(out), f"-o {out}.eib")
    bundle.pack(folder, out)
    click.echo(f"wrote {out}", err=True)


def _recipe(path: Path | None) -> dict[str, Any]:
    """The recipe's mapping; paths in it are relative to its own folder."""
    if path is None:
        return {}
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, OSError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(str(path), "YAML", str(error)[:300]) from error
    if not isinstance(document, dict):
        raise ConfigError(str(path), "a mapping of keys", repr(document)[:60])
    if isinstance(document.get("labels"), str):
        document["labels"] = str(path.parent / document["labels"])
    if isinstance(document.get("probe"), list):
        document["probe"] = [str(path.parent / str(name)) for name in document["probe"]]
    return document


def _merged(recipe: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The recipe with what the flags say in its place; flags that were not given say nothing."""
    said = {name: value for name, value in flags.items() if value is not None and value != ()}
    said.update((name, dict(said[name])) for name in ("parameters", "state", "shape") if name in said)
    fields = [name for name in said if name.startswith("preprocess_")]
    if fields:
        said["preprocess"] = {name.removeprefix("preprocess_"): said.pop(name) for name in fields}
    both = {name: {**recipe[name], **value} for name, value in said.items()
            if isinstance(value, dict) and isinstance(recipe.get(name), dict)}
    return {**recipe, **said, **both}


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


def main() -> None:
    """The entry point."""
    run_program(program)


if __name__ == "__main__":
    main()
