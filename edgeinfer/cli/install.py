"""edgeinfer install SOURCE."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from edgeinfer.admission import MOST_BYTES, install, trusted_keys
from edgeinfer.cli.options import json_option, keys_option, runtime, runtime_options, state_option
from edgeinfer.fetch import Readable, is_remote, opened
from edgeinfer.ownership import become_owner
from edgeinfer.store import Installed, Store


@click.command("install")
@click.argument("source")
@state_option
@keys_option
@click.option("--allow-unsigned", is_flag=True, help="Take a bundle that nobody signed, or where no key is trusted yet.")
@click.option("--stage", is_flag=True, help="Check it and keep it as the candidate; do not switch to it.")
@click.option("--name", default="", help="Refuse a bundle of another name.")
@click.option("--retry", is_flag=True, help="Also one that failed on this device before.")
@runtime_options
@json_option
def command(source: str, state: Path, keys: Path, allow_unsigned: bool, stage: bool, name: str, retry: bool, threads: int,
            accelerators: tuple[str, ...], as_json: bool) -> None:
    """Check the bundle at SOURCE (an .eib file, or a file, http or https URL on the local network) and switch to it."""
    options = runtime(threads, accelerators)
    trusted = trusted_keys(keys)
    os.umask(0o022)
    with _opened(source, state) as stream:
        done = install(Store(state / "models"), stream, keys=trusted, allow_unsigned=allow_unsigned, stage=stage, expected=name,
                                               retry=retry, options=options, verdicts=state / "trials")
    if as_json:
        click.echo(json.dumps(_document(done)))
    else:
        _print(done)


@contextmanager
def _opened(source: str, state: Path) -> Iterator[Readable]:
    """A file is opened with the rights of the caller, a server spoken to with no more than the owner's of ``state``."""
    if is_remote(source):
        become_owner(state)
    with opened(source, MOST_BYTES) as stream:
        become_owner(state)
        yield stream


def _document(done: Installed) -> dict[str, object]:
    manifest = done.bundle.manifest
    return {"v": 1, "name": done.name, "version": manifest.version, "sequence": manifest.sequence,
            "digest": done.bundle.digest, "signature": done.bundle.trust, "outcome": done.outcome,
            "folder": str(done.bundle.folder), "runs_on": done.runs_on, "sandbox": list(done.sandbox)}


def _print(done: Installed) -> None:
    manifest = done.bundle.manifest
    what = f"{done.name} {manifest.version} (sequence {manifest.sequence}, {done.bundle.digest[:12]}, {done.bundle.trust})"
    said = {"present": "is installed already", "staged": "is staged", "switched": "is installed"}
    click.echo(f"{what} {said[done.outcome]}")
    if done.outcome != "present":
        click.echo(f"  runs on {done.runs_on}; tried with: {', '.join(done.sandbox)}")
    if done.outcome == "switched":
        click.echo(f"  a pipeline with 'model: {done.name}' follows by itself; back again: edgeinfer rollback {done.name}")
