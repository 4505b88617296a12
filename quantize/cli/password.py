"""The password of a secret key: asked for at the terminal, or a line of stdin where there is none."""

from __future__ import annotations

import os
import sys

import click

from edgeinfer.errors import UsageError

__all__ = ["password"]


def password(confirm: bool = False) -> bytes:
    """``confirm``: a person types it twice. Raises UsageError where there is neither a terminal nor a line."""
    if _has_terminal():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
        return typed.encode()
    line = sys.stdin.buffer.readline().rstrip(b"\r\n")
    if not line:
        raise UsageError("password", "a line of stdin, as there is no terminal to ask at", "none",
                         "quantize keygen --no-password KEY makes a key that needs none")
    return line


def _has_terminal() -> bool:
    """Also where stdin is something else: the password is asked for at /dev/tty."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
