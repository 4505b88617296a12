"""Configurations: typed, all faults at once, never a description of a model."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.config import load, parse
from edgeinfer.errors import ConfigError, EdgeinferError

GOOD: dict[str, Any] = {
    "node": "workshop",
    "pipelines": {"door": {"bundle": "models/door", "source": {"kind": "images", "path": "pictures"}}},
    "sink": {"kind": "mqtt", "host": "broker.local", "tls": {"ca": "ca.pem"}},
}


def _parse(document: Any, folder: Path = Path("/etc/edgeinfer")) -> Any:
    return parse(yaml.safe_dump(document).encode(), folder)


def test_relative_paths_are_relative_to_the_configuration() -> None:
    """Bundle, source path, certificates and outbox are found beside the file, whatever the working directory is."""
    config = _parse(GOOD)
    assert config.bundle_path("door") == Path("/etc/edgeinfer/models/door")
    assert config.sources["door"].options.path == "/etc/edgeinfer/pictures"
    assert config.sink.options.tls.ca == "/etc/edgeinfer/ca.pem"
    assert config.outbox.path == "/etc/edgeinfer/state/outbox.db"


def test_a_pipeline_names_either_a_bundle_or_an_installed_model() -> None:
    """Both and neither are faults; a model that is not installed says which command installs it."""
    source = GOOD["pipelines"]["door"]["source"]
    for said in ({}, {"bundle": "b", "model": "m"}):
        with pytest.raises(ConfigError, match=r"pipelines\.door: expected either bundle or model, got"):
            _parse({**GOOD, "pipelines": {"door": {**said, "source": source}}})
    with pytest.raises(ConfigError, match="expected model of 1 to 64 letters"):
        _parse({**GOOD, "pipelines": {"door": {"model": "../m", "source": source}}})
    with pytest.raises(ConfigError, match=r"got 'm'\n  hint: edgeinfer install m.eib"):
        _parse({**GOOD, "pipelines": {"door": {"model": "m", "source": source}}}).bundle_path("door")


def test_a_folder_of_trusted_keys_without_a_key_is_refused(tmp_path: Path) -> None:
    """Without trusted_keys no signature is asked for; with a folder that holds no key nothing would be trusted."""
    assert _parse(GOOD).keys() == ()
    with pytest.raises(ConfigError, match="trusted_keys: expected a folder with public keys"):
        _parse({**GOOD, "trusted_keys": str(tmp_path)}).keys()
    (tmp_path / "maker.pub").write_text("no key")
    with pytest.raises(ConfigError, match=r"trusted_keys: .*expected a minisign public key"):
        _parse({**GOOD, "trusted_keys": str(tmp_path)}).keys()


def test_systemds_state_folder_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """StateDirectory= decides where the outbox and the verdicts are, unless the configuration does."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edgeinfer:/var/lib/other")
    assert _parse(GOOD).outbox.path == "/var/lib/edgeinfer/outbox.db"
    assert _parse({**GOOD, "state_folder": "/srv/state"}).outbox.path == "/srv/state/outbox.db"


def test_faults_of_every_part_are_listed_at_once() -> None:
    """Pipeline, source, sink, outbox and names: one run finds them all, each with its place."""
    document = {
        "node": "work shop", "nodes": 1,
        "pipelines": {"do/or": {"bundle": 3, "source": {"kind": "camera", "width": "wide"}},
                      "win": {"bundle": "b", "source": {"kind": "camra"}, "gate": {"n_of_m": [3, 2]}}},
        "sink": {"kind": "mqtt", "hots": "x"},
        "outbox": {"max_bytes": 1},
    }
    with pytest.raises(ConfigError) as caught:
        _parse(document)
    places = {fault.where for fault in caught.value.faults}
    assert places >= {"config: node", "config: nodes", "config: pipelines.do/or", "config: pipelines.do/or.bundle",
                      "config: pipelines.do/or.source.width", "config: pipelines.win.source.kind",
                      "config: pipelines.win.gate", "config: sink.hots", "config: sink.host", "config: outbox"}
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("key", ["width", "height", "mean", "std", "labels", "decoder", "colour"])
def test_a_configuration_cannot_describe_a_model(key: str) -> None:
    """Facts of the model are unknown keys of a pipeline."""
    document = {**GOOD, "pipelines": {"door": {**GOOD["pipelines"]["door"], key: 1}}}
    with pytest.raises(ConfigError, match=f"pipelines.door.{key}: expected a known key"):
        _parse(document)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    """The hint is a command that writes a configuration to start from."""
    with pytest.raises(ConfigError, match="edgeinfer demo --write-config"):
        load(tmp_path / "nowhere.yaml")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["pipelines", "sink", "kind", "source", "bundle", "gate", "door", "mqtt", "host", "path"])
                        | st.text(max_size=5), inner, max_size=4), max_leaves=12))
def test_any_document_is_a_configuration_or_a_config_error(document: Any) -> None:
    """Whatever YAML says, the outcome is a configuration or one typed error: never another exception."""
    with contextlib.suppress(EdgeinferError):  # anything else fails the test
        _parse(document)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_a_config_error(text: bytes) -> None:
    """Not even bytes that are no YAML at all raise anything else."""
    with contextlib.suppress(ConfigError):  # anything else fails the test
        parse(text, Path("/etc/edgeinfer"))
