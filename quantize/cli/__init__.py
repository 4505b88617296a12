"""The command line of the toolkit."""

from __future__ import annotations

import click

from edgeinfer import __version__
from edgeinfer.outermost import Commands, run_program

__all__ = ["main"]

_COMMANDS = {
    "pack": "A bundle of a bare model, with what you say of it.",
    "inspect": "What a bare model file says of itself.",
}


@click.group(cls=Commands, package="quantize.cli", table=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quantize")
def program() -> None:
    """From a float model to a proven INT8 bundle that edgeinfer runs."""


def main() -> None:
    """The entry point."""
    run_program(program)
