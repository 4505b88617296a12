"""``quantize calibrate``: the verdict on samples, and the ranges that they give."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from quantize.cli.options import data_flags, given_flags, preprocess_flags, recipe_of

__all__ = ["command"]


@click.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path),
              help="The folder in which the ranges are kept, for a run with the same -o.")
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="All this in YAML; flags win.")
@click.option("--ranges", type=click.Choice(["mse", "minmax", "percentile", "entropy"]), help="Their choice; else mse.")
@click.option("--equalize/--no-equalize", default=None, help="Even weights out across layers; else on.")
@click.option("--json", "as_json", is_flag=True, help="One document on stdout.")
@data_flags
@given_flags
@preprocess_flags
def command(model: Path, out: Path, recipe: Path | None, as_json: bool, **flags: Any) -> None:
    """Judge the samples that are to calibrate a float MODEL, and see the range of each of its activations.

    Nothing is quantised. What is observed is kept, and a later run of quantize into the same folder uses it.
    """
    from quantize import progress
    from quantize.calibrate import calibrate
    from quantize.method import prepared
    from quantize.plan import integer_values
    from quantize.ranges import chosen
    from quantize.setting import establish
    from quantize.verdict import judge_samples

    told = progress.on(sys.stderr)
    asked = recipe_of(recipe, {**flags, "model": str(model)})
    setting = establish(asked)
    told.step(f"Judging {len(setting.calibration)} samples of {asked.data}")
    verdict = judge_samples(setting, told)
    for line in verdict.lines:
        told.say(line)
    told.step("Observing the ranges of activations")
    graph, done = prepared(setting.graph, asked)
    for sentence in done:
        told.say(sentence)
    observer = calibrate(graph, setting, integer_values(graph), out / "cache", told, asked.threads)
    limits = chosen(observer.histograms, asked.ranges, whole=graph.outputs)
    if as_json:
        rows = {name: {"low": low, "high": high, "seen_low": observer.histograms[name].low,
                       "seen_high": observer.histograms[name].high} for name, (low, high) in limits.items()}
        click.echo(json.dumps({"v": 1, "samples": observer.seen, "verdict": verdict.document(), "ranges": rows}))
        return
    width = min(60, max(map(len, limits)))
    for name, (low, high) in limits.items():
        one = observer.histograms[name]
        click.echo(f"{name[-width:]:<{width}}  {low:>10.4g} to {high:<10.4g}  seen {one.low:.4g} to {one.high:.4g}")
