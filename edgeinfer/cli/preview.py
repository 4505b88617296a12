"""edgeinfer preview CONFIG [PIPELINE] | MODEL --source SOURCE."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from edgeinfer.cli.options import model_options, opened, pipeline_of, runtime, runtime_options, state_option
from edgeinfer.config import load
from edgeinfer.errors import Fault, SourceError, UsageError
from edgeinfer.looking.album import Album
from edgeinfer.looking.live import Live
from edgeinfer.looking.page import LocalPage, Reply
from edgeinfer.looking.preview import Preview
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.trial import trial
from edgeinfer.oneshot import source_for
from edgeinfer.sliding import frame_source
from edgeinfer.sources import SOURCES, FrameSource
from edgeinfer.typed import convert
from edgeinfer.yamlfile import read_yaml


@click.command("preview")
@click.argument("what", metavar="CONFIG|MODEL", type=click.Path(path_type=Path))
@click.argument("pipeline", default="")
@click.option("--source", help="With a MODEL: a file, a /dev/video, or a source as a configuration has it: {kind: camera, …}.")
@click.option("--save", type=click.Path(path_type=Path), help="No page: keep the pictures in a film (.mp4, .avi) or a folder.")
@click.option("--fps", default=12.0, show_default=True, help="Pictures a second at most; the model looks at every frame.")
@click.option("--port", default=0, help="Of the page on 127.0.0.1; else any that is free.")
@click.option("--threshold", type=float, help="With a MODEL: stricter than the bundle's.")
@state_option
@model_options
@runtime_options
def command(what: Path, pipeline: str, source: str | None, save: Path | None, fps: float, port: int, threshold: float | None,
            state: Path, recipe: Path | None, facts: tuple[str, ...], threads: int, accelerators: tuple[str, ...]) -> None:
    """Look at a pipeline as it runs, with all that is found drawn on its pictures. For setting up: a page on this machine only.

    Nothing is published: no broker is spoken to. Ctrl-C ends it.
    """
    if not 0.1 <= fps <= 240:
        raise UsageError("--fps", "a number between 0.1 and 240", f"{fps:g}")
    with tempfile.TemporaryDirectory(prefix="edgeinfer-") as cache:
        if what.suffix.lower() in (".yaml", ".yml"):
            preview = Preview.of_pipeline(*_pipeline(what, pipeline, source))
        elif source is None:
            raise UsageError("--source", "what MODEL shall look at", "none", f"edgeinfer preview {what} --source /dev/video0")
        else:
            bundle, options = opened(what, Path(cache), recipe, facts), runtime(threads, accelerators)
            trial(bundle, options, None)
            preview = Preview.of_model(bundle, _source(source, bundle), options, threshold, state)
        if save is not None:
            _keep(preview, save, fps)
        else:
            _serve(preview, port, fps)


def _pipeline(path: Path, pipeline: str, source: str | None) -> tuple[Any, str]:
    config = load(path)
    name = pipeline_of(config, pipeline, "PIPELINE", f"edgeinfer preview {path}")
    if source is not None:
        raise UsageError("--source", "the configuration's own", repr(source), "leave --source out")
    return config, name


def _source(text: str, bundle: Bundle) -> FrameSource:
    """A file, a video device, or the mapping of a configuration. Raises EdgeinferErrors."""
    if not text.lstrip().startswith("{"):
        if not text.startswith("/dev/video"):
            return source_for(Path(text), bundle)
        text = json.dumps({"kind": "camera", "device": text})
    said: Mapping[str, Any] = read_yaml(text.encode(), "--source")
    kind, faults = said.get("kind"), list[Fault]()
    if not isinstance(kind, str):
        raise UsageError("--source", f"a kind of {', '.join(SOURCES.names())}", repr(kind))
    cls = SOURCES.load(kind, "--source: kind")
    typed = convert({key: value for key, value in said.items() if key != "kind"}, cls.Options, "--source", faults)
    if typed is None:
        raise SourceError.of(faults)
    return frame_source(cls(typed), bundle.manifest.preprocess, "--source")


def _keep(preview: Preview, target: Path, fps: float) -> None:
    with Album(target, fps) as album:
        try:
            for picture in preview.pictures(fps, every=not preview.live):
                album.add(picture)
        except KeyboardInterrupt:
            click.echo("", err=True)
    trouble = preview.figures()["trouble"]
    click.echo(f"{target}: {album.count} pictures" + (f"; {trouble}" if trouble else ""), err=True)


def _serve(preview: Preview, port: int, fps: float) -> None:
    live = Live()
    page = files("edgeinfer.looking").joinpath("preview.html").read_bytes().replace(b"{{name}}", _escaped(preview.name))
    routes = {"GET ": lambda _: Reply("text/html; charset=utf-8", page), "GET stream": lambda _: live.stream(),
              "GET figures": lambda _: Reply("application/json", json.dumps(preview.figures()).encode())}
    with LocalPage(routes, port) as local:
        click.echo(f"{local.address}\n"
                   "The pictures are shown on this machine only, to who has this address; nothing is published. Ctrl-C ends it.\n"
                   f"From another: ssh -L {local.port}:127.0.0.1:{local.port} THIS-MACHINE, then the same address there.", err=True)
        try:
            for picture in preview.pictures(fps):
                live.show(picture)
            click.echo("the stream is over; the last picture stays until Ctrl-C", err=True)
            _wait()
        except KeyboardInterrupt:
            click.echo("", err=True)
        finally:
            live.end()


def _wait() -> None:
    import threading

    threading.Event().wait()


def _escaped(text: str) -> bytes:
    import html

    return html.escape(text).encode()
