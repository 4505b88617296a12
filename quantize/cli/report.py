"""``quantize report``: a run's report.json as a page."""

from __future__ import annotations

from pathlib import Path

import click

from edgeinfer.errors import SourceError

__all__ = ["command"]


@click.command()
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The page, .html.")
def command(report: Path, out: Path) -> None:
    """Draw REPORT (a report.json) as one HTML file that needs nothing else."""
    from quantize.produce import save
    from quantize.report import from_json, render

    try:
        data = report.read_bytes()
    except OSError as error:
        raise SourceError(str(report), "a file that can be read", error.strerror or str(error)) from error
    save(out, render(from_json(data, report.name)).encode("utf-8", "replace"))
    click.echo(f"wrote {out}", err=True)
