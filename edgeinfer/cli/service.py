"""edgeinfer service install|status|uninstall."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgeinfer.errors import UsageError
from edgeinfer.service import layout as place
from edgeinfer.service import systemd
from edgeinfer.service.files import existing
from edgeinfer.service.install import Plan, install, make_plan
from edgeinfer.service.layout import Layout
from edgeinfer.service.rehearsal import rehearse
from edgeinfer.service.removal import uninstall
from edgeinfer.service.report import report
from edgeinfer.service.unit import memory_max

F = TypeVar("F", bound=Callable[..., Any])


@click.group("service")
def command() -> None:
    """The daemon as a systemd service."""


def _name_option(function: F) -> F:
    return click.option("--name", default="", help="Of several services on one machine: edgeinfer@NAME.service.")(function)


def _root_option(function: F) -> F:
    return click.option("--root", default="/", type=click.Path(path_type=Path, file_okay=False),
                        help="An image's root folder, where nothing is started.")(function)


@command.command("install")
@click.argument("config", type=click.Path(path_type=Path), default=place.CONFIGURATION / "edgeinfer.yaml")
@_name_option
@_root_option
@click.option("--drop-in", "drop_ins", multiple=True, metavar="NAME",
              help=f"Also allow these devices: {', '.join(place.drop_ins())}; those that CONFIG calls for are found by themselves.")
@click.option("--no-start", is_flag=True, help="Install and enable, do not start.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and end.")
def install_command(config: Path, name: str, root: Path, drop_ins: tuple[str, ...], no_start: bool, dry_run: bool) -> None:
    """Check CONFIG as the service will run it, write the unit for this interpreter, start it and wait until it is READY."""
    layout = Layout(name, root.absolute())
    plan = make_plan(Path(os.path.abspath(config)), layout, drop_ins)
    for note in plan.notes:
        click.echo(f"note: {note}", err=True)
    if dry_run:
        _print(plan)
        return
    _require(layout)
    done = install(plan, not no_start)
    for line in done:
        click.echo(line)
    if not done:
        click.echo(f"{layout.unit}: all is as it should be, nothing changed")


def _print(plan: Plan) -> None:
    """Checked as who calls it: what the service's user may not read is found at the installation."""
    layout = plan.layout
    document = rehearse(layout.real(plan.config), (), plan.layout.state, sandbox=False)
    memory = memory_max(document["bill"], plan.needs.programs, existing(layout.real(layout.unit_file)))
    files = plan.files(memory)
    if not layout.real(layout.packaged_account_file).is_file():
        files = {layout.account_file: place.account(), **files}
    for path, text in files.items():
        click.echo(f"==> {layout.real(path)} <==\n{text}")


@command.command("status")
@_name_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def status_command(name: str, as_json: bool) -> None:
    """What systemd knows of the service, and what the daemon last said of itself. Exit code 3 where it does not run."""
    systemd.require()
    facts = report(Layout(name))
    if as_json:
        click.echo(json.dumps(facts))
    else:
        _tell(facts)
    if facts["state"] != "active":
        sys.exit(3)  # as systemctl status has it, LSB


def _tell(facts: dict[str, Any]) -> None:
    installed = ("installed" if facts["installed"] else "not installed") + (", enabled" if facts["enabled"] else "")
    click.echo(f"{facts['unit']}: {installed}; {facts['state']} ({facts['sub_state']}), {facts['restarts']} restarts")
    if facts["result"] not in ("", "success"):
        click.echo(f"last end: {facts['result']}, status {facts['exit_status']}; journalctl -u {facts['unit']} -e")
    if facts["memory_bytes"] is not None:
        limit = f" of at most {facts['memory_max_bytes'] / 1e6:.0f} MB" if facts["memory_max_bytes"] else ""
        click.echo(f"memory: {facts['memory_bytes'] / 1e6:.0f} MB{limit}")
    if facts["status"]:
        click.echo(f"says: {facts['status']}")
    for drop_in in facts["drop_ins"]:
        click.echo(f"drop-in: {drop_in}")


@command.command("uninstall")
@_name_option
@_root_option
@click.option("--purge", is_flag=True, help="Also remove its state, and its configuration and credentials in /etc/edgeinfer.")
def uninstall_command(name: str, root: Path, purge: bool) -> None:
    """Stop the service and remove all that install made."""
    layout = Layout(name, root.absolute())
    _require(layout)
    done = uninstall(layout, purge)
    for line in done:
        click.echo(line)
    if not done:
        click.echo(f"{layout.unit}: not installed, nothing changed")


def _require(layout: Layout) -> None:
    """For this machine: root, and a systemd that runs. Raises UsageError and UnavailableError."""
    if str(layout.root) != "/":
        return
    systemd.require()
    if os.geteuid():
        again = shlex.join(["sudo", sys.executable, "-m", "edgeinfer", *sys.argv[1:]])
        raise UsageError("edgeinfer service", "root", f"user {os.geteuid()}", again)
