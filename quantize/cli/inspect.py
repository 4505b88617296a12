"""``quantize inspect``: what a bare model file says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One document on stdout.")
def command(model: Path, as_json: bool) -> None:
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
