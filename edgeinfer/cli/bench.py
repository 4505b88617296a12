"""edgeinfer bench MODEL|CONFIG."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from edgeinfer import devices
from edgeinfer.benchmark import bench, energy
from edgeinfer.cli.options import json_option, model_options, opened, runtime, runtime_options
from edgeinfer.config import load
from edgeinfer.errors import UsageError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.model.memory import check_room
from edgeinfer.model.preprocess.spec import PreprocessSpec, WindowSpec
from edgeinfer.model.trial import trial


@click.command("bench")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--frames", default=1000, show_default=True, type=click.IntRange(10), help="Frames to measure.")
@click.option("--size", default="640x480", show_default=True, help="Of the camera frame, WIDTHxHEIGHT.")
@click.option("--device", help="Whose power to reckon with; this machine's profile if not given.")
@click.option("--price", default=0.30, show_default=True, help="Of a kWh.")
@model_options
@runtime_options
@json_option
def command(target: Path, frames: int, size: str, device: str | None, price: float, recipe: Path | None,
            facts: tuple[str, ...], threads: int, accelerators: tuple[str, ...], as_json: bool) -> None:
    """Measure a bundle, or each bundle of a configuration: stages, throughput, share over bare invoke, PSS, allocations."""
    profile = devices.load(device) if device else devices.this_device()
    documents = []
    with tempfile.TemporaryDirectory(prefix="edgeinfer-") as cache:
        for path, options in _models(target, runtime(threads, accelerators)):
            bundle = opened(path, Path(cache), recipe, facts)
            trial(bundle, options, None)
            engine = Engine(bundle, options)
            document = bench(engine, _format(bundle.manifest.preprocess, size), frames)
            if profile is not None:
                document["energy"] = {"device": profile.name, **energy(document, profile, price)}
            engine.close()
            documents.append(document)
            if not as_json:
                _print(document)
    if as_json:
        click.echo(json.dumps({"v": 1, "benches": documents}))


def _models(target: Path, options: RuntimeOptions) -> list[tuple[Path, RuntimeOptions]]:
    if target.suffix not in {".yaml", ".yml"}:
        return [(target, options)]
    settings = load(target)
    return [(settings.bundle_path(name), pipeline.runtime) for name, pipeline in settings.pipelines.items()]


def _format(spec: PreprocessSpec, size: str) -> FrameFormat | WindowFormat:
    if isinstance(spec, WindowSpec):
        return WindowFormat(spec.length, spec.channels)
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError("--size", "WIDTHxHEIGHT", size, "--size 640x480")
    format = FrameFormat("RGB", int(height), int(width))
    check_room("--size", "frames", format.nbytes)
    return format


def _print(document: dict[str, Any]) -> None:
    click.echo(f"{document['model']} on {document['runs_on']}, {document['frames']} frames")
    for name, stage in {**document["stages_ms"], "bare invoke": document["bare_invoke_ms"]}.items():
        quantiles = "  ".join(f"{key} {stage[key]:9.4f}" for key in ("p50", "p95", "p99"))
        click.echo(f"  {name.replace('_', ' '):18} {quantiles} ms")
    allocations = document["allocations"]
    click.echo(f"  a frame {document['frame_ms']:.4f} ms, {document['throughput']:g} a second, "
               f"{document['over_bare_invoke']:.3f} times bare invoke")
    click.echo(f"  CPU {document['cpu_ms_per_frame']:.4f} ms a frame ({document['cpu_share']:.2f} cores), "
               f"PSS {document['pss_bytes'] / 1e6:.1f} MB")
    click.echo(f"  allocations a frame: {allocations['blocks_a_frame']:g} blocks and {allocations['bytes_a_frame']:g} bytes "
               f"kept, {allocations['peak_bytes']:g} bytes at most in flight")
    if "energy" in document:
        figures = document["energy"]
        click.echo(f"  energy as a {figures['device']} at {figures['watts']:g} W: {figures['joules'] * 1e3:.3f} mJ a frame, "
                   f"{figures['cost_a_million']:g} a million at {figures['price_kwh']:g} a kWh")
