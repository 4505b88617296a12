"""``quantize keygen``: a key pair to sign bundles with."""

from __future__ import annotations

from pathlib import Path

import click

from quantize.cli.password import password

__all__ = ["command"]


@click.command()
@click.argument("key", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--no-password", is_flag=True, help="Leave the secret key unencrypted, for machines that sign by themselves.")
@click.option("--force", is_flag=True, help="Replace a key that is there.")
def command(key: Path, no_password: bool, force: bool) -> None:
    """Make an Ed25519 key pair: the secret KEY and beside it the public one, for devices. minisign understands both."""
    from quantize import keys

    keys.generate(key, None if no_password else password(confirm=True), force=force)
    click.echo(f"secret key {key}, readable by you alone: keep it off the devices", err=True)
    click.echo(f"public key {keys.public_path(key)}: give it to the devices", err=True)
