"""The tables of keys, held against the structs that read them: what they list exists, what exists is listed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from edgeinfer import config, gate, outbox, probation
from edgeinfer.cascade import ThenOptions
from edgeinfer.commands import CommandOptions
from edgeinfer.discovery import DiscoveryOptions
from edgeinfer.model import manifest, tensor
from edgeinfer.model.backends import RuntimeOptions, delegates, onnxruntime_loading
from edgeinfer.model.decoders import (
    DECODERS,
    anchors,
    anomaly,
    classify,
    ctc,
    detr,
    embed,
    end_to_end,
    grid,
    instances,
    landmarks,
    pose,
    raw,
    regress,
    segment,
    ssd,
    yolo,
)
from edgeinfer.model.preprocess.columns import Column
from edgeinfer.model.preprocess.featurespec import BandsSpec, MelSpec, MfccSpec, MicroFrontendSpec, SpectrumSpec, StatisticsSpec
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.model.preprocess.textspec import TextSpec
from edgeinfer.mqtt.broker import MqttOptions, TlsOptions
from edgeinfer.registry import Table
from edgeinfer.scene.crossing import LineOptions
from edgeinfer.scene.motion import MotionOptions
from edgeinfer.scene.schedule import ScheduleOptions
from edgeinfer.scene.tracker import TrackOptions
from edgeinfer.scene.zones import ZoneOptions
from edgeinfer.sinks import SINKS
from edgeinfer.sources import SOURCES
from edgeinfer.sources.iio_buffer import BufferOptions
from edgeinfer.sources.mqtt_values import ChannelOptions
from edgeinfer.sources.telegrams import BinaryOptions
from edgeinfer.trigger import TriggerOptions
from quantize.pack import Given
from quantize.recipe import Recipe
from tests.docs.pages import BUNDLE, CONFIGURATION, QUANTIZE, default, named
from tests.markdown import Page

Struct = type[msgspec.Struct]

# the heading of the section, and the struct whose fields its table lists
CONFIGURED: dict[str, Struct] = {
    "The file": config._Document,
    "Pipelines": config.PipelineConfig,
    "Runtime": RuntimeOptions,
    "Gate": gate.GateOptions,
    "Trigger": TriggerOptions,
    "schedule": ScheduleOptions,
    "motion": MotionOptions,
    "track": TrackOptions,
    "zones": ZoneOptions,
    "lines": LineOptions,
    "then": ThenOptions,
    "binary": BinaryOptions,
    "buffer": BufferOptions,
    "channel": ChannelOptions,
    "mqtt": MqttOptions,
    "tls": TlsOptions,
    "Outbox": outbox.OutboxOptions,
    "Memory": config.MemoryOptions,
    "Health": config.HealthOptions,
    "Updates": probation.UpdateOptions,
    "Commands": CommandOptions,
    "Home Assistant": DiscoveryOptions,
}
PACKED: dict[str, Struct] = {
    "Recipes": Given,
    "The manifest": manifest.Manifest,
    "files": manifest.Member,
    "tensors": tensor.TensorSpec,
    "quantization": tensor.Quantization,
    "image": ImageSpec,
    "window": WindowSpec,
    "classify": classify.Parameters,
    "yolo": yolo.Parameters,
    "ssd": ssd.Parameters,
    "anchors ssd": anchors.SsdAnchors,
    "anchors blazeface": anchors.BlazeFaceAnchors,
    "anomaly": anomaly.Parameters,
    "regress": regress.Parameters,
    "raw": raw.Parameters,
    "grid": grid.Parameters,
    "end_to_end": end_to_end.Parameters,
    "detr": detr.Parameters,
    "instances": instances.Parameters,
    "segment": segment.Parameters,
    "pose": pose.Parameters,
    "landmarks": landmarks.Parameters,
    "embed": embed.Parameters,
    "ctc": ctc.Parameters,
    "table": Column,
    "text": TextSpec,
    "statistics": StatisticsSpec,
    "micro_frontend": MicroFrontendSpec,
    "reset": manifest.Reset,
    "State": manifest.State,
    "Probes": manifest.Probe,
    "expected": manifest.Expected,
}


HEADINGS = {"mqtt": "mqtt values"}  # of sources that are called as something else is


def _source(kind: str) -> Struct:
    options: Struct = SOURCES.load(kind, "test").Options
    return options


FROM_ELSEWHERE = {"mqtt values": {"broker": "the sink's"}}  # defaults that the struct does not know

# page, heading, the struct (a source is imported by its test alone), the column of the default
TABLES: list[tuple[Page, str, Callable[[], Struct], int]] = [
    *((CONFIGURATION, heading, partial(lambda struct: struct, struct), 1) for heading, struct in CONFIGURED.items()),
    *((CONFIGURATION, HEADINGS.get(kind, kind), partial(_source, kind), 1) for kind in SOURCES.entries),
    *((BUNDLE, heading, partial(lambda struct: struct, struct), 0) for heading, struct in PACKED.items()),
]


@pytest.mark.parametrize(("page", "heading", "struct", "column"), TABLES, ids=named)
def test_a_table_of_keys_is_the_struct(page: Page, heading: str, struct: Callable[[], Struct], column: int) -> None:
    """Each table lists exactly the fields of its struct, with their defaults."""
    fields = {field.encode_name: default(field) for field in msgspec.structs.fields(struct())}
    assert {name: cells[column] for name, cells in page.table(heading).items() if len(cells) > column} == {
        **fields, **FROM_ELSEWHERE.get(heading, {})}


def test_the_table_of_recipes_is_the_struct() -> None:
    """It lists what a run takes besides what pack takes, with the defaults."""
    pack = {field.encode_name for field in msgspec.structs.fields(Given)}
    fields = {field.encode_name: default(field) for field in msgspec.structs.fields(Recipe) if field.encode_name not in pack}
    assert {name: cells[0] for name, cells in QUANTIZE.table("Recipes").items()} == fields


@pytest.mark.parametrize(("heading", "struct"), [("spectrum", SpectrumSpec), ("bands", BandsSpec), ("mel", MelSpec), ("mfcc", MfccSpec)])
def test_features_of_spectra_are_listed_once(heading: str, struct: Struct) -> None:
    """What all have in common, and each one's own; mfcc is a mel with more."""
    own = {**(BUNDLE.table("mel") if heading == "mfcc" else {}), **BUNDLE.table(heading)}
    told = {name: cells[0] for name, cells in {**BUNDLE.table("spectra"), **own}.items()}
    fields = {field.encode_name: default(field) for field in msgspec.structs.fields(struct)}
    assert told == ({**fields, "log": "ln"} if heading == "spectrum" else fields)


@pytest.mark.parametrize("table", [SOURCES, SINKS, DECODERS], ids=lambda table: table.kind)
def test_every_plug_in_has_a_section(table: Table) -> None:
    """Each source and sink is described in the page on configuration, each decoder in the page on bundles."""
    page = BUNDLE if table is DECODERS else CONFIGURATION
    assert table.entries.keys() <= {heading.lower() for heading in page.anchors()}


def test_every_accelerator_is_named() -> None:
    """The names that the two runtimes know are those that the page on configuration lists."""
    formats = {line.split(" | ")[0].strip("| "): line for line in CONFIGURATION.section("Runtime").splitlines() if " | " in line}
    assert all(f"`{name}`" in formats["TFLite"] for name in (delegates.XNNPACK, *delegates.BUILTIN, *delegates.LIBRARIES))
    assert all(f"`{name}`" in formats["ONNX"] for name in onnxruntime_loading.PROVIDERS)


def test_every_reason_of_the_gate_is_told() -> None:
    """The counters of the gate are those of the table of its filters."""
    told = CONFIGURATION.section("Gate")
    assert all(f"`{name}`" in told for name in gate.Gate(gate.GateOptions()).suppressed())


def test_the_page_says_how_long_a_result_is_only_in_memory() -> None:
    """What a power cut can cost stands where the outbox is configured."""
    assert "A result is for at most `commit_delay_ms` only in memory" in CONFIGURATION.section("Outbox")
