"""``quantize run``, or ``quantize MODEL``: the whole way from a float model to proven INT8 bundles."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from quantize.cli.options import data_flags, given_flags, preprocess_flags, recipe_of

__all__ = ["command"]

_RECIPES = (".yaml", ".yml")


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path), metavar="MODEL|RECIPE")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="A folder for all of it.")
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="All this in YAML; flags win.")
@data_flags
@click.option("--judge", type=click.Path(), help="Other samples to judge on, in place of the rest of --data.")
@click.option("--format", "formats", type=click.Choice(["tflite", "onnx"]), multiple=True, help="Of the files; else both.")
@click.option("--io", type=click.Choice(["int8", "uint8", "float32"]), help="Of the TFLite file's inputs and outputs.")
@click.option("--ranges", type=click.Choice(["mse", "minmax", "percentile", "entropy"]), help="Their choice; else mse.")
@click.option("--rounding", type=click.Choice(["reconstruct", "nearest"]), help="Of weights; else reconstruct.")
@click.option("--equalize/--no-equalize", default=None, help="Even weights out across layers; else on.")
@click.option("--correct-bias/--no-correct-bias", default=None, help="Take out the mean error of layers; else on.")
@click.option("--max-drop", type=float, metavar="POINTS", help="What INT8 may lose; beyond it the ladder is climbed.")
@click.option("--max-minutes", type=float, metavar="MINUTES", help="For the ladder; else 10.")
@click.option("--min-parity", type=float, metavar="PERCENT", help="Of samples on which both files must agree.")
@click.option("--threads", type=click.IntRange(1, 256), help="Of the runtimes; else 2.")
@click.option("--json", "as_json", is_flag=True, help="The report on stdout.")
@given_flags
@preprocess_flags
def command(source: Path, out: Path, recipe: Path | None, as_json: bool, **flags: Any) -> None:
    """From a float MODEL (.onnx, .tflite, .pt2, .keras, SavedModel) and real samples to INT8 files, proven and packed.

    Ends with 0 where the bars were met (or none was set), 1 where one was missed.
    """
    from quantize import progress
    from quantize.report import to_json
    from quantize.run import run

    if source.suffix in _RECIPES:
        recipe = source
    else:
        flags["model"] = str(source)
    asked = recipe_of(recipe, flags)
    outcome = run(asked, out, progress.on(sys.stderr), shlex.join(["quantize", *sys.argv[1:]]))
    if as_json:
        click.echo(to_json(outcome.document))
    if not outcome.passed:
        sys.exit(1)
