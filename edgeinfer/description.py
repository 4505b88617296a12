"""What Home Assistant is told of a running daemon: facts of its configuration and its bundles, as plain values."""

from __future__ import annotations

from edgeinfer import __version__, devices, vitals
from edgeinfer.assembly import Assembly
from edgeinfer.config import Config
from edgeinfer.discovery import TASKS, Described, Device
from edgeinfer.model.decoders import Decoder
from edgeinfer.plan import Plan

__all__ = ["described", "device"]


def device(config: Config) -> Device:
    """Reads /proc and /sys: for set-up and reloads, not for each tick."""
    return Device(node=config.node, version=__version__, hardware=devices.probe().model, health_s=config.health.interval_s,
                  temperature=vitals.temperature_c() is not None, commands=config.commands.enabled)


def described(assembly: Assembly) -> tuple[Described, ...]:
    """One for each pipeline, as it runs now."""
    return tuple(_described(plan, pipeline.lane.decoder)
                 for group in assembly.groups for plan, pipeline in zip(group.plans, group.pipelines, strict=True))


def _described(plan: Plan, decoder: Decoder) -> Described:
    manifest = plan.bundle.manifest
    return Described(name=plan.name, task=TASKS.get(manifest.decoder.name, ""), labels=tuple(plan.bundle.labels),
                     threshold=plan.own_threshold, model=manifest.name, values=tuple(getattr(decoder, "names", ())),
                     installed=bool(plan.config.model), gate=plan.config.gate,
                     zones=tuple(name for name, zone in plan.config.zones.items() if not zone.exclude),
                     lines=tuple(plan.config.lines))
