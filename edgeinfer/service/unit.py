"""The text of a unit file: directives read and replaced in place, comments kept; and rendered for a configuration."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgeinfer.service.layout import CONFIGURATION
from edgeinfer.service.needs import Needs

__all__ = ["MARK", "directives", "memory_max", "render", "replaced", "unquoted", "word"]

MARK = "# Written by `edgeinfer service install`, removed by `edgeinfer service uninstall`."
# what the unit's ProtectHome= and PrivateTmp= hide; a file there is shown alone, by a bind mount
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108  not a temporary file
_MB = 1_000_000
_STEP = 16 * _MB
_PROGRAM_BYTES = 128 * _MB  # rpicam-vid, ffmpeg, arecord: their own figure is not known before they run


def directives(text: str, section: str = "Service") -> list[tuple[str, str]]:
    """(key, value) in the order of the file. No value of ours goes on in a second line."""
    found: list[tuple[str, str]] = []
    current = ""
    for line in text.splitlines():
        if line.startswith("["):
            current = line.strip("[] ")
        elif current == section and "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found.append((key.strip(), value.strip()))
    return found


def replaced(text: str, key: str, lines: Iterable[str]) -> str:
    """The first directive ``key`` of the text, and all further ones, replaced by ``lines`` (comments and directives)."""
    first, kept = True, []
    for line in text.splitlines():
        if line.startswith(f"{key}="):
            kept += list(lines) if first else []
            first = False
        else:
            kept.append(line)
    if first:
        raise RuntimeError(f"the template has no {key}=")
    return "\n".join(kept) + "\n"


def render(template: str, command: Sequence[str], needs: Needs, python: Sequence[Path], memory: Sequence[str]) -> str:
    """The unit for one configuration. ``command`` runs the daemon; ``python`` are the folders of its interpreter and its
    packages; ``memory`` the lines of ``memory_max``."""
    text = replaced(template, "ExecStart", [f"ExecStart={' '.join(word(each).replace('$', '$$') for each in command)}"])
    text = replaced(text, "SetCredential", [])
    text = replaced(text, "LoadCredential", [f"LoadCredential={name}:{CONFIGURATION / name}" for name in needs.credentials])
    text = replaced(text, "MemorySwapMax", [*memory, "MemorySwapMax=0"])
    text = replaced(text, "ProtectHome", _sights(needs, python))
    return f"{MARK}\n{text}"


def _sights(needs: Needs, python: Sequence[Path]) -> list[str]:
    """Of what the sandbox hides, only what the daemon must see."""
    hidden = [path for path in {*needs.read, *python} if _is_hidden(path)]
    seen = [path for path in hidden if not any(path != other and path.is_relative_to(other) for other in hidden)]
    lines = [f"BindReadOnlyPaths=-{_bound(path)}" for path in sorted(seen)]
    for folder in needs.written:
        lines.append(f"BindPaths=-{_bound(folder)}" if _is_hidden(folder) else f"ReadWritePaths=-{word(str(folder))}")
    if not any(_is_hidden(path) for path in (*hidden, *needs.written)):
        return ["ProtectHome=yes", *lines]
    return ["# Of what people keep here, the daemon sees these and nothing else.", "ProtectHome=tmpfs", *lines]


def _bound(path: Path) -> str:
    """A source of a bind mount: a colon would part it from its destination. What is not there is left to the daemon to say."""
    return word(str(path)).replace(":", "\\:")


def _is_hidden(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _HIDDEN)


def memory_max(bill: Sequence[dict[str, object]], programs: int, before: str = "") -> list[str]:
    """MemoryMax= from the lines of a bill, as ``edgeinfer check --json`` gives them. ``before`` is the unit that was installed
    so far: its figure stays where it still fits, since two measurements never agree to the byte."""
    sizes = [(str(line["owner"]), str(line["what"]), int(str(line["bytes"]))) for line in bill]
    total = sum(size for _, _, size in sizes)
    process = sum(size for owner, _, size in sizes if owner == "process")
    model = max((size for _, what, size in sizes if what == "model and runtime"), default=0)
    need = total + process + 2 * model + programs * _PROGRAM_BYTES
    limit = -(-(need + max(need // 4, 64 * _MB)) // _STEP) * _STEP
    kept = re.search(r"^MemoryMax=(\d+)$", before, re.MULTILINE)
    if kept and 0.9 * limit <= int(kept[1]) <= 1.5 * limit:
        return [line for line in before.splitlines() if line.startswith(("MemoryMax=", "# Memory: "))]
    others = f" + {programs} programs of {_PROGRAM_BYTES / _MB:.0f} MB" if programs else ""
    return [f"# Memory: the bill of {total / _MB:.0f} MB + a new model's first load {(process + model) / _MB:.0f} MB + the model "
            f"that it takes over from {model / _MB:.0f} MB{others}; a quarter more, at least 64 MB.",
            f"MemoryMax={limit}"]


def word(text: str) -> str:
    """One word of a list, systemd.syntax(7): % begins a specifier. In a command line $ begins a variable, too."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    text = "".join(f"\\x{ord(sign):02x}" if sign < " " else sign for sign in text)
    return f'"{text}"' if re.search(r"[\s\\\"';]", text) or not text else text


def unquoted(command: str) -> list[str]:
    """The words of a command line that ``word`` made, as they were, but for control characters; none of what is no such line."""
    try:
        return [each.replace("$$", "$").replace("%%", "%") for each in shlex.split(command)]
    except ValueError:
        return []
