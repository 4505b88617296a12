"""Files written whole or not at all, and only where they differ."""

from __future__ import annotations

import os
from pathlib import Path

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
    temporary = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write(text)
            new.flush()
            os.fchmod(new.fileno(), 0o644)  # whatever the umask
            os.fsync(new.fileno())
        temporary.replace(file)
        _sync(file.parent)
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


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
