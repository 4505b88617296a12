"""What both command lines share: commands found when they are called, and one clear error, never a traceback."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import click

from edgeinfer.errors import EdgeinferError

__all__ = ["Commands", "run_program"]


class Commands(click.Group):
    """A group whose commands are files, each imported only when it is called, so that ``--help`` is quick.

    ``table``: name to one line of help. The command ``name`` is ``<package>.<name>.command``.
    """

    def __init__(self, *args: Any, package: str, table: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._package, self._table = package, table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._table.items()))


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
