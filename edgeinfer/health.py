"""The health document: what the daemon says of itself. Documented in docs/topics-and-payloads.md."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgeinfer import __version__, durable, vitals
from edgeinfer.assembly import Assembly
from edgeinfer.config import Config
from edgeinfer.model.memory import Bill
from edgeinfer.pipeline import Pipeline
from edgeinfer.sinks import Sink
from edgeinfer.update import Updates

__all__ = ["Health", "summary"]


class Health:
    """Rates are between two documents. The main thread."""

    def __init__(self, boot: str) -> None:
        self.started_s = time.monotonic()
        self._boot = boot
        self._inferred: dict[str, tuple[int, float]] = {}
        self._cpu = vitals.CpuShare()
        folder = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
        self._file = Path(folder) / "health.json" if folder else None

    def document(self, config: Config, assembly: Assembly, updates: Updates, bill: Bill, sink: Sink) -> dict[str, Any]:
        models = assembly.models()
        for name, facts in models.items():
            facts["probation"] = updates.health(config.pipelines[name].model)
        return {
            "v": 1, "node": config.node, "boot": self._boot, "version": __version__,
            "uptime_s": round(time.monotonic() - self.started_s, 1),
            "process": {"pss_bytes": vitals.pss_bytes(), "bill_bytes": bill.total, "cpu_share": round(self._cpu.share(), 4),
                        "temperature_c": vitals.temperature_c(), "threads": vitals.threads(),
                        "descriptors": vitals.descriptors()},
            "models": models,
            "updates": dict(updates.counts),
            "pipelines": {pipeline.name: self._pipeline(pipeline) for pipeline in assembly.pipelines},
            "sink": sink.state(),
        }

    def _pipeline(self, pipeline: Pipeline) -> dict[str, Any]:
        figures = pipeline.figures()
        now = time.monotonic()
        before, then = self._inferred.get(pipeline.name, (0, self.started_s))
        self._inferred[pipeline.name] = (figures["inferred"], now)
        rate = max(figures["inferred"] - before, 0) / max(now - then, 1e-9)
        return {"rate": round(rate, 2), **figures}

    def keep(self, raw: bytes) -> None:
        """Write the document to $RUNTIME_DIRECTORY/health.json (a tmpfs that systemd makes), whole or not at all; nothing
        where there is none, or no room: it is for people who look, and the next one comes soon."""
        if self._file is not None:
            with suppress(OSError):
                durable.write(self._file, raw)


def summary(document: Mapping[str, Any]) -> str:
    """One line for ``systemctl status``."""
    rates = ", ".join(f"{name} {figures['rate']:g}/s" for name, figures in document["pipelines"].items())
    return f"{rates}; {document['process']['pss_bytes'] / 1e6:.0f} MB"
