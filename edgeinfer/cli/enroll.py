"""edgeinfer enroll MODEL NAME PICTURE…."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

from edgeinfer.cli.options import json_option, runtime, runtime_options, state_option
from edgeinfer.enrolment import Enrolled, change, path_of, read
from edgeinfer.errors import DataError, SourceError, UsageError
from edgeinfer.model.bundle import Bundle, open_model
from edgeinfer.model.decoders.embed import Embed
from edgeinfer.model.engine import Engine
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.tensor import Array
from edgeinfer.model.trial import trial
from edgeinfer.oneshot import answers


@click.command("enroll")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("name", default="")
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path), metavar="PICTURE…")
@click.option("--set", "set_", default="", metavar="NAME", help="The set of names; the bundle's own by default.")
@click.option("--list", "lists", is_flag=True, help="Say who is enrolled.")
@click.option("--remove", default="", metavar="NAME", help="Forget a name.")
@state_option
@runtime_options
@json_option
def command(model: Path, name: str, inputs: tuple[Path, ...], set_: str, lists: bool, remove: str, state: Path, as_json: bool,
            threads: int, accelerators: tuple[str, ...]) -> None:
    """Teach a model with the embed decoder who NAME is, from pictures of what the model takes (a face that fills them, say).

    A name's pictures are averaged, with those it had before. Only vectors are kept, on this device: no picture is.
    """
    if (bool(name) + lists + bool(remove)) != 1 or bool(name) != bool(inputs):
        raise UsageError("edgeinfer enroll", "NAME and pictures, or --list, or --remove NAME", "something else",
                         f"edgeinfer enroll {model} ada ada1.jpg ada2.jpg")
    with tempfile.TemporaryDirectory(prefix="edgeinfer-") as cache:
        bundle = open_model(model, Path(cache))
        decoder = _decoder(bundle)
        path = path_of(state, set_ or decoder.enrolled_set)
        sort = (decoder.size, bundle.manifest.files[bundle.manifest.model].sha256)
        enrolled = read(path, *sort)
        if name:
            options = runtime(threads, accelerators)
            trial(bundle, options, None)
            vectors = _vectors(Engine(bundle, options), decoder, inputs)
            enrolled = change(path, *sort, lambda had: had.with_pictures(name, vectors))
        elif remove:
            enrolled = change(path, *sort, lambda had: had.without(remove))
    _tell(path, enrolled, as_json)


def _decoder(bundle: Bundle) -> Embed:
    """The bundle's own. Raises UsageError where it is another than embed."""
    manifest = bundle.manifest
    if manifest.decoder.name != "embed":
        raise UsageError("MODEL", "a bundle with the decoder embed", f"one with {manifest.decoder.name}")
    return Embed(manifest.decoder.parameters, manifest.outputs, bundle.labels, manifest.inputs)


def _vectors(engine: Engine, decoder: Embed, inputs: tuple[Path, ...]) -> Array:
    """(pictures, size): the embedding of each. Raises SourceError for a picture that cannot be read."""
    found = []
    try:
        for path in inputs:
            for answer in answers(engine, path):
                outputs = [engine.session.output(index) for index in range(len(engine.session.outputs))]
                decoder.decode(outputs, [], Geometry())
                del outputs  # the runtime does not run while a view is held
                if not decoder.vector.any():
                    raise DataError(f"{answer.path}[{answer.index}]", "an embedding with a direction", "zeros, or not a number")
                found.append(decoder.vector.copy())
    finally:
        engine.close()
    if not found:
        raise SourceError(str(inputs[0]), "at least one picture", "none")
    return np.array(found)


def _tell(path: Path, enrolled: Enrolled, as_json: bool) -> None:
    people: list[dict[str, Any]] = [{"name": name, "pictures": count}
                                    for name, count in zip(enrolled.names, enrolled.pictures, strict=True)]
    if as_json:
        click.echo(json.dumps({"v": 1, "file": str(path), "enrolled": people}))
        return
    click.echo(f"{path}: {len(people)} enrolled")
    for one in people:
        click.echo(f"  {one['name']}  {one['pictures']} picture{'s' if one['pictures'] != 1 else ''}")
