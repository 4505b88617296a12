"""edgeinfer infer MODEL INPUT…."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from edgeinfer.cli.options import json_option, model_options, opened, runtime, runtime_options, state_option
from edgeinfer.errors import SourceError, StorageError
from edgeinfer.looking.view import View
from edgeinfer.model.engine import Engine
from edgeinfer.model.tensor import Array
from edgeinfer.model.trial import trial
from edgeinfer.oneshot import answers


@click.command("infer")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--threshold", type=float, help="Stricter than the bundle's.")
@click.option("--save", type=click.Path(path_type=Path), help="What was found, drawn: a picture (.png, .jpg, …), or a folder.")
@state_option
@model_options
@runtime_options
@json_option
def command(model: Path, inputs: tuple[Path, ...], threshold: float | None, save: Path | None, state: Path, as_json: bool,
            recipe: Path | None, facts: tuple[str, ...], threads: int, accelerators: tuple[str, ...]) -> None:
    """Run pictures, videos, recordings, tables or texts through MODEL (a bundle, an .eib, or a bare model) and show the results."""
    with tempfile.TemporaryDirectory(prefix="edgeinfer-") as cache:
        bundle = opened(model, Path(cache), recipe, facts)
        options = runtime(threads, accelerators)
        trial(bundle, options, None)
        engine = Engine(bundle, options)
        documents: list[dict[str, Any]] = []
        skipped: list[SourceError] = []
        view = View(bundle, bundle.manifest.name) if save is not None else None
        found = ((path, answer) for path in inputs for answer in answers(engine, path, threshold, skipped, state))
        for number, (path, answer) in enumerate(found):
            document = {"input": str(answer.path), "index": answer.index, "latency_ms": round(answer.latency_ns / 1e6, 3),
                        "result": answer.result.document()}
            if as_json:
                documents.append(document)
            else:
                click.echo(describe(document))
            if view is not None and save is not None:
                name = f"{answer.path.stem}-{number:04d}.png"  # files in two folders may have one name
                _save(view.draw(answer.frame, answer.result), save, name, len(inputs) > 1 or path.is_dir())
        if as_json:
            click.echo(json.dumps({"v": 1, "model": f"{bundle.manifest.name}:{bundle.manifest.version}",
                                   "task": bundle.manifest.task, "runs_on": engine.session.runs_on, "results": documents}))
        engine.close()
    if skipped:  # the others' results are out; the exit code says that some are missing
        raise SourceError.of([fault for error in skipped for fault in error.faults])


def describe(document: dict[str, Any]) -> str:
    """One line for a person."""
    result = document["result"]
    if "classes" in result:
        text = ", ".join(f"{row['label']} {row['score']:.2f}" for row in result["classes"]) or "nothing"
    elif "detections" in result:
        text = ", ".join(_detection(row) for row in result["detections"]) or "nothing"
    elif "areas" in result:
        text = ", ".join(f"{row['label']} {100 * row['area']:.1f} %" for row in result["areas"]) or "nothing"
    elif "similarity" in result:
        text = f"{result['name']} {result['similarity']:.2f}"
    elif "text" in result:
        text = f"{result['text']!r} {result['score']:.2f}" if result["text"] else "nothing"
    elif "anomalous" in result:
        text = f"{'ANOMALY' if result['anomalous'] else 'normal'} {result['score']:g} (threshold {result['threshold']:g})"
    elif "values" in result:
        text = ", ".join(f"{name} {value:g}" for name, value in result["values"].items())
    else:
        text = ", ".join(f"{name} {tensor['shape']}" for name, tensor in result.get("tensors", {}).items())
    return f"{document['input']}[{document['index']}]  {document['latency_ms']:.2f} ms  {text}"


def _detection(row: dict[str, Any]) -> str:
    points = f", {len(row['keypoints'])} keypoints" if "keypoints" in row else ""
    return f"{row['label']} {row['score']:.2f} at {row['box']}{points}"


def _save(picture: Array, target: Path, name: str, several: bool) -> None:
    """To the file ``target``, or by that ``name`` into the folder."""
    from edgeinfer.annotate import SUFFIXES, save

    if several or target.suffix.lower() not in SUFFIXES:
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(str(target), "a folder to write to", error.strerror or str(error)) from error
        target = target / name
    save(target, picture)
