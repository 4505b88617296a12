"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgeinfer.model.backends import RuntimeOptions

__all__ = ["json_option", "runtime", "runtime_options"]

F = TypeVar("F", bound=Callable[..., Any])


def runtime_options(function: F) -> F:
    """--threads and --accelerator."""
    function = click.option("--threads", default=1, show_default=True, help="Threads of the runtime.")(function)
    return click.option("--accelerator", "accelerators", multiple=True,
                        help="A delegate or execution provider; repeat for an order of fallback.")(function)


def runtime(threads: int, accelerators: tuple[str, ...]) -> RuntimeOptions:
    """What those two options say."""
    return RuntimeOptions(threads=threads, accelerators=accelerators)


def json_option(function: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(function)
