"""What the documentation shows in YAML, JSON, TOML and command lines is what the program takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
import pytest
import yaml

from edgeinfer import config
from edgeinfer.errors import Fault
from edgeinfer.model import manifest
from edgeinfer.typed import convert
from quantize.pack import Given
from quantize.recipe import Recipe
from tests.docs.pages import PAGES, ROOT, blocks, named
from tests.docs.programs import called, commands
from tests.markdown import Block

SINK = {"kind": "mqtt", "host": "broker.local"}


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
    return {"pipelines": {"p": pipeline}, "sink": SINK, **rest}


def _is_recipe(document: Mapping[str, Any]) -> bool:
    return "decoder" in document or isinstance(document.get("preprocess"), dict)


@pytest.mark.parametrize("block", blocks("yaml"), ids=named)
def test_yaml_that_is_shown_is_right(block: Block) -> None:
    """A configuration, a part of one or a recipe in the documentation is what the program takes."""
    document = yaml.load(block.text, _NoDuplicates)
    if _is_recipe(document):
        faults: list[Fault] = []
        convert(document, Recipe if "model" in document else Given, "", faults)
        assert not faults
    else:
        whole = {"sink": SINK, **document} if "pipelines" in document else _completed(document)
        config.parse(yaml.safe_dump(whole).encode(), ROOT)


@pytest.mark.parametrize("block", blocks("json"), ids=named)
def test_json_that_is_shown_is_right(block: Block) -> None:
    """JSON in the documentation is JSON; a whole manifest is one that a device accepts."""
    document = json.loads(block.text if block.text.startswith("{") else f"{{{block.text}}}")
    if "edgeinfer" in document:
        manifest.parse(block.text.encode())


@pytest.mark.parametrize("block", blocks("toml"), ids=named)
def test_toml_that_is_shown_is_that_of_the_example(block: Block) -> None:
    """The entry point in the documentation stands in the example's own pyproject.toml."""
    assert block.text in (ROOT / "examples/third-party-decoder/pyproject.toml").read_text()


def _with_command(words: list[str]) -> list[str]:
    """``quantize MODEL`` is ``quantize run MODEL``."""
    return [words[0], "run", *words[1:]] if words[0] == "quantize" and "." in words[1] else words


LINES = [(f"{block.id} {' '.join(words[:3])}", _with_command(words))
         for page in PAGES.values() for block in page.blocks() for words in block.commands()]


@pytest.mark.parametrize("words", [words for _, words in LINES], ids=[name for name, _ in LINES])
def test_a_command_line_that_is_shown_is_understood(words: list[str]) -> None:
    """Commands, options and their values in the documentation are those of the program; files need not exist."""
    _, command, rest = called(words)
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
    shown = {(words[0], called(words)[0]) for _, words in LINES}
    assert shown == {(name, command) for name, command, _ in commands()}
