"""What several commands read from the command line: numbers, pairs, shapes, preprocessing and recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeinfer.errors import ConfigError, Fault

if TYPE_CHECKING:
    from quantize.recipe import Recipe

__all__ = ["data_flags", "given_flags", "merged", "pair", "preprocess_flags", "read_recipe", "recipe_of", "shape"]


def numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"expected numbers separated by commas, got {text!r}") from error


def pair(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value is JSON, or text where it is none."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"expected KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sides = text.rpartition("=")  # an input's name may hold an equals sign, sides do not
    if not name or not all(side.isdecimal() and int(side) > 0 for side in sides.split(",")):
        raise click.BadParameter(f"expected NAME=1,3,224,224, got {text!r}")
    return name, tuple(map(int, sides.split(",")))


_PATHS = ("labels", "model", "data", "annotations", "judge")
_WORDS = ("", "folders", "none", "auto")  # what annotations may be besides a path
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
    "--mean": ("mean", numbers, "Subtracted: one number, or one a channel; pixels are 0 to 255."),
    "--std": ("std", numbers, "Divided by: one number, or one a channel."),
    "--minimum": ("minimum", numbers, "For minmax."),
    "--maximum": ("maximum", numbers, "For minmax."),
}


def preprocess_flags(command: Any) -> Any:
    for flag, (name, kind, text) in reversed(_PREPROCESS.items()):
        metavar = "NUMBER,…" if kind is numbers else None
        command = click.option(flag, f"preprocess_{name}", type=kind, metavar=metavar, help=text)(command)
    return command


def given_flags(command: Any) -> Any:
    """What ``pack`` takes of a model."""
    for option in reversed([
        click.option("--name", help="Of the model; else the file's."),
        click.option("--version", help="Of the model; else 1."),
        click.option("--sequence", type=click.IntRange(0, 2**63 - 1),
                     help="Of the release: a device takes no lower one; else 0."),
        click.option("--task", help="As published; else what the decoder does."),
        click.option("--labels", type=click.Path(dir_okay=False), help="Class names, one a line, UTF-8."),
        click.option("--decoder", help="What the outputs mean: classify, yolo, pose, segment and others, see docs/bundle.md."),
        click.option("--param", "parameters", type=pair, multiple=True, metavar="KEY=JSON", help="Of the decoder."),
        click.option("--state", type=pair, multiple=True, metavar="INPUT=OUTPUT", help="An output that is fed back."),
        click.option("--shape", type=shape, multiple=True, metavar="NAME=1,3,8,8", help="Fixes open sides of an input."),
        click.option("--target", help="The device that the model is made for: edgeinfer devices lists them."),
        click.option("--override", is_flag=True, default=None, help="Flags are right where metadata differs."),
    ]):
        command = option(command)
    return command


def data_flags(command: Any) -> Any:
    """The samples, and the truth about them."""
    for option in reversed([
        click.option("--data", type=click.Path(), help="Pictures, a framelog, npy, npz, csv or wav."),
        click.option("--annotations", type=click.Path(), help="The truth: folders, a CSV, COCO JSON, masks; or none."),
        click.option("--calibrate", help="Which samples calibrate: every:4, a number, 25%, all."),
    ]):
        command = option(command)
    return command


def recipe_of(path: Path | None, flags: dict[str, Any]) -> Recipe:
    """The recipe in a file, with what flags say in its place. Raises ConfigError with all faults."""
    from edgeinfer.typed import convert
    from quantize.recipe import Recipe

    faults: list[Fault] = []
    recipe = convert(merged(read_recipe(path), flags), Recipe, str(path or ""), faults)
    if recipe is None:
        raise ConfigError.of(faults)
    return recipe


def read_recipe(path: Path | None) -> dict[str, Any]:
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
    for key in _PATHS:
        if isinstance(document.get(key), str) and document[key] not in _WORDS:
            document[key] = str(path.parent / document[key])
    if isinstance(document.get("probe"), list):
        document["probe"] = [str(path.parent / str(name)) for name in document["probe"]]
    return document


def merged(recipe: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The recipe with what the flags say in its place; flags that were not given say nothing."""
    said = {name: value for name, value in flags.items() if value is not None and value != ()}
    said.update((name, dict(said[name])) for name in ("parameters", "state", "shape") if name in said)
    fields = [name for name in said if name.startswith("preprocess_")]
    if fields:
        said["preprocess"] = {name.removeprefix("preprocess_"): said.pop(name) for name in fields}
    both = {name: {**recipe[name], **value} for name, value in said.items()
            if isinstance(value, dict) and isinstance(recipe.get(name), dict)}
    return {**recipe, **said, **both}
