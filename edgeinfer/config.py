"""The configuration: which bundle looks at which source, and where results go. It never describes a model.

YAML, loaded safely, into frozen typed structs. All faults are reported at once; an unknown key comes with a suggestion.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgeinfer.cascade import ThenOptions
from edgeinfer.commands import CommandOptions
from edgeinfer.discovery import DiscoveryOptions
from edgeinfer.errors import ConfigError, DataError, EdgeinferError, Fault
from edgeinfer.gate import GateOptions
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.consistency import is_name
from edgeinfer.model.signature import PublicKey, read_public_key
from edgeinfer.outbox import OutboxOptions
from edgeinfer.probation import UpdateOptions
from edgeinfer.registry import Table
from edgeinfer.requests import RequestOptions
from edgeinfer.scene.crossing import LineOptions
from edgeinfer.scene.motion import MotionOptions
from edgeinfer.scene.scene import SceneOptions
from edgeinfer.scene.schedule import ScheduleOptions
from edgeinfer.scene.tracker import TrackOptions
from edgeinfer.scene.zones import ZoneOptions
from edgeinfer.sinks import SINKS
from edgeinfer.sources import SOURCES
from edgeinfer.trigger import TriggerOptions
from edgeinfer.typed import convert
from edgeinfer.yamlfile import read_yaml

if TYPE_CHECKING:
    from edgeinfer.store import Store

__all__ = ["Config", "HealthOptions", "MemoryOptions", "PipelineConfig", "PlugIn", "load", "parse"]

MAX_BYTES = 1024 * 1024  # a configuration is a page of text; more is the wrong file
_PATHS = {"path", "ca", "certificate", "key", "password_file"}  # options of plug-ins that name files
_MOST_PLACES = 32  # zones of a pipeline, and lines
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # safe as an MQTT topic level and as a file name
_TAKEN = ("command", "response", "request")  # of edgeinfer/<node>/: see edgeinfer.commands


class MemoryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The budget that the bill must fit."""

    budget_mb: float = 0  # MB (10**6 bytes); 0: what the machine has

    def __post_init__(self) -> None:
        if not 0 <= self.budget_mb <= 1e9:
            raise ValueError(f"expected budget_mb between 0 and 1e9, got {self.budget_mb:g}")


class HealthOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the daemon speaks of itself."""

    interval_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.interval_s <= 86400:
            raise ValueError(f"expected interval_s between 0.1 and 86400, got {self.interval_s:g}")


class PipelineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pipeline. ``source`` holds the options of the source that its ``kind`` names; ``bundle`` is a path, ``model`` the
    name of an installed model, which is followed while the daemon runs."""

    source: dict[str, Any]
    bundle: str = ""
    model: str = ""
    runtime: RuntimeOptions = RuntimeOptions()
    gate: GateOptions = GateOptions()
    resample: bool = False  # a sensor of another rate than the model's is resampled, not refused
    threshold: float | None = None  # only stricter (higher) than the bundle's
    trigger: TriggerOptions | None = None
    schedule: ScheduleOptions | None = None
    motion: MotionOptions | None = None
    track: TrackOptions | None = None
    zones: dict[str, ZoneOptions] = {}
    lines: dict[str, LineOptions] = {}
    then: ThenOptions | None = None

    def __post_init__(self) -> None:
        if bool(self.bundle) == bool(self.model):
            raise ValueError(f"expected either bundle or model, got {'both' if self.bundle else 'neither'}")
        if self.model and not is_name(self.model):
            raise ValueError(f"expected model of 1 to 64 letters, digits, '.', '_', '+' and '-', got {self.model[:80]!r}")
        if self.trigger is not None and self.source.get("kind") == "requests":
            raise ValueError("expected trigger with another source than requests, which wait for no line")
        for kind, names in (("zones", self.zones), ("lines", self.lines)):
            if len(names) > _MOST_PLACES or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
                raise ValueError(f"expected at most {_MOST_PLACES} {kind} with names of letters, digits, - and _, "
                                 f"got {', '.join(map(str, names))[:80]!r}")
        tracked = self.scene.tracked
        if self.motion is not None and tracked is not None and self.motion.awake_s < tracked.lost_s:
            raise ValueError(f"expected motion.awake_s of at least track.lost_s ({tracked.lost_s:g}), got {self.motion.awake_s:g}")

    @property
    def models(self) -> tuple[str, ...]:
        """The installed models that it names."""
        return tuple(name for name in (self.model, self.then.model if self.then is not None else "") if name)

    @property
    def scene(self) -> SceneOptions:
        """Tracks, zones and lines."""
        return SceneOptions(track=self.track, zones=self.zones, lines=self.lines)


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as written; plug-ins' options are still plain mappings."""

    pipelines: dict[str, PipelineConfig]
    sink: dict[str, Any]
    node: str = ""
    outbox: OutboxOptions = OutboxOptions()
    memory: MemoryOptions = MemoryOptions()
    health: HealthOptions = HealthOptions()
    updates: UpdateOptions = UpdateOptions()
    commands: CommandOptions = CommandOptions()
    home_assistant: DiscoveryOptions = DiscoveryOptions()
    trusted_keys: str = ""  # a folder of minisign's *.pub
    state_folder: str = ""  # default: systemd's $STATE_DIRECTORY, else "state" beside the configuration


class PlugIn(msgspec.Struct, frozen=True):
    """A plug-in's class and its typed options, ready to be made: ``make()`` has no side effects."""

    kind: str
    cls: Any
    options: Any

    def make(self, *arguments: Any) -> Any:
        return self.cls(self.options, *arguments)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a daemon needs, checked. Paths are absolute."""

    node: str
    pipelines: dict[str, PipelineConfig]
    sources: dict[str, PlugIn]
    sink: PlugIn
    outbox: OutboxOptions
    memory: MemoryOptions
    health: HealthOptions
    updates: UpdateOptions
    commands: CommandOptions
    home_assistant: DiscoveryOptions
    trusted_keys: Path | None
    state_folder: Path
    folder: Path

    @property
    def request_topics(self) -> tuple[str, ...]:
        """What is heard for sources of requests."""
        return tuple(source.options.topic or f"edgeinfer/{self.node}/{name}/request" for name, source in self.sources.items()
                     if isinstance(source.options, RequestOptions))

    @property
    def store(self) -> Store:
        """The models that are installed here."""
        from edgeinfer.store import Store

        return Store(self.state_folder / "models")

    def bundle_path(self, pipeline: str) -> Path:
        """Relative paths are relative to the configuration's folder. Raises ConfigError for a model that is not installed."""
        wanted = self.pipelines[pipeline]
        return self._path_of(wanted.bundle, wanted.model, f"pipelines.{pipeline}.model")

    def then_path(self, pipeline: str) -> Path | None:
        """The same of the second model; None where there is none."""
        wanted = self.pipelines[pipeline].then
        return None if wanted is None else self._path_of(wanted.bundle, wanted.model, f"pipelines.{pipeline}.then.model")

    def _path_of(self, bundle: str, model: str, where: str) -> Path:
        if not model:
            return (self.folder / bundle).resolve()
        current = self.store.current(model)
        if current is None:
            installed = ", ".join(self.store.names())[:200] or "none"
            raise ConfigError(where, f"an installed model ({installed})", f"'{model}'", f"edgeinfer install {model}.eib")
        return current

    def keys(self) -> tuple[PublicKey, ...]:
        """The public keys that this device trusts; none where ``trusted_keys`` is not set: then signatures are not asked for.

        Raises ConfigError for a folder without keys, or with a file that is none: a typing error must not trust everybody.
        """
        if self.trusted_keys is None:
            return ()
        try:
            keys = tuple(read_public_key(path) for path in sorted(self.trusted_keys.glob("*.pub")))
        except DataError as error:
            raise ConfigError.of([Fault(f"trusted_keys: {f.where}", f.expected, f.got, f.hint) for f in error.faults]) from error
        if not keys:
            raise ConfigError("trusted_keys", "a folder with public keys (*.pub)", f"none in {self.trusted_keys}",
                              f"copy the signer's key there: cp maker.pub {self.trusted_keys}/")
        return keys


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigError with every fault, each with its place in the file."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), "a configuration file", error.strerror or str(error),
                          "edgeinfer demo --write-config edgeinfer.yaml makes one to start from") from error
    if len(text) > MAX_BYTES:
        raise ConfigError(str(path), f"at most {MAX_BYTES} bytes", "more")
    return parse(text, path.resolve().parent, str(path))


def parse(text: bytes, folder: Path, where: str = "config") -> Config:
    """Check the bytes of a configuration; ``folder`` is what relative paths are relative to. Raises ConfigError."""
    document = read_yaml(text, where)
    faults: list[Fault] = []
    raw = convert(document, _Document, "", faults)
    sources, sink = _plug_ins(_with_paths(document, folder), faults)
    _check_names(document, faults)
    if raw is None or sink is None or faults:
        raise ConfigError.of([Fault(f"{where}: {fault.where}", fault.expected, fault.got, fault.hint) for fault in faults])
    state_folder = folder / (raw.state_folder or os.environ.get("STATE_DIRECTORY", "state").split(":")[0])
    outbox = msgspec.structs.replace(raw.outbox, path=str(folder / raw.outbox.path) if raw.outbox.path
                                     else str(state_folder / "outbox.db"))
    return Config(node=raw.node or _host_name(), pipelines=raw.pipelines, sources=sources, sink=sink, outbox=outbox,
                  memory=raw.memory, health=raw.health, updates=raw.updates, commands=raw.commands,
                  home_assistant=raw.home_assistant, state_folder=state_folder, folder=folder,
                  trusted_keys=folder / raw.trusted_keys if raw.trusted_keys else None)


def _with_paths(value: Any, folder: Path, key: str = "") -> Any:
    """The same document, with relative file names of plug-ins' options made relative to ``folder``; a URL stays."""
    if isinstance(value, dict):
        return {name: _with_paths(item, folder, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_paths(item, folder, key) for item in value]
    return str(folder / value) if key in _PATHS and isinstance(value, str) and value and "://" not in value else value


def _plug_ins(document: dict[str, Any], faults: list[Fault]) -> tuple[dict[str, PlugIn], PlugIn | None]:
    """The typed options of every source and of the sink; faults are added to the list."""
    sources: dict[str, PlugIn] = {}
    pipelines = document.get("pipelines")
    for name, pipeline in pipelines.items() if isinstance(pipelines, dict) else ():
        if isinstance(pipeline, dict) and isinstance(pipeline.get("source"), dict):
            source = _plug_in(SOURCES, _with_broker(pipeline["source"], document.get("sink")), f"pipelines.{name}.source", faults)
            if source is not None:
                sources[str(name)] = source
    if isinstance(pipelines, dict) and not pipelines:
        faults.append(Fault("pipelines", "at least one pipeline", "none"))
    sink = document.get("sink")
    return sources, _plug_in(SINKS, sink, "sink", faults) if isinstance(sink, dict) else None


def _with_broker(source: dict[str, Any], sink: Any) -> dict[str, Any]:
    """A source of MQTT values that names no broker hears the sink's."""
    if source.get("kind") != "mqtt" or "broker" in source or not isinstance(sink, dict) or sink.get("kind") != "mqtt":
        return source
    return {**source, "broker": {key: value for key, value in sink.items() if key != "kind"}}


def _plug_in(table: Table, value: dict[str, Any], where: str, faults: list[Fault]) -> PlugIn | None:
    kind = value.get("kind")
    if not isinstance(kind, str):
        faults.append(Fault(f"{where}.kind", f"one of {', '.join(table.names())}", repr(kind)))
        return None
    try:
        cls = table.load(kind, f"{where}.kind")
    except EdgeinferError as error:
        faults.extend(error.faults)
        return None
    options = convert({key: item for key, item in value.items() if key != "kind"}, cls.Options, where, faults)
    return None if options is None else PlugIn(kind, cls, options)


def _check_names(document: dict[str, Any], faults: list[Fault]) -> None:
    pipelines = document.get("pipelines")
    names = {f"pipelines.{name}": name for name in pipelines} if isinstance(pipelines, dict) else {}
    if document.get("node"):
        names["node"] = document["node"]
    for where, name in names.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            faults.append(Fault(where, "a name of letters, digits, - and _ (at most 64)", repr(name)[:80]))
        elif where != "node" and name in _TAKEN:
            faults.append(Fault(where, "a name that is no level of the command topics", repr(name)))


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "edgeinfer"
