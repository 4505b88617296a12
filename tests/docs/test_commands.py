"""The page on commands, held against the two programs."""

from __future__ import annotations

import click
import pytest

from edgeinfer import errors
from edgeinfer.cli import program as edgeinfer
from tests.docs.pages import COMMANDS, named
from tests.docs.programs import commands, flags


@pytest.mark.parametrize(("program", "name", "command"), [*commands()], ids=named)
def test_a_table_of_options_is_the_command(program: str, name: str, command: click.Command) -> None:
    """Each command has a section whose table lists exactly its options, with the defaults that its help shows."""
    table = COMMANDS.table(f"{program} {name}")
    assert {*table} == flags(command)
    for option in command.params:
        if isinstance(option, click.Option) and option.show_default:
            assert table[option.opts[-1]][0] == str(option.default)


def test_options_before_the_command_are_told() -> None:
    """What stands before a command is told at the top of the page."""
    assert flags(edgeinfer) == {"--version", "-v", "--verbose"}
    assert all(f"`{flag}`" in COMMANDS.section("Commands and their JSON") for flag in flags(edgeinfer))


def test_the_table_of_exit_codes_is_the_tree_of_errors() -> None:
    """Each class of error is listed with its exit code."""
    listed = {}
    for line in COMMANDS.section("Exit codes").splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if cells[0].isdigit() and cells[1]:
            listed[cells[1]] = int(cells[0])
    kinds = [getattr(errors, name) for name in errors.__all__ if name not in {"Fault", "EdgeinferError"}]
    assert listed == {kind.__name__: kind.exit_code for kind in kinds}
