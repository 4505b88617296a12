"""edgeinfer batch MODEL INPUT… -o FILE."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from edgeinfer.batch import export, listing, progress
from edgeinfer.batch.hours import Hours
from edgeinfer.batch.run import Computing, Plan, Run
from edgeinfer.cli.options import json_option, model_options, opened, runtime, runtime_options, state_option
from edgeinfer.enrolment import set_of
from edgeinfer.errors import DataError, UnavailableError, UsageError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.preprocess.spec import PreprocessSpec, WindowSpec


@click.command("batch")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A .jsonl, .csv or .parquet to write.")
@click.option("--threshold", type=float, help="Stricter than the bundle's.")
@click.option("--every", default=1, show_default=True, type=click.IntRange(1), help="Of a video or windows, each so many frames.")
@click.option("--recursive", is_flag=True, help="Also the folders within a folder.")
@click.option("--limit", type=click.IntRange(1), help="At most so many inputs.")
@click.option("--restart", is_flag=True, help="Begin anew, whatever is there.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes, each with an engine.")
@click.option("--between", metavar="HH:MM-HH:MM", help="Only at these hours, local time.")
@click.option("--nice", type=click.IntRange(0, 19), help="Lower priority by so much.")
@click.option("--dask", metavar="ADDRESS", help="Compute on the Dask cluster behind this scheduler.")
@click.option("--ship", is_flag=True, help="With --dask: send the files' bytes along, for workers that cannot read them.")
@model_options
@runtime_options
@state_option
@json_option
def command(model: Path, inputs: tuple[str, ...], output: Path, threshold: float | None, every: int, recursive: bool,
            limit: int | None, restart: bool, workers: int, between: str | None, nice: int | None, dask: str | None, ship: bool,
            recipe: Path | None, facts: tuple[str, ...], threads: int, accelerators: tuple[str, ...], state: Path,
            as_json: bool) -> None:
    """Run many INPUTS (files, folders, patterns, @lists of paths) through MODEL into one file of results, in their order.

    A run that was stopped, by whatever, goes on with the same command.
    """
    hours = Hours.parse(between) if between is not None else Hours()
    export.check(output)
    if ship and dask is None:
        raise UsageError("--ship", "--dask as well", "none")
    if nice is not None:
        os.nice(nice)
    run = Run(output)
    with _terminable(restart), tempfile.TemporaryDirectory(prefix="edgeinfer-") as cache, run.locked():
        bundle = opened(model, Path(cache), recipe, facts)
        options = runtime(threads, accelerators)
        plan = Plan(model=f"{bundle.manifest.name}:{bundle.manifest.version}", bundle=bundle.digest, accelerators=accelerators,
                    threshold=threshold, every=every, enrolled=_enrolled(bundle, state, dask))
        suffixes = _suffixes(bundle.manifest.preprocess)
        paths = (lambda scratch: _others(listing.expanded(inputs, suffixes, recursive, scratch), output)) if inputs else None
        plan = run.begin(plan, paths, limit, restart)
        crew = (_crew(bundle, options, plan, hours, workers, state) if dask is None
                else _cluster(dask, bundle, options, plan, hours, ship))
        with closing(crew), closing(progress.on(sys.stderr)) as shown:
            summary = run.work(plan, crew, shown, lambda: "" if hours.open() else f"waiting for {hours}")
    _tell(summary, bundle, as_json)


def _suffixes(spec: PreprocessSpec) -> frozenset[str]:
    """Of what is taken from a folder."""
    if not isinstance(spec, WindowSpec):
        return listing.PICTURES
    return listing.ROWS if spec.table or spec.text is not None else listing.SENSORS


def _others(paths: Iterator[str], output: Path) -> Iterator[str]:
    """The paths. Raises UsageError where one is the output, as results of an earlier run in a folder of tables are."""
    for path in paths:
        if os.path.basename(path) == output.name and os.path.realpath(path) == os.path.realpath(output):
            raise UsageError(listing.show(path), "inputs that are not the output", "the output", "take an -o elsewhere")
        yield path


def _enrolled(bundle: Bundle, state: Path, dask: str | None) -> str:
    """The digest of those whom the model compares with; "" for nobody. Raises UsageError where they had to leave the device."""
    found = set_of(bundle, state)
    if found is not None and found[1].names and dask is not None:
        raise UsageError("--dask", "a model that compares with nobody", f"one that compares with {found[0]}, which stays here",
                         "leave --dask out, or name another --state")
    return found[1].digest if found is not None else ""


def _crew(bundle: Bundle, options: RuntimeOptions, plan: Plan, hours: Hours, workers: int, state: Path) -> Computing:
    from edgeinfer.batch.crew import Crew
    from edgeinfer.batch.worker import Setup
    from edgeinfer.model.trial import trial

    trial(bundle, options)
    folder = str(bundle.folder.resolve())
    setup = Setup(folder, bundle.digest, options, plan.threshold, plan.every, str(state.absolute()), plan.enrolled)
    return Crew(setup, plan.model, workers, hours)


def _cluster(address: str, bundle: Bundle, options: RuntimeOptions, plan: Plan, hours: Hours, ship: bool) -> Computing:
    try:
        from edgeinfer.batch.cluster import Cluster
    except ImportError as error:
        raise UnavailableError("--dask", "Dask", str(error), "pip install 'edgeinfer[dask]'") from error
    return Cluster(address, bundle, options, plan.threshold, plan.every, hours, ship)


@contextmanager
def _terminable(restart: bool) -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does, with a checkpoint, and then ends the process as SIGTERM does."""
    received: list[int] = []

    def stop(number: int, _: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"stopped; the same command{' without --restart' if restart else ''} goes on from here", err=True)
        if not received:
            raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if received:
        os.kill(os.getpid(), signal.SIGTERM)


def _tell(summary: dict[str, Any], bundle: Bundle, as_json: bool) -> None:
    """The summary; the exit code tells whether an input failed. Raises DataError."""
    summary = {**summary, "task": bundle.manifest.task}
    if as_json:
        click.echo(json.dumps(summary))
    else:
        click.echo(f"{summary['rows']} rows of {summary['inputs']} inputs in {summary['output']}, {summary['failed']} failed; "
                   f"{summary['throughput']:.3g} inputs a second, p50 {summary['latency_ms']['p50']:.3g} ms")
    if summary["failed"]:
        raise DataError(summary["output"], "an answer to every input", f"{summary['failed']} inputs with an error",
                        "their rows have `error`; the others are complete")
