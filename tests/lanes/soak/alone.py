"""A process whose files no other maps, so that its share of memory (PSS) does not depend on what else runs on the machine."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

__all__ = ["alone", "mapped"]

_FILE = re.compile(r"^\S+ r\S+ \S+ \S+ [1-9]\d* +(/.*)$", re.MULTILINE)


def mapped(process: int) -> list[Path]:
    """The interpreter, libraries and other files that a process has mapped."""
    names = set(_FILE.findall(Path(f"/proc/{process}/maps").read_text()))
    return sorted(path for path in map(Path, names) if path.is_file() and not str(path).startswith("/dev/"))


def alone(folder: Path, files: list[Path]) -> tuple[str, ...]:
    """What is put before a command so that it maps copies of these files in ``folder``, under their own names: bind mounts in a
    namespace of its own. Empty where this system does not let us."""
    namespace = ("unshare", "--user", "--map-root-user", "--mount")
    mounts = []
    for number, file in enumerate(files):
        folder.mkdir(exist_ok=True)
        copy = Path(shutil.copy(file, folder / f"{number}-{file.name}"))
        mounts.append(f"mount --bind {shlex.quote(str(copy))} {shlex.quote(str(file))}")
    words = (*namespace, "sh", "-ec", "\n".join([*mounts, 'exec "$@"']), "sh")
    tried = subprocess.run([*words, "true"], check=False, capture_output=True, text=True)
    return words if tried.returncode == 0 else ()
