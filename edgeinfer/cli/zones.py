"""edgeinfer zones PICTURE | CONFIG [PIPELINE]."""

from __future__ import annotations

import json
import shutil
import threading
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from edgeinfer.annotate import save, to_bgr
from edgeinfer.cli.options import pipeline_of
from edgeinfer.config import load
from edgeinfer.errors import EdgeinferError, SourceError, UsageError
from edgeinfer.looking.drawn import Drawn, read_drawn
from edgeinfer.looking.grid import grid, in_terminal
from edgeinfer.looking.jpeg import jpeg
from edgeinfer.looking.page import LocalPage, Reply
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.memory import check_room
from edgeinfer.model.tensor import Array
from edgeinfer.oneshot import VIDEOS
from edgeinfer.sources import SOURCES


@click.command("zones")
@click.argument("what", metavar="PICTURE|CONFIG", type=click.Path(path_type=Path))
@click.argument("pipeline", default="")
@click.option("--grid", "grid_", metavar="FILE",
              help="No page: the picture with a grid of fractions to FILE, or - to the terminal.")
@click.option("--port", default=0, help="Of the page on 127.0.0.1; else any that is free.")
def command(what: Path, pipeline: str, grid_: str | None, port: int) -> None:
    """Draw zones and lines on a picture (or a film's first), or on what the source of a PIPELINE sees now with those it has.

    A page on this machine only; what is drawn comes out here as YAML for the pipeline.
    """
    if what.suffix.lower() in (".yaml", ".yml"):
        picture, drawn = _of_pipeline(what, pipeline)
    else:
        kind = "video" if what.suffix.lower() in VIDEOS else "images"
        source = SOURCES.load(kind, "PICTURE")
        picture, drawn = _first(source(source.Options(path=str(what))), str(what)), Drawn()
    if grid_ == "-":
        click.echo(in_terminal(picture, shutil.get_terminal_size().columns), nl=False, color=True)
    elif grid_ is not None:
        save(Path(grid_), grid(picture))
        click.echo(f"{grid_}: fractions from the upper left corner, [across, down]", err=True)
    else:
        _serve(picture, drawn, what.name, port)


def _of_pipeline(path: Path, pipeline: str) -> tuple[Array, Drawn]:
    config = load(path)
    name = pipeline_of(config, pipeline, "PIPELINE", f"edgeinfer zones {path}")
    had = config.pipelines[name]
    return _first(config.sources[name].make(), f"pipelines.{name}.source"), Drawn(had.zones, had.lines)


def _first(source: Any, where: str) -> Array:
    """The first picture of a source, BGR. Raises SourceError, and UsageError for a source of samples."""
    if source.yields != "frames":
        raise UsageError(where, "a source of pictures", f"one of {source.yields}")
    format: FrameFormat = source.format()
    check_room(where, "a picture", format.nbytes)
    frame = Frame(format)
    source.open()
    try:
        if not source.read_into(frame):
            raise SourceError(where, "a picture", "none")
        return to_bgr(frame)
    finally:
        source.close()


def _serve(picture: Array, drawn: Drawn, name: str, port: int) -> None:
    encoded = jpeg(picture, 92)
    data = json.dumps({"name": name, **drawn.document()}).replace("<", "\\u003c").encode()
    page = files("edgeinfer.looking").joinpath("zones.html").read_bytes().replace(b"{{data}}", data)
    done, sent = threading.Event(), list[Drawn]()

    def take(body: bytes) -> Reply:
        try:
            sent.append(read_drawn(body))
        except EdgeinferError as error:
            return Reply("application/json", json.dumps({"error": str(error)}).encode())
        done.set()
        return Reply("application/json", b"{}")

    routes = {"GET ": lambda _: Reply("text/html; charset=utf-8", page), "GET picture": lambda _: Reply("image/jpeg", encoded),
              "POST done": take}
    with LocalPage(routes, port) as local:
        click.echo(f"{local.address}\n"
                   "Draw there, then press Done: the zones come out here. On this machine only, to who has this address.\n"
                   f"From another: ssh -L {local.port}:127.0.0.1:{local.port} THIS-MACHINE, then the same address there.", err=True)
        done.wait()
    click.echo(sent[-1].yaml(), nl=False)
