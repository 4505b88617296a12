"""What both command lines share: commands found when they are called, and one clear error, never a traceback."""

from __future__ import annotations

import importlib
import os
import select
import sys
from collections.abc import Mapping
from typing import Any

import click

from edgeinfer.errors import EdgeinferError, StorageError, UnavailableError

__all__ = ["Commands", "run_program"]


class _ReaderGoneError(Exception):
    """Nobody reads stdout any longer."""


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

    def invoke(self, ctx: click.Context) -> Any:
        """Raises _ReaderGoneError where nobody reads stdout any longer, StorageError where another pipe broke."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would end with 1, which says something else here
            raise _ReaderGoneError if _is_broken(1) else _fault(error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._table.items()))


def run_program(program: click.Command, extra: str = "") -> None:
    """Run a command line to its end; the process exits with a sysexits code where it fails.

    ``extra``: what brings the packages that its commands import; each may name another one itself.
    """
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
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("", "edgeinfer", "quantize"):
            raise
        fault = UnavailableError(str(error.name), "an installed package", str(error), extra and f"pip install '{extra}'")
        click.echo(f"error: {fault}", err=True)
        sys.exit(fault.exit_code)
    except _ReaderGoneError:  # as with | head
        _forget_stdout()
        sys.exit(0)
    except OSError as error:  # of stdout: the disk is full; whoever opens a file himself says more about it
        _forget_stdout()
        click.echo(f"error: {_fault(error)}", err=True)
        sys.exit(StorageError.exit_code)


def _fault(error: OSError) -> StorageError:
    return StorageError(str(error.filename or "stdout"), "a file that takes what is written", error.strerror or str(error))


def _is_broken(descriptor: int) -> bool:
    """Whether a pipe has no other end."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _forget_stdout() -> None:
    """What is still in its buffer cannot be written, and is no error again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
