"""``quantize sign``: a signature in a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from quantize.cli.password import password

__all__ = ["command"]


@click.command()
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.option("--key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The secret key.")
@click.option("--comment", default="", help="Signed too, and shown; else name, version and sequence.")
def command(bundle: Path, key: Path, comment: str) -> None:
    """Sign a BUNDLE (a folder or an .eib), so that devices which know the public key accept it and no other."""
    from quantize import keys, secretkey

    public = keys.sign(bundle, key, password() if secretkey.is_encrypted(key) else None, comment)
    click.echo(f"signed {bundle} with key {public.name}", err=True)
