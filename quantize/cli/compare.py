"""``quantize compare``: float against INT8, tensor by tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from quantize.cli.options import data_flags, given_flags, preprocess_flags, recipe_of

__all__ = ["command"]


@click.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.argument("integer", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="All this in YAML; flags win.")
@click.option("--samples", default=32, show_default=True, type=click.IntRange(1), help="Of the data, spread evenly.")
@click.option("--json", "as_json", is_flag=True, help="One document on stdout.")
@data_flags
@given_flags
@preprocess_flags
def command(model: Path, integer: Path, recipe: Path | None, samples: int, as_json: bool, **flags: Any) -> None:
    """The float MODEL against the INTEGER file made of it (.onnx, .tflite), on real samples.

    At every tensor where the file keeps the names of the float model, as the ONNX files of this toolkit do; else at the outputs.
    """
    import msgspec

    from quantize.comparing import compare_file
    from quantize.setting import establish

    setting = establish(recipe_of(recipe, {**flags, "model": str(model)}))
    some = setting.judging.split(min(samples, len(setting.judging)))[0]
    found = compare_file(setting, integer, some)
    if as_json:
        click.echo(json.dumps({"v": 1, "samples": len(some), "tensors": msgspec.to_builtins(found)}))
        return
    width = min(60, max(len(one.name) for one in found))
    click.echo(f"{'tensor':<{width}}  {'operator':<18} {'SQNR dB':>8} {'cosine':>8}  float range")
    for one in found:
        click.echo(f"{one.name[-width:]:<{width}}  {one.op:<18} {one.sqnr_db:>8.2f} {one.cosine:>8.4f}  "
                   f"{one.float_low:.4g} to {one.float_high:.4g}")
