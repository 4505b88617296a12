"""``quantize check``: where each operator of a model runs on a target."""

from __future__ import annotations

import json
from pathlib import Path

import click

from quantize.cli.options import shape

__all__ = ["command"]


@click.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option("--target", required=True, help="The device: edgeinfer devices lists them.")
@click.option("--shape", "shapes", type=shape, multiple=True, metavar="NAME=1,3,8,8", help="Fixes open sides of an input.")
@click.option("--json", "as_json", is_flag=True, help="One document on stdout.")
def command(model: Path, target: str, shapes: tuple[tuple[str, tuple[int, ...]], ...], as_json: bool) -> None:
    """Every operator of a float MODEL that will leave the INT8 path on a target, and why, before anything is quantised.

    Of a finished INT8 file: what its accelerator would refuse. Ends with 1 where something leaves or is refused.
    """
    from quantize import targets
    from quantize.check import check, file_faults, render
    from quantize.converters import load

    device = targets.load(target)
    if _is_integer(model):
        faults = file_faults(model, device)
        if as_json:
            rows = [{"where": fault.where, "expected": fault.expected, "got": fault.got} for fault in faults]
            click.echo(json.dumps({"v": 1, "target": target, "clean": not faults, "faults": rows}))
        else:
            for fault in faults:
                click.echo(str(fault))
            click.echo(f"{model.name}: {len(faults)} faults for {target}")
        raise SystemExit(bool(faults))
    verdict = check(load(model, dict(shapes)).graph, device)
    click.echo(json.dumps(verdict.document()) if as_json else "\n".join(render(verdict)))
    raise SystemExit(not verdict.clean)


def _is_integer(model: Path) -> bool:
    """Whether the file is quantised already."""
    from edgeinfer.model.modelfile import describe

    if model.suffix not in (".tflite", ".onnx") or not model.is_file():
        return False
    file = describe(model)
    if model.suffix == ".tflite":
        from quantize.tflite_metadata import quantised_tensors

        return quantised_tensors(model) > 0
    return any("Quantize" in name or "QLinear" in name for name in file.operators)
