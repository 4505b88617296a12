"""The documentation, held against the program: what it lists exists, what exists is listed, what it shows works."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import cv2
import msgspec
import numpy as np
import pytest
import yaml

from edgeinfer import config, errors, gate, outbox, probation
from edgeinfer.cli import program as edgeinfer
from edgeinfer.commands import CommandOptions
from edgeinfer.daemon import Daemon
from edgeinfer.discovery import DiscoveryOptions
from edgeinfer.errors import Fault
from edgeinfer.model import manifest, tensor
from edgeinfer.model.backends import BACKENDS, RuntimeOptions, delegates, onnxruntime_loading
from edgeinfer.model.decoders import (
    DECODERS,
    anchors,
    anomaly,
    classify,
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
from edgeinfer.model.preprocess.featurespec import BandsSpec, MelSpec, MfccSpec, MicroFrontendSpec, SpectrumSpec, StatisticsSpec
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.mqtt.broker import MqttOptions, TlsOptions
from edgeinfer.registry import Table
from edgeinfer.service import systemd
from edgeinfer.service.layout import Layout
from edgeinfer.service.report import report
from edgeinfer.sinks import SINKS
from edgeinfer.sinks.mqtt import MqttSink
from edgeinfer.sources import SOURCES
from edgeinfer.typed import convert
from quantize.cli import program as quantize
from quantize.converters import CONVERTERS
from quantize.pack import Given
from quantize.recipe import Recipe
from tests import bundles
from tests.markdown import Block, Page, Shape
from tests.models import tiny_onnx
from tests.quantize import runs

ROOT = Path(__file__).resolve().parent.parent
PAGES = {str(path.relative_to(ROOT)): Page(path) for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}
CONFIGURATION, BUNDLE, COMMANDS = PAGES["docs/configuration.md"], PAGES["docs/bundle.md"], PAGES["docs/commands.md"]
QUANTIZE = PAGES["docs/quantize.md"]
TOPICS, PLUG_INS = PAGES["docs/topics-and-payloads.md"], PAGES["docs/plug-ins.md"]
BLOCKS = [block for page in PAGES.values() for block in page.blocks()]

# page, heading of the section, the struct whose fields its table lists, and the column of the default
STRUCTS: list[tuple[Page, str, type[msgspec.Struct], int]] = [
    (CONFIGURATION, "The file", config._Document, 1),
    (CONFIGURATION, "Pipelines", config.PipelineConfig, 1),
    (CONFIGURATION, "Runtime", RuntimeOptions, 1),
    (CONFIGURATION, "Gate", gate.GateOptions, 1),
    (CONFIGURATION, "mqtt", MqttOptions, 1),
    (CONFIGURATION, "tls", TlsOptions, 1),
    (CONFIGURATION, "Outbox", outbox.OutboxOptions, 1),
    (CONFIGURATION, "Memory", config.MemoryOptions, 1),
    (CONFIGURATION, "Health", config.HealthOptions, 1),
    (CONFIGURATION, "Updates", probation.UpdateOptions, 1),
    (CONFIGURATION, "Commands", CommandOptions, 1),
    (CONFIGURATION, "Home Assistant", DiscoveryOptions, 1),
    *((CONFIGURATION, kind, SOURCES.load(kind, "test").Options, 1) for kind in SOURCES.entries),
    (BUNDLE, "Recipes", Given, 0),
    (BUNDLE, "The manifest", manifest.Manifest, 0),
    (BUNDLE, "files", manifest.Member, 0),
    (BUNDLE, "tensors", tensor.TensorSpec, 0),
    (BUNDLE, "quantization", tensor.Quantization, 0),
    (BUNDLE, "image", ImageSpec, 0),
    (BUNDLE, "window", WindowSpec, 0),
    (BUNDLE, "classify", classify.Parameters, 0),
    (BUNDLE, "yolo", yolo.Parameters, 0),
    (BUNDLE, "ssd", ssd.Parameters, 0),
    (BUNDLE, "anchors ssd", anchors.SsdAnchors, 0),
    (BUNDLE, "anchors blazeface", anchors.BlazeFaceAnchors, 0),
    (BUNDLE, "anomaly", anomaly.Parameters, 0),
    (BUNDLE, "regress", regress.Parameters, 0),
    (BUNDLE, "raw", raw.Parameters, 0),
    (BUNDLE, "grid", grid.Parameters, 0),
    (BUNDLE, "end_to_end", end_to_end.Parameters, 0),
    (BUNDLE, "detr", detr.Parameters, 0),
    (BUNDLE, "instances", instances.Parameters, 0),
    (BUNDLE, "segment", segment.Parameters, 0),
    (BUNDLE, "pose", pose.Parameters, 0),
    (BUNDLE, "landmarks", landmarks.Parameters, 0),
    (BUNDLE, "embed", embed.Parameters, 0),
    (BUNDLE, "statistics", StatisticsSpec, 0),
    (BUNDLE, "micro_frontend", MicroFrontendSpec, 0),
    (BUNDLE, "reset", manifest.Reset, 0),
    (BUNDLE, "State", manifest.State, 0),
    (BUNDLE, "Probes", manifest.Probe, 0),
    (BUNDLE, "expected", manifest.Expected, 0),
]


def _ids(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    return value.id if isinstance(value, Block) else value if isinstance(value, str) else ""


def _shown(field: msgspec.structs.FieldInfo) -> str:
    """A default as the tables write it."""
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "see there"
    if value in (None, "", (), {}):
        return "—"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(("page", "heading", "struct", "column"), STRUCTS, ids=_ids)
def test_a_table_of_keys_is_the_struct(page: Page, heading: str, struct: type[msgspec.Struct], column: int) -> None:
    """Each table lists exactly the fields of its struct, with their defaults."""
    fields = {field.encode_name: _shown(field) for field in msgspec.structs.fields(struct)}
    assert {name: cells[column] for name, cells in page.table(heading).items() if len(cells) > column} == fields


def test_the_table_of_recipes_is_the_struct() -> None:
    """It lists what a run takes besides what pack takes, with the defaults."""
    pack = {field.encode_name for field in msgspec.structs.fields(Given)}
    fields = {field.encode_name: _shown(field) for field in msgspec.structs.fields(Recipe) if field.encode_name not in pack}
    assert {name: cells[0] for name, cells in QUANTIZE.table("Recipes").items()} == fields


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


# Blocks that show something


def _blocks(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


class _NoDuplicates(yaml.SafeLoader):
    """YAML lets a later key replace an earlier one; an example that does so shows nothing."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        assert len(mapping) == len(node.value), f"a key twice: {[key.value for key, _ in node.value]}"
        return mapping


def _completed(part: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration around a part of one: keys of a pipeline go into a pipeline."""
    pipeline = {"source": {"kind": "synthetic"}} | ({} if "model" in part else {"bundle": "b"})
    pipeline |= {key: part[key] for key in part if key in config.PipelineConfig.__struct_fields__}
    rest = {key: value for key, value in part.items() if key not in pipeline}
    return {"pipelines": {"p": pipeline}, "sink": {"kind": "stdout"}, **rest}


@pytest.mark.parametrize("block", _blocks("yaml"), ids=_ids)
def test_yaml_that_is_shown_is_right(block: Block) -> None:
    """A configuration, a part of one or a recipe in the documentation is what the program takes."""
    document = yaml.load(block.text, _NoDuplicates)
    if "decoder" in document:
        faults: list[Fault] = []
        convert(document, Recipe if "model" in document else Given, "", faults)
        assert not faults
    else:
        whole = document if "pipelines" in document else _completed(document)
        config.parse(yaml.safe_dump(whole).encode(), ROOT)


@pytest.mark.parametrize("block", _blocks("json"), ids=_ids)
def test_json_that_is_shown_is_right(block: Block) -> None:
    """JSON in the documentation is JSON; a whole manifest is one that a device accepts."""
    document = json.loads(block.text if block.text.startswith("{") else f"{{{block.text}}}")
    if "edgeinfer" in document:
        manifest.parse(block.text.encode())


@pytest.mark.parametrize("block", _blocks("toml"), ids=_ids)
def test_toml_that_is_shown_is_that_of_the_example(block: Block) -> None:
    """The entry point in the documentation stands in the example's own pyproject.toml."""
    assert block.text in (ROOT / "examples/third-party-decoder/pyproject.toml").read_text()


def _with_command(words: list[str]) -> list[str]:
    """``quantize MODEL`` is ``quantize run MODEL``."""
    return [words[0], "run", *words[1:]] if words[0] == "quantize" and "." in words[1] else words


COMMAND_LINES = [(f"{block.id} {' '.join(words[:3])}", _with_command(words)) for block in BLOCKS for words in block.commands()]


def _called(words: list[str]) -> tuple[str, click.Command, list[str]]:
    """A command's name with those of its groups, the command, and the words that are left for it."""
    names, command, rest = [], edgeinfer if words[0] == "edgeinfer" else quantize, words[1:]
    while isinstance(command, click.Group):
        with click.Context(command) as context:
            _, (name, *rest), _ = command.make_parser(context).parse_args(rest)
            names.append(name)
            command = command.get_command(context, name)
        assert command is not None, names
    return " ".join(names), command, rest


@pytest.mark.parametrize("words", [words for _, words in COMMAND_LINES], ids=[name for name, _ in COMMAND_LINES])
def test_a_command_line_that_is_shown_is_understood(words: list[str]) -> None:
    """Commands, options and their values in the documentation are those of the program; files need not exist."""
    _, command, rest = _called(words)
    with click.Context(command) as context:
        values, extra, _ = command.make_parser(context).parse_args(rest)
        assert not extra
        for parameter in command.params:
            value = values.get(parameter.name)
            assert isinstance(value, (str, list, tuple)) or not parameter.required, parameter.name
            if isinstance(value, (str, list, tuple)) and not isinstance(parameter.type, click.Path):
                parameter.type_cast_value(context, value)


def test_the_pages_show_every_command() -> None:
    """No command is without an example."""
    shown = {(words[0], _called(words)[0]) for _, words in COMMAND_LINES}
    assert shown == {(name, command) for name, command, _ in _commands()}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """A relative link names a file that exists, and after # a heading in it."""
    page = PAGES[name]
    for link in page.links():
        if "://" not in link:
            target, _, anchor = link.partition("#")
            path = (page.path.parent / target).resolve() if target else page.path
            assert path.exists(), link
            assert not anchor or anchor in Page(path).anchors(), link


# Commands


def _commands() -> Iterator[tuple[str, str, click.Command]]:
    for name, group in (("edgeinfer", edgeinfer), ("quantize", quantize)):
        yield from ((name, command.strip(), found) for command, found in _leaves("", group))


def _leaves(above: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from _leaves(f"{above} {name}", found)
        else:
            yield f"{above} {name}", found


@pytest.mark.parametrize(("program", "name", "command"), [*_commands()], ids=_ids)
def test_a_table_of_options_is_the_command(program: str, name: str, command: click.Command) -> None:
    """Each command has a section whose table lists exactly its options, with the defaults that its help shows."""
    table = COMMANDS.table(f"{program} {name}")
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert {*table} == {flag for option in options for flag in option.opts}
    for option in options:
        if option.show_default:
            assert table[option.opts[-1]][0] == str(option.default)


def test_options_before_the_command_are_told() -> None:
    """What stands before a command is told at the top of the page."""
    options = {flag for parameter in edgeinfer.params for flag in parameter.opts}
    assert {"--version", "-v", "--verbose"} == options
    assert all(f"`{flag}`" in COMMANDS.section("Commands and their JSON") for flag in options)


def test_the_table_of_exit_codes_is_the_tree_of_errors() -> None:
    """Each class of error is listed with its exit code."""
    listed = {}
    for line in COMMANDS.section("Exit codes").splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if cells[0].isdigit() and cells[1]:
            listed[cells[1]] = int(cells[0])
    kinds = [getattr(errors, name) for name in errors.__all__ if name not in {"Fault", "EdgeinferError"}]
    assert listed == {kind.__name__: kind.exit_code for kind in kinds}


# Documents


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A small bundle, its bare model, a picture, a configuration that replays 5 frames to stdout: paths by their word."""
    folder = tmp_path_factory.mktemp("docs")
    colours = bundles.colours(folder)
    cv2.imwrite(str(folder / "red.png"), np.full((48, 64, 3), (0, 0, 255), np.uint8))
    source = {"kind": "synthetic", "width": 64, "height": 48, "count": 5}
    pipelines = {"door": {"bundle": str(colours.folder), "source": source, "runtime": {"accelerators": ["edgetpu"]}}}
    (folder / "edgeinfer.yaml").write_text(yaml.safe_dump({"node": "n", "pipelines": pipelines, "sink": {"kind": "stdout"}}))
    network, pictures = runs.save_network(folder / "net.onnx"), runs.save_pictures(folder / "pictures", 4)
    quantize(["run", str(network), "--data", str(pictures), *runs.FLAGS, "--rounding", "nearest", "-o", str(folder / "out")],
             standalone_mode=False)
    return {"FLOAT": str(network), "PICTURES": str(pictures), "OUT": str(folder / "out"),
            "BUNDLE": str(colours.folder), "BARE": str(colours.model_path), "PICTURE": str(folder / "red.png"),
            "CONFIG": str(folder / "edgeinfer.yaml"), "PACKED": str(folder / "packed.eib")}


RUNS = {  # a document's section, and the runs that together show all of its fields
    "The document of check": ["check CONFIG --json", "check CONFIG --online --json"],
    "The document of infer": ["infer BUNDLE PICTURE --json"],
    "The document of inspect": ["inspect BUNDLE --json", "inspect BARE --json"],
    "The document of bench": ["bench BUNDLE --frames 10 --device raspberry-pi-5 --json"],
    "The document of devices": ["devices --json", "devices jetson-orin-nano --json"],
    "The document of quantize run": [f"run FLOAT --data PICTURES {' '.join(runs.FLAGS)} --rounding nearest -o OUT --json"],
    "The document of quantize check": ["check FLOAT --target coral-dev --json"],
    "The document of quantize calibrate": ["calibrate FLOAT --data PICTURES --mean 0 --std 255 -o OUT --json"],
    "The document of quantize compare": ["compare FLOAT OUT/net.onnx --data PICTURES --mean 0 --std 255 --json"],
    "The document of quantize evaluate": ["evaluate OUT/net-onnx.eib OUT/net.eib OUT/net.eib --data PICTURES --json"],
    "The document of pack": ["pack BARE --decoder classify -o PACKED --json"],
    "The document of quantize inspect": ["inspect BARE --json"],
}


@pytest.mark.parametrize("heading", RUNS)
def test_a_table_of_fields_is_the_document(heading: str, models: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    """What a real run prints with --json has exactly the fields that the page lists, of the types that it lists."""
    group = quantize if heading.endswith("pack") or "quantize" in heading else edgeinfer
    shape = Shape(COMMANDS.table(heading))
    for line in RUNS[heading]:
        words = [str(Path(models[word.split("/")[0]], *word.split("/")[1:])) if word.split("/")[0] in models else word
                 for word in line.split()]
        with contextlib.suppress(SystemExit):
            group(words, standalone_mode=False)
        shape.check(json.loads(capfd.readouterr().out))
    assert not shape.unseen


def test_every_document_has_a_table() -> None:
    """Each command with --json is run by the test above; that of the service needs a systemd, and has a test of its own."""
    with_json = {f"{name} {command}" for name, command, found in _commands() if "--json" in {
        flag for parameter in found.params for flag in parameter.opts}}
    assert len(with_json - {"edgeinfer service status"}) == len(RUNS)


def test_the_table_of_the_services_status_is_its_document(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a service that runs and has written its health, and of none."""
    running = {"LoadState": "loaded", "MainPID": "17", "ExecMainStatus": "0", "MemoryCurrent": "1000", "MemoryMax": "2000"}
    shape = Shape(COMMANDS.table("The document of service status"))
    (tmp_path / "health.json").write_text('{"v": 1}')
    monkeypatch.setattr(Layout, "health", tmp_path / "health.json")
    for facts in (running, {}):
        monkeypatch.setattr(systemd, "show", lambda *_, facts=facts: facts)
        shape.check(report(Layout()))
        (tmp_path / "health.json").unlink(missing_ok=True)
    assert not shape.unseen


def test_the_table_of_health_is_the_document(models: dict[str, str]) -> None:
    """The health of a real daemon has exactly the fields that the page lists, and both equations hold in it."""
    daemon = Daemon(Path(models["CONFIG"]))
    thread = threading.Thread(target=daemon.run)  # the main thread's signals stay pytest's
    thread.start()
    thread.join(60)
    health = json.loads(msgspec.json.encode(daemon.health()))
    shape = Shape(TOPICS.table("Health"))
    shape.check(health)
    assert not shape.unseen
    frames, results = health["pipelines"]["door"], health["sink"]["outbox"]
    assert frames["captured"] == 5 == frames["inferred"] + sum(frames["skipped"].values()) + frames["waiting"]
    assert frames["inferred"] == frames["published"] + sum(frames["held_back"].values())
    assert results["produced"] + results["carried"] == results["acknowledged"] + results["queued"] + sum(
        results["dropped"].values())


def test_the_table_of_the_sinks_health_is_its_state(tmp_path: Path) -> None:
    """So has the state of the MQTT sink."""
    options = outbox.OutboxOptions(path=str(tmp_path / "outbox.db"), staging=1)
    sink = MqttSink(MqttOptions(host="127.0.0.1", plain_text=True), "edgeinfer/n", options)
    sink.publish("edgeinfer/n/p/result", b"{}", "p")
    sink.publish("edgeinfer/n/p/result", b"{}", "p")  # more than staging holds: one is dropped
    shape = Shape(TOPICS.table("Health of the sink"))
    shape.check(sink.state())
    assert not shape.unseen


# Plug-ins


def test_every_kind_of_plug_in_is_told() -> None:
    """The page names the group of entry points of each table that a third party can add to."""
    text = PLUG_INS.section("Adding a plug-in")
    assert all(f"`edgeinfer.{table.kind}`" in text for table in (SOURCES, SINKS, DECODERS, CONVERTERS))
    assert f"`edgeinfer.{BACKENDS.kind}`" not in text


def _shown_there(name: str) -> Any:
    """The class or function of that name from the page's Python."""
    for block in PLUG_INS.blocks():
        if block.language == "python" and re.search(rf"^(?:class|def) {name}\b", block.text, re.MULTILINE):
            names: dict[str, Any] = {"__name__": "plug_ins"}
            exec(compile(block.text, block.id, "exec"), names)
            return names[name]
    raise KeyError(name)


def test_the_decoder_that_is_shown_decodes() -> None:
    """The page's decoder sums a quantised map with its scale and zero point."""
    real = tensor.Quantization(scale=(0.5,), zero_point=(-128,))
    spec = tensor.TensorSpec(name="map", shape=(1, 2, 2), dtype="int8", quantization=real)
    result = _shown_there("Density")({}, [spec], (), []).decode([np.array([[[-128, -126], [-124, -128]]], np.int8)], [], None)
    assert result.document() == {"values": {"people": 3.0}}


def test_the_source_that_is_shown_delivers(tmp_path: Path) -> None:
    """The page's source reads its file, fails with a SourceError when it is gone, and can be interrupted."""
    file = tmp_path / "temp1_input"
    file.write_text("42000\n")
    cls = _shown_there("Hwmon")
    source = cls(cls.Options(path=str(file), rate=1000.0))
    source.open()
    samples = np.zeros((2, source.format().channels), np.float32)
    assert source.read_into(samples) == 2
    assert samples.tolist() == [[42000], [42000]]
    file.unlink()
    with pytest.raises(errors.SourceError, match="a whole number"):
        source.read_into(samples)
    source.interrupt()
    assert source.read_into(samples) == 0


def test_the_converter_that_is_shown_converts(tmp_path: Path) -> None:
    """The page's converter reads what it says, and refuses what is none."""
    load = _shown_there("load")
    file = tmp_path / "mean.onnx.gz"
    file.write_bytes(gzip.compress(tiny_onnx(tmp_path / "mean.onnx").read_bytes()))
    assert load(file, {}).graph.inputs == ["image"]
    file.write_bytes(b"nothing")
    with pytest.raises(errors.ModelError, match="a file that gzip made"):
        load(file, {})


@pytest.mark.parametrize(("heading", "struct"), [("spectrum", SpectrumSpec), ("bands", BandsSpec), ("mel", MelSpec), ("mfcc", MfccSpec)])
def test_features_of_spectra_are_listed_once(heading: str, struct: type[msgspec.Struct]) -> None:
    """What all have in common, and each one's own; mfcc is a mel with more."""
    own = {**(BUNDLE.table("mel") if heading == "mfcc" else {}), **BUNDLE.table(heading)}
    told = {name: cells[0] for name, cells in {**BUNDLE.table("spectra"), **own}.items()}
    fields = {field.encode_name: _shown(field) for field in msgspec.structs.fields(struct)}
    assert told == ({**fields, "log": "ln"} if heading == "spectrum" else fields)


def test_the_security_page_names_tests_that_exist() -> None:
    """Each test that is said to show a provision is there."""
    named = set(re.findall(r"`((?:tests|scripts)/[\w/.]+)`", (ROOT / "docs/security.md").read_text()))
    assert len(named) > 15
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]
