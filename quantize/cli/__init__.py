"""The command line of the toolkit."""

from __future__ import annotations

from pathlib import Path

import click

from edgeinfer import __version__
from edgeinfer.outermost import Commands, run_program

__all__ = ["main"]

_COMMANDS = {
    "run": "From a float model and samples to INT8 files, proven and packed. 'run' may be left out.",
    "check": "Which operators leave the INT8 path on a target, and why, before anything is quantised.",
    "calibrate": "Judge samples, and see the ranges that they give.",
    "compare": "Float against INT8, tensor by tensor.",
    "evaluate": "Accuracy and latency of bundles, in the engine of the device.",
    "report": "Draw report.json as a page.",
    "pack": "A bundle of a bare model, with what you say of it.",
    "inspect": "What a bare model file says of itself.",
    "sign": "Sign a bundle.",
    "keygen": "Make the keys to sign with.",
}


class _Program(Commands):
    """A group in which ``quantize MODEL …`` is ``quantize run MODEL …``."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        first = args[0] if args else ""
        if first not in _COMMANDS and (Path(first).suffix or Path(first).exists()):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_Program, package="quantize.cli", table=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quantize")
def program() -> None:
    """From a float model to a proven INT8 bundle that edgeinfer runs."""


def main() -> None:
    """The entry point."""
    run_program(program, "edgeinfer[quantize]")
