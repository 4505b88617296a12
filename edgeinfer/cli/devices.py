"""edgeinfer devices [NAME]."""

from __future__ import annotations

import json

import click
import msgspec

from edgeinfer import devices


@click.command("devices")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(name: str | None, as_json: bool) -> None:
    """List the known targets, or show one; says which one this machine is."""
    profiles = [devices.load(name)] if name else list(devices.load_all())
    here = devices.this_device()
    if as_json:
        click.echo(json.dumps({"v": 1, "this_device": here.name if here else None,
                               "devices": [msgspec.to_builtins(profile) for profile in profiles]}))
    elif name:
        click.echo(msgspec.yaml.encode(profiles[0]).decode().rstrip())
    else:
        for profile in profiles:
            mark = "  <- this machine" if here and here.name == profile.name else ""
            click.echo(f"{profile.name:22} {profile.title}{mark}")
