"""The outermost place of both command lines: one clear error and its exit code, never a traceback."""

from __future__ import annotations

import sys

import click

from edgeinfer.errors import EdgeinferError

__all__ = ["run_program"]


def run_program(program: click.Command) -> None:
    """Run a command line to its end; the process exits with a sysexits code where it fails."""
    try:
        program(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(64)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except EdgeinferError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
