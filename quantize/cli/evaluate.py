"""``quantize evaluate``: bundles beside each other on the same samples."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from quantize.evaluate import Evaluation

__all__ = ["command"]


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--data", required=True, type=click.Path(), help="Pictures, a framelog, npy, npz, csv or wav.")
@click.option("--annotations", default="auto", type=click.Path(), help="The truth: folders, a CSV, COCO JSON, masks; or none.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1, 256), help="Of the runtimes.")
@click.option("--json", "as_json", is_flag=True, help="One document on stdout.")
def command(bundles: tuple[Path, ...], data: str, annotations: str, threads: int, as_json: bool) -> None:
    """Accuracy and latency of BUNDLES (folders or .eib), in the engine that the device runs.

    The first is what the others are compared with: the float model, or the version before.
    """
    from quantize import progress
    from quantize.evaluating import evaluate_bundles

    with tempfile.TemporaryDirectory(prefix="quantize-evaluate-") as scratch:
        evaluation = evaluate_bundles(bundles, Path(data), annotations, threads, Path(scratch), progress.on(sys.stderr))
    if as_json:
        click.echo(json.dumps(_document(evaluation)))
        return
    for line in _lines(evaluation):
        click.echo(line)


def _lines(evaluation: Evaluation) -> list[str]:
    from quantize.account import figure_text

    found = [f"{evaluation.samples} samples, {'with' if evaluation.labelled else 'without'} labels"]
    for standing in evaluation.standings:
        found.append(f"{standing.title}  ({standing.bytes / 1e6:.2f} MB, {standing.latency['p50']:.3f} ms p50, {standing.runs_on})")
        found += [f"  {figure_text(figure)}" for figure in [*standing.figures, *standing.drops]]
    return found


def _document(evaluation: Evaluation) -> dict[str, Any]:
    import msgspec

    bundles = [{"title": one.title, "bytes": one.bytes, "runs_on": one.runs_on, "latency_ms": one.latency,
                "figures": msgspec.to_builtins(one.figures), "drops": msgspec.to_builtins(one.drops)}
               for one in evaluation.standings]
    return {"v": 1, "samples": evaluation.samples, "labelled": evaluation.labelled, "unreadable": evaluation.unreadable,
            "bundles": bundles, "parity": msgspec.to_builtins(evaluation.parity)}
