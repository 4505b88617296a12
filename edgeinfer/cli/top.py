"""edgeinfer top: what the running daemon last said of itself, again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from edgeinfer.errors import DataError, UnavailableError
from edgeinfer.service.layout import Layout
from edgeinfer.service.report import read_health

_COLUMNS = ("pipeline", "model", "a second", "inferred", "published", "skipped", "waiting", "p50 ms", "p95 ms", "p99 ms")
_LEFT = 2  # columns of text; the others are numbers
_SCREEN = "\x1b[H\x1b[J"  # to the top, and clear from there (ECMA-48)


@click.command("top")
@click.option("--name", default="", help="Of several services on one machine: edgeinfer@NAME.service.")
@click.option("--file", "file", type=click.Path(path_type=Path),
              help="Another health document: a daemon writes it into the folder that RUNTIME_DIRECTORY names.")
@click.option("--once", is_flag=True, help="Once, also on a terminal.")
def command(name: str, file: Path | None, once: bool) -> None:
    """Rates, latencies, memory, the broker and all that is wrong; on a terminal anew each second until Ctrl-C."""
    path = file or Layout(name).health
    if once or not sys.stdout.isatty():
        click.echo("\n".join(_page(path)))
        return
    with suppress(KeyboardInterrupt):
        while True:
            click.echo(_SCREEN + "\n".join(_page(path)))
            time.sleep(1.0)


def _page(path: Path) -> list[str]:
    """Lines. Raises UnavailableError where there is no document, DataError where it is none of health."""
    document = read_health(path)
    if document is None:
        raise UnavailableError(str(path), "the health of a daemon that runs", "none", "edgeinfer service status")
    try:
        return _lines(document, max(time.time() - path.stat().st_mtime, 0.0))
    except FileNotFoundError as error:  # it has just ended
        raise UnavailableError(str(path), "the health of a daemon that runs", "none", "edgeinfer service status") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(str(path), "a health document, version 1", f"something else ({type(error).__name__}: {error})") from error


def _lines(document: dict[str, Any], age_s: float) -> list[str]:
    rows = [_row(name, figures, document["models"][name]) for name, figures in document["pipelines"].items()]
    lines = [*_head(document, age_s), "", *_table([_COLUMNS, *rows])]
    troubles = [line for trouble in _troubles(document) for line in trouble.split("\n")]  # an error brings its hint
    return [_printable(line) for line in ([*lines, "", *troubles] if troubles else lines)]


def _head(document: dict[str, Any], age_s: float) -> Iterator[str]:
    process, sink, outbox = document["process"], document["sink"], document["sink"]["outbox"]
    temperature = "" if process["temperature_c"] is None else f", {process['temperature_c']:.0f} °C"
    yield (f"{document['node']}: up {_span(document['uptime_s'])}, edgeinfer {document['version']}, "
           f"said {age_s:.0f} s ago")
    yield (f"{process['pss_bytes'] / 1e6:.0f} MB of a bill of {process['bill_bytes'] / 1e6:.0f} MB, "
           f"{process['cpu_share']:.0%} of a core{temperature}")
    yield (f"{sink.get('broker', 'sink')}: {'connected' if sink['connected'] else 'not connected'}; of results "
           f"{outbox['acknowledged']} acknowledged, {outbox['queued']} queued, {sum(outbox['dropped'].values())} dropped")


def _row(name: str, figures: dict[str, Any], model: dict[str, Any]) -> tuple[str, ...]:
    total = figures["latency_ms"]["total"]
    return (name, model["model"], f"{figures['rate']:.1f}", str(figures["inferred"]), str(figures["published"]),
            str(sum(figures["skipped"].values())), str(figures["waiting"]), *(f"{total[key]:.2f}" for key in ("p50", "p95", "p99")))


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = [text.ljust(width) if column < _LEFT else text.rjust(width)
                 for column, (text, width) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()


def _troubles(document: dict[str, Any]) -> Iterator[str]:
    """What somebody should look at, a line each."""
    sink = document["sink"]
    if not sink["connected"] and sink.get("last_error"):
        yield f"broker: {sink['last_error']}"
    if sink["outbox"].get("storage", "ok") != "ok":
        yield f"outbox: {sink['outbox']['storage']}"
    for name, figures in document["pipelines"].items():
        source, model = figures["source"], document["models"][name]
        if source["paused"]:
            yield f"{name}: switched off"
        elif not source["working"] and source["error"]:
            yield f"{name}: {source['error']}"
        if figures["skipped"]["failed"] or figures["payloads"]["failed"]:
            yield f"{name}: {figures['skipped']['failed']} frames and {figures['payloads']['failed']} results failed"
        for reason in model["fallbacks"]:
            yield f"{name}: not as configured: {reason}"
        if model["probation"] and model["probation"]["state"] != "accepted":
            yield f"{name}: its model is {' '.join([model['probation']['state'], model['probation']['reason']]).strip()}"


def _span(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds % 60)} s"


def _printable(line: str) -> str:
    return line if line.isprintable() else repr(line)
