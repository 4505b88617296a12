"""The commands of both programs, by their names: "edgeinfer", "service install"."""

from __future__ import annotations

from collections.abc import Iterator

import click

from edgeinfer.cli import program as edgeinfer
from quantize.cli import program as quantize

__all__ = ["called", "commands", "flags"]


def commands() -> Iterator[tuple[str, str, click.Command]]:
    """The program, the command's name with those of its groups, and the command."""
    for name, group in (("edgeinfer", edgeinfer), ("quantize", quantize)):
        yield from ((name, command.strip(), found) for command, found in _leaves("", group))


def _leaves(above: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from _leaves(f"{above} {name}", found)
        else:
            yield f"{above} {name}", found


def called(words: list[str]) -> tuple[str, click.Command, list[str]]:
    """Of a command line: the command's name with those of its groups, the command, and the words that are left for it."""
    command: click.Command = edgeinfer if words[0] == "edgeinfer" else quantize
    names, rest = [], words[1:]
    while isinstance(command, click.Group):
        with click.Context(command) as context:
            _, (name, *rest), _ = command.make_parser(context).parse_args(rest)
            names.append(name)
            found = command.get_command(context, name)
        assert found is not None, names
        command = found
    return " ".join(names), command, rest


def flags(command: click.Command) -> set[str]:
    """All names of its options."""
    return {flag for option in command.params if isinstance(option, click.Option) for flag in option.opts}
