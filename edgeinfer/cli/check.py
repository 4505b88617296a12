"""edgeinfer check CONFIG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgeinfer import vitals
from edgeinfer.config import Config, load
from edgeinfer.model.frame import Frame
from edgeinfer.model.memory import Bill
from edgeinfer.plan import Plan, bill_of, make_plans, try_models
from edgeinfer.sinks import Sink


@click.command("check")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--online", is_flag=True, help="Also open every source, read one frame, and connect to the broker.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(config: Path, online: bool, as_json: bool) -> None:
    """Do all that run does up to the first frame, and print the memory bill."""
    settings = load(config)
    plans = make_plans(settings)
    sink = settings.sink.make(f"edgeinfer/{settings.node}", settings.outbox)
    sink.check()
    verdicts = try_models(settings, plans)
    bill = bill_of(settings, plans, verdicts, vitals.pss_bytes())
    models = {plan.name: verdicts[plan.name].runs_on for plan in plans}
    seen = _open(plans, sink) if online else {}
    if as_json:
        click.echo(json.dumps({"v": 1, "ok": True, "bill": bill.document(), "total_bytes": bill.total, "models": models,
                               "budget_bytes": int(settings.memory.budget_mb * 1e6), "online": seen}))
    else:
        _print(settings, bill, models, seen)


def _print(settings: Config, bill: Bill, models: dict[str, str], seen: dict[str, Any]) -> None:
    for line in bill.lines:
        click.echo(f"{line.nbytes / 1e6:9.2f} MB  {line.owner}: {line.what}{' (measured)' if line.measured else ''}")
    budget = settings.memory.budget_mb
    click.echo(f"{bill.total / 1e6:9.2f} MB  total{f', of a budget of {budget:g} MB' if budget else ''}")
    for name, runs_on in models.items():
        click.echo(f"{name}: its model runs on {runs_on}")
    for name, what in seen.items():
        click.echo(f"{name}: {what}")
    click.echo(f"ok: {len(settings.pipelines)} pipelines")


def _open(plans: list[Plan], sink: Sink) -> dict[str, Any]:
    """Open each source for one frame, and wait for the broker; raises what they raise."""
    seen: dict[str, Any] = {}
    for plan in plans:
        plan.source.open()
        try:
            delivered = plan.source.read_into(Frame(plan.format))
        finally:
            plan.source.close()
        seen[plan.name] = "delivers" if delivered else "delivers nothing: the stream is empty"
    seen["sink"] = sink.probe(10.0)
    return seen
