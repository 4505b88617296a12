"""Whose the state folder is, and working there as nobody more than its owner.

A service's state belongs to the service's user. Root that wrote there would follow links which that user made, and leave
files which it cannot remove: so root becomes the owner first, for good.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from edgeinfer.errors import StorageError, UnavailableError

__all__ = ["become_owner"]


def become_owner(state: Path) -> None:
    """Make the folder ``state`` if it is not there, and go on as the user that owns it: root drops every other right.

    Raises StorageError where the folder belongs to somebody else and this is not root, where everybody may write to it, and
    for a link that neither root nor this user made (systemd's own, for a dynamic user, is root's); UnavailableError where the
    owner may not read this program.
    """
    try:
        if not os.path.lexists(state):
            state.mkdir(mode=0o755)
        link = state.lstat()
        if stat.S_ISLNK(link.st_mode) and link.st_uid not in {0, os.geteuid()}:
            raise StorageError(str(state), "a folder", f"a link that user {link.st_uid} made", f"ls -ld '{state}'")
        found = state.stat()
    except OSError as error:
        raise StorageError(str(state), "a folder for state", error.strerror or str(error), _hint(state, error)) from error
    if not stat.S_ISDIR(found.st_mode):
        raise StorageError(str(state), "a folder for state", "something else", f"ls -ld '{state}'")
    if found.st_mode & stat.S_IWOTH:
        raise StorageError(str(state), "a folder that not everybody may write to", f"mode {found.st_mode & 0o7777:o}",
                           f"chmod o-w '{state}'")
    if found.st_uid == os.geteuid():
        return
    if os.geteuid() != 0:
        raise StorageError(str(state), f"a folder of yours (user {os.geteuid()})", f"one of user {found.st_uid}",
                           "sudo edgeinfer …, which works there as its owner, or --state FOLDER")
    _become(found.st_uid, found.st_gid)


def _become(user: int, group: int) -> None:
    try:
        entry = pwd.getpwuid(user)
        groups = os.getgrouplist(entry.pw_name, group)
    except KeyError:  # a dynamic user whose service does not run
        groups = []
    os.setgroups(groups)
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    if not _can_read_programs():
        raise UnavailableError(str(Path(os.__file__).parent), f"Python packages that user {user}, the owner of the state, may read",
                               "a folder closed to it", "install edgeinfer where every user can read it, as below /opt")


def _can_read_programs() -> bool:
    """More of Python and of this package is imported later, also by the process that tries a model."""
    return os.access(os.__file__, os.R_OK) and os.access(__file__, os.R_OK)


def _hint(state: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "sudo edgeinfer …, or --state FOLDER for a folder of yours"
    return f"ls -ld '{state.parent}'"
