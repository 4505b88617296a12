"""Everything that ``install`` made, removed; state and configuration only when asked."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from edgeinfer.errors import StorageError
from edgeinfer.service import account, systemd
from edgeinfer.service.files import existing, remove
from edgeinfer.service.layout import CONFIGURATION, USER, Layout
from edgeinfer.service.unit import MARK, directives, unquoted

__all__ = ["uninstall"]


def uninstall(layout: Layout, purge: bool) -> list[str]:
    """What was done, for people; empty where there was nothing. Units and drop-ins of others are left. Raises StorageError and
    UnavailableError. Root only."""
    unit = existing(layout.real(layout.unit_file))
    ours = unit.startswith(MARK)
    done = _disable(layout) if ours else []
    files = [layout.real(layout.unit_file)] if ours else []
    files += [file for file in sorted(layout.real(layout.drop_in_folder).glob("*.conf")) if existing(file).startswith(MARK)]
    done += [f"{file}: removed" for file in files if remove(file)]
    with suppress(OSError):  # not empty: a drop-in of the administrator's
        layout.real(layout.drop_in_folder).rmdir()
    if files and str(layout.root) == "/":
        systemd.systemctl("daemon-reload")
        with suppress(Exception):  # nothing has failed
            systemd.systemctl("reset-failed", layout.unit)
    done += _state(layout, purge)
    if purge:
        done += _configuration(layout, unit)
    if account.forget(layout):
        done.append(f"user {USER}: removed")
    return done


def _disable(layout: Layout) -> list[str]:
    if str(layout.root) == "/":
        systemd.systemctl("disable", "--now", "--quiet", layout.unit)
        return [f"{layout.unit}: stopped and disabled"]
    with suppress(FileNotFoundError):
        layout.real(layout.enabled_link).unlink()
    return [f"{layout.unit}: disabled"]


def _state(layout: Layout, purge: bool) -> list[str]:
    """The state folder goes, or is left to root: the number of a user that is gone may be given to another one."""
    folder = layout.real(layout.state)
    if not folder.is_dir() or folder.is_symlink():
        return []
    if purge:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise StorageError(str(folder), "a folder that can be removed", error.strerror or str(error)) from error
        with suppress(OSError):  # of further services
            folder.parent.rmdir() if layout.name else None
        return [f"{layout.state}: removed"]
    if layout.others() or os.geteuid() or layout.real(layout.packaged_account_file).is_file():
        return []
    if folder.stat().st_uid:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 0, 0, follow_symlinks=False)
        return [f"{layout.state}: kept, and given to root until the next install"]
    return []


def _configuration(layout: Layout, unit: str) -> list[str]:
    """The configuration and the credentials that the unit names, where they lie in /etc/edgeinfer and no other unit names them.
    Elsewhere they are yours."""
    values = directives(unit)
    named = [each for key, value in values if key == "ExecStart" for each in unquoted(value)[-1:]]
    named += [value.partition(":")[2] for key, value in values if key == "LoadCredential"]
    others = "\n".join(existing(file) for file in layout.others())
    done = [f"{path}: removed" for path in map(Path, named)
            if path.parent == CONFIGURATION and str(path) not in others and remove(layout.real(path))]
    with suppress(OSError):  # not empty, or not there
        layout.real(CONFIGURATION).rmdir()
    return done
