"""Options that several commands share, and what a MODEL argument may be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgeinfer.config import Config
from edgeinfer.errors import ModelError, UsageError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, open_model

__all__ = ["json_option", "keys_option", "model_options", "opened", "pipeline_of", "runtime", "runtime_options", "state_option"]

F = TypeVar("F", bound=Callable[..., Any])

_BARE = {".tflite", ".onnx"}


def pipeline_of(config: Config, wanted: str | None, where: str, hint: str = "") -> str:
    """The pipeline ``wanted``, or the only one. Raises UsageError; ``hint``: the command with the first one's name to follow."""
    first = next(iter(config.pipelines))
    if (wanted or first) not in config.pipelines or (not wanted and len(config.pipelines) > 1):
        raise UsageError(where, f"one of {', '.join(config.pipelines)}", repr(wanted), hint and f"{hint} {wanted or first}")
    return wanted or first


def runtime_options(function: F) -> F:
    """--threads and --accelerator."""
    function = click.option("--threads", default=1, show_default=True, help="Threads of the runtime.")(function)
    return click.option("--accelerator", "accelerators", multiple=True,
                        help="A delegate or execution provider; repeat for an order of fallback.")(function)


def runtime(threads: int, accelerators: tuple[str, ...]) -> RuntimeOptions:
    """What those two options say. Raises UsageError."""
    try:
        return RuntimeOptions(threads=threads, accelerators=accelerators)
    except ValueError as error:
        raise UsageError("--threads", str(error).removeprefix("expected ").partition(", got ")[0], str(threads)) from error


def json_option(function: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(function)


def state_option(function: F) -> F:
    """--state."""
    return click.option("--state", default="/var/lib/edgeinfer", show_default=True, type=click.Path(path_type=Path),
                        help="The daemon's state folder.")(function)


def keys_option(function: F) -> F:
    """--keys."""
    return click.option("--keys", default="/etc/edgeinfer/keys", show_default=True, type=click.Path(path_type=Path),
                        help="The folder of the public keys (*.pub) that this device trusts.")(function)


def model_options(function: F) -> F:
    """--recipe and --fact: what a manifest would say of a bare .tflite or .onnx."""
    function = click.option("--recipe", type=click.Path(path_type=Path),
                            help="For a bare model: the facts, as quantize pack takes them.")(function)
    return click.option("--fact", "facts", multiple=True, metavar="NAME=VALUE",
                        help="For a bare model: a flag of quantize pack, as decoder=classify or mean=127.5.")(function)


def opened(model: Path, cache: Path, recipe: Path | None = None, facts: tuple[str, ...] = ()) -> Bundle:
    """The bundle at ``model``; a bare model is packed into ``cache`` first, by the toolkit in a process of its own.

    Raises what ``open_model`` raises, ModelError where the toolkit refuses the file, and UsageError where it lacks facts.
    """
    if model.suffix not in _BARE or not model.is_file():
        return open_model(model, cache)
    said = ["--recipe", str(recipe)] if recipe else []
    for fact in facts:
        name, equals, value = fact.partition("=")
        said += [f"--{name}", value] if equals else [f"--{name}"]
    target = cache / "packed"
    outcome = subprocess.run([sys.executable, "-m", "quantize.cli", "pack", str(model), "-o", str(target), *said],
                             text=True, capture_output=True, check=False)
    said_no = outcome.stderr.strip().rpartition("error: ")[2]
    if outcome.returncode == ModelError.exit_code:
        raise ModelError(str(model), "a model that can be packed", said_no,
                         "state what is missing: --decoder NAME is --fact decoder=NAME, --param KEY=JSON --fact param=KEY=JSON")
    if outcome.returncode:
        raise UsageError(str(model), "all that a manifest says of a model", said_no,
                         "state it with --fact NAME=VALUE; quantize pack --help lists the names")
    click.echo(outcome.stderr, err=True, nl=False)
    return open_model(target, cache)
