"""The command line."""

from __future__ import annotations

import click

from edgeinfer import __version__
from edgeinfer.log import set_up
from edgeinfer.outermost import Commands, run_program

__all__ = ["main"]

_COMMANDS = {
    "demo": "A complete run on this machine: broker, two INT8 models, results shown.",
    "run": "The daemon: run the pipelines of a configuration.",
    "check": "All that run does up to the first frame; prints the memory bill.",
    "infer": "One shot: pictures, recordings, tables or texts through a model.",
    "batch": "Many inputs into one file: resumable, off-peak friendly, on all cores or a Dask cluster.",
    "inspect": "What a model or bundle is: tensors, quantisation, operators, manifest.",
    "bench": "Latency by stage, throughput, memory, allocations, CPU, energy and cost.",
    "preview": "A live look at what a pipeline sees, on this machine only.",
    "zones": "Draw zones and lines on a picture, for a configuration.",
    "record": "Write what a configured source delivers to a framelog, to calibrate on.",
    "install": "Check a bundle and switch to it, or stage it.",
    "models": "The bundles installed on this device, and which is in use.",
    "rollback": "Go back to the previous bundle of a model.",
    "service": "The systemd service: install, status, uninstall.",
    "top": "What the running daemon says of itself: rates, latencies, memory, what is wrong.",
    "enroll": "Teach a device the faces or things that it shall know.",
    "devices": "Known targets, and which one this is.",
}


@click.group(cls=Commands, package="edgeinfer.cli", table=_COMMANDS,
             context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgeinfer")
@click.option("-v", "--verbose", is_flag=True, help="Log more, to stderr.")
def program(verbose: bool) -> None:
    """INT8 inference on small devices, in fixed memory; only results leave."""
    set_up(verbose)


def main() -> None:
    """The entry point."""
    run_program(program)
