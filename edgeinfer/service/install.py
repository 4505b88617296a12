"""From a configuration to a running service: planned, checked, written, started. What is as it should be is left alone."""

from __future__ import annotations

import grp
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.config import Config, load
from edgeinfer.errors import ConfigError, EdgeinferError, UnavailableError, UsageError
from edgeinfer.registry import closest
from edgeinfer.service import account, systemd
from edgeinfer.service import layout as place
from edgeinfer.service.files import existing, remove, write
from edgeinfer.service.layout import CONFIGURATION, Layout
from edgeinfer.service.needs import Needs, needs_of
from edgeinfer.service.rehearsal import command, rehearse
from edgeinfer.service.unit import MARK, directives, memory_max, render, replaced

__all__ = ["Plan", "install", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """What will be there. ``drop_ins``: name to text. ``notes``: what the caller should know, for people."""

    layout: Layout
    config: Path
    needs: Needs
    drop_ins: dict[str, str]
    notes: tuple[str, ...]

    def unit(self, memory: list[str]) -> str:
        return render(place.template(self.layout), command("run", self.config), self.needs, _python(), memory)

    def files(self, memory: list[str]) -> dict[Path, str]:
        """Path on the device to text."""
        folder = self.layout.drop_in_folder
        return {self.layout.unit_file: self.unit(memory), **{folder / f"{name}.conf": text for name, text in self.drop_ins.items()}}

    def service(self) -> list[tuple[str, str]]:
        """All directives of [Service], those of the drop-ins included."""
        return [pair for text in (self.unit([]), *self.drop_ins.values()) for pair in directives(text)]


def make_plan(path: Path, layout: Layout, wanted: tuple[str, ...] = ()) -> Plan:
    """``path``: the configuration as the device sees it; ``wanted``: further drop-ins. Raises ConfigError, UsageError."""
    for name in wanted:
        if name not in place.drop_ins():
            raise UsageError("--drop-in", f"one of {', '.join(place.drop_ins())}", f"'{name}'", closest(name, place.drop_ins()))
    config = _load(layout.real(path), layout.state)
    needs = needs_of(config, path, layout.state)
    for name in needs.credentials:
        _check_credential(layout, name)
    texts, notes = {}, []
    for name in sorted({*needs.drop_ins, *wanted}):
        texts[name], missing = _with_groups_of_this_machine(place.drop_in(name), layout)
        notes += [f"{name}: there is no group {group} here, so a udev rule must give the devices to {place.USER}"
                  for group in missing]
    return Plan(layout, path, needs, texts, tuple(notes))


def _load(path: Path, state: Path) -> Config:
    """As the service will: with the state folder that systemd makes."""
    before = os.environ.get("STATE_DIRECTORY")
    os.environ["STATE_DIRECTORY"] = str(state)
    try:
        return load(path)
    finally:
        if before is None:
            del os.environ["STATE_DIRECTORY"]
        else:
            os.environ["STATE_DIRECTORY"] = before


def _check_credential(layout: Layout, name: str) -> None:
    file = CONFIGURATION / name
    try:
        if layout.real(file).stat().st_size:
            return
        got = "an empty one"
    except OSError as error:
        got = error.strerror or str(error)
    raise ConfigError("sink.password_credential", f"the password in {file}", got,
                      f"sudo mkdir -p {CONFIGURATION} && sudo install -m 600 /dev/stdin {file}")


def _with_groups_of_this_machine(text: str, layout: Layout) -> tuple[str, list[str]]:
    """A unit that names a group which does not exist never starts. An image's groups are its own, and are believed."""
    groups = [group for key, value in directives(text) if key == "SupplementaryGroups" for group in value.split()]
    if str(layout.root) != "/":
        return f"{MARK}\n{text}", []
    known = {entry.gr_name for entry in grp.getgrall()}
    missing = [group for group in groups if group not in known]
    if missing:
        there = [group for group in groups if group in known]
        text = replaced(text, "SupplementaryGroups", [f"SupplementaryGroups={' '.join(there)}"] if there else [])
    return f"{MARK}\n{text}", missing


def _python() -> list[Path]:
    """Folders that the interpreter needs: the environment, what it was made from, and this package in a checkout."""
    package = Path(__file__).resolve().parents[2]
    return [Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("purelib")), package]


def install(plan: Plan, start: bool) -> list[str]:
    """Everything, in order; what was done, for people, empty where all was as it should be. Root only.

    Raises what the check raises, and then leaves nothing behind; UnavailableError where the service does not get READY.
    """
    layout, done = plan.layout, []
    here = str(layout.root) == "/"
    had_state = layout.real(layout.state).exists()
    made_user = account.ensure(layout)
    try:
        document = rehearse(layout.real(plan.config), plan.service(), layout.state, here)
    except EdgeinferError:
        _undo(layout, had_state, made_user)
        raise
    if made_user:
        done.append(f"user {place.USER}: made")
    memory = memory_max(document["bill"], plan.needs.programs, existing(layout.real(layout.unit_file)))
    changed = _write(plan, memory, done)
    if not here:
        return done + _enable_in_image(layout)
    if changed or systemd.show(layout.unit, "NeedDaemonReload").get("NeedDaemonReload") == "yes":  # left by one that was killed
        systemd.systemctl("daemon-reload")
        changed = True
    return done + _start(layout, changed, start)


def _undo(layout: Layout, had_state: bool, made_user: bool) -> None:
    """The check failed: what it needed goes."""
    if not had_state:
        shutil.rmtree(layout.real(layout.state), ignore_errors=True)
    if made_user and not layout.real(layout.unit_file).exists():
        account.forget(layout)


def _write(plan: Plan, memory: list[str], done: list[str]) -> bool:
    changed = False
    files = plan.files(memory)
    for path, text in files.items():
        if write(plan.layout.real(path), text):
            changed = True
            done.append(f"{path}: written")
    for file in sorted(plan.layout.real(plan.layout.drop_in_folder).glob("*.conf")):
        if plan.layout.drop_in_folder / file.name not in files and existing(file).startswith(MARK):
            changed |= remove(file)
            done.append(f"{file}: removed, no longer needed")
    return changed


def _enable_in_image(layout: Layout) -> list[str]:
    link = layout.real(layout.enabled_link)
    if link.is_symlink():
        return []
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(layout.unit_file)
    return [f"{layout.unit}: enabled in the image; it starts at the first boot"]


def _start(layout: Layout, changed: bool, start: bool) -> list[str]:
    """Enable, and wait until the service is READY (systemctl waits for Type=notify)."""
    done = []
    facts = systemd.show(layout.unit, "UnitFileState", "ActiveState")
    if facts.get("UnitFileState") != "enabled":
        systemd.systemctl("enable", "--quiet", layout.unit)
        done.append(f"{layout.unit}: enabled")
    active = facts.get("ActiveState") == "active"
    if not start or (active and not changed):
        return done
    try:
        systemd.systemctl("restart", layout.unit)
    except UnavailableError as error:
        why = systemd.show(layout.unit, "Result", "ExecMainStatus")
        got = f"{why.get('Result')}, status {why.get('ExecMainStatus')}: {systemd.last_words(layout.unit)}"
        raise UnavailableError(layout.unit, "READY", got, f"journalctl -u {layout.unit} -e") from error
    return [*done, f"{layout.unit}: {'restarted' if active else 'started'}, READY"]
