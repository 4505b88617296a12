"""Files written whole or not at all, and only where they differ."""

from __future__ import annotations

from pathlib import Path

from edgeinfer import durable
from edgeinfer.errors import StorageError

__all__ = ["existing", "remove", "write"]


def existing(file: Path) -> str:
    """The text of a file; empty where there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def write(file: Path, text: str) -> bool:
    """True where the file had to be written. Raises StorageError."""
    if existing(file) == text:
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        durable.write(file, text.encode(), 0o644)
    except OSError as error:
        raise StorageError(str(file), "a file that can be written", error.strerror or str(error)) from error
    return True


def remove(file: Path) -> bool:
    """True where there was one. Raises StorageError."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(str(file), "a file that can be removed", error.strerror or str(error)) from error
    return True
