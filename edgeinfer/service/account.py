"""The system user that the daemon runs as, made by systemd-sysusers."""

from __future__ import annotations

import pwd
import shutil
import subprocess

from edgeinfer.errors import UnavailableError
from edgeinfer.service import layout as place
from edgeinfer.service.files import remove, write
from edgeinfer.service.layout import USER, Layout

__all__ = ["ensure", "exists", "forget"]


def exists() -> bool:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


def ensure(layout: Layout) -> bool:
    """True where something had to be made. In an image the file alone: its first boot makes the user."""
    packaged = layout.real(layout.packaged_account_file).is_file()
    written = not packaged and write(layout.real(layout.account_file), place.account())
    if str(layout.root) != "/" or (exists() and not written):
        return written
    ended = subprocess.run(["systemd-sysusers", str(layout.packaged_account_file if packaged else layout.account_file)],
                           text=True, capture_output=True, check=False)
    if not exists():
        raise UnavailableError("systemd-sysusers", f"the user {USER}", " ".join(ended.stderr.split())[-300:] or "none",
                               f"sudo useradd --system {USER}")
    return True


def forget(layout: Layout) -> bool:
    """Remove user and file, where no package and no other service of this program has them. True where there were any."""
    if layout.real(layout.packaged_account_file).is_file() or layout.others():
        return False
    removed = remove(layout.real(layout.account_file))
    if removed and str(layout.root) == "/" and exists() and (userdel := shutil.which("userdel")) is not None:
        ended = subprocess.run([userdel, USER], text=True, capture_output=True, check=False)
        if exists():
            raise UnavailableError("userdel", f"the user {USER} gone", " ".join(ended.stderr.split())[-300:],
                                   f"sudo userdel {USER}")
    return removed
