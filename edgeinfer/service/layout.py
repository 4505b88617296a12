"""Where the parts of one service lie, below a root folder: that of this machine or of an image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.errors import UnavailableError, UsageError

__all__ = ["CONFIGURATION", "UNITS", "USER", "Layout", "account", "drop_in", "drop_ins", "template"]

USER = "edgeinfer"
UNITS = Path("/etc/systemd/system")  # the administrator's units, over those of packages in /usr/lib/systemd/system
CONFIGURATION = Path("/etc/edgeinfer")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # needs no escaping in a unit's name, systemd.unit(5)


@dataclass(frozen=True)
class Layout:
    """``edgeinfer.service``, or with a ``name`` ``edgeinfer@NAME.service``. Paths are as the device sees them; ``real`` puts
    the root before them. Raises UsageError for a name that a unit cannot have."""

    name: str = ""
    root: Path = Path("/")

    def __post_init__(self) -> None:
        if self.name and not _NAME.fullmatch(self.name):
            raise UsageError("--name", "letters, digits, - and _ (at most 64)", repr(self.name)[:80])

    @property
    def unit(self) -> str:
        return f"edgeinfer@{self.name}.service" if self.name else "edgeinfer.service"

    @property
    def unit_file(self) -> Path:
        return UNITS / self.unit

    @property
    def drop_in_folder(self) -> Path:
        return UNITS / f"{self.unit}.d"

    @property
    def enabled_link(self) -> Path:
        return UNITS / "multi-user.target.wants" / self.unit

    @property
    def account_file(self) -> Path:
        return Path("/etc/sysusers.d/edgeinfer.conf")

    @property
    def packaged_account_file(self) -> Path:
        """A Debian package's: where it is, the user is not ours to make or remove."""
        return Path("/usr/lib/sysusers.d/edgeinfer.conf")

    @property
    def state(self) -> Path:
        """StateDirectory= of the template."""
        return Path("/var/lib/edgeinfer") / self.name

    @property
    def health(self) -> Path:
        """The last health document, in RuntimeDirectory= of the template."""
        return Path(f"/run/edgeinfer-{self.name}" if self.name else "/run/edgeinfer") / "health.json"

    def real(self, path: Path) -> Path:
        return self.root / path.relative_to("/")

    def others(self) -> list[Path]:
        """Unit files of further services of this program."""
        return [path for path in sorted(self.real(UNITS).glob("edgeinfer*.service"))
                if path.name != self.unit and re.fullmatch(r"edgeinfer(@.+)?\.service", path.name)]


def template(layout: Layout) -> str:
    """The unit file that the project ships, with the name filled in."""
    text = (_folder() / ("edgeinfer@.service" if layout.name else "edgeinfer.service")).read_text(encoding="utf-8")
    return text.replace("%i", layout.name)


def drop_ins() -> list[str]:
    """The names of all drop-ins that the project ships."""
    return sorted(path.stem for path in (_folder() / "drop-ins").glob("*.conf"))


def drop_in(name: str) -> str:
    """The text of one."""
    return (_folder() / "drop-ins" / f"{name}.conf").read_text(encoding="utf-8")


def account() -> str:
    """The sysusers.d file."""
    return (_folder() / "sysusers.conf").read_text(encoding="utf-8")


def _folder() -> Path:
    """Where the units are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_systemd", package.parent / "systemd"):
        if (folder / "edgeinfer.service").is_file():
            return folder
    raise UnavailableError("edgeinfer service", "the unit files of the package", f"none in {package / '_systemd'}",
                           "pip install --force-reinstall edgeinfer")
