"""edgeinfer rollback NAME."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgeinfer.cli.options import json_option, state_option
from edgeinfer.model.bundle import read
from edgeinfer.ownership import become_owner
from edgeinfer.store import Store


@click.command("rollback")
@click.argument("name")
@state_option
@click.option("--reject", default="", metavar="REASON", help="Refuse the bundle that is left from now on, and say why.")
@json_option
def command(name: str, state: Path, reject: str, as_json: bool) -> None:
    """Go back to the previous bundle of NAME. Without --reject a second rollback undoes the first."""
    become_owner(state)
    bundle = read(Store(state / "models").rollback(name, reject), verify=False)
    manifest = bundle.manifest
    if as_json:
        click.echo(json.dumps({"v": 1, "name": name, "version": manifest.version, "sequence": manifest.sequence,
                               "digest": bundle.digest, "folder": str(bundle.folder)}))
    else:
        click.echo(f"{name} is at {manifest.version} again (sequence {manifest.sequence}, {bundle.digest[:12]})")
