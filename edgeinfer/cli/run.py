"""edgeinfer run CONFIG."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgeinfer import vitals
from edgeinfer.daemon import Daemon


@click.command("run")
@click.argument("config", type=click.Path(path_type=Path))
def command(config: Path) -> None:
    """Run the pipelines of CONFIG until SIGTERM. SIGHUP reads CONFIG again."""
    vitals.share_heap()
    sys.setswitchinterval(0.0005)  # a capture thread hands the interpreter on within half a millisecond, not five
    Daemon(config).run()
