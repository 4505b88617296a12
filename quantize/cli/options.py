"""What several commands read from the command line: numbers, pairs, shapes, preprocessing and recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgeinfer.errors import ConfigError

__all__ = ["merged", "pair", "preprocess_flags", "read_recipe", "shape"]


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
    if isinstance(document.get("labels"), str):
        document["labels"] = str(path.parent / document["labels"])
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
