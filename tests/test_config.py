"""Configurations: typed, all faults at once, never a description of a model."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.config import load, parse
from edgeinfer.errors import ConfigError, EdgeinferError
from edgeinfer.yamlfile import read_yaml

GOOD: dict[str, Any] = {
    "node": "workshop",
    "pipelines": {"door": {"bundle": "models/door", "source": {"kind": "images", "path": "pictures"}}},
    "sink": {"kind": "mqtt", "host": "broker.local", "tls": {"ca": "ca.pem"}},
}


def _parse(document: Any, folder: Path = Path("/etc/edgeinfer")) -> Any:
    return parse(yaml.safe_dump(document, sort_keys=False).encode(), folder)


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


TRIANGLE = [[0, 0], [1, 0], [1, 1]]
RICH: dict[str, Any] = {
    "node": "yard", "sink": {"kind": "mqtt", "host": "h", "tls": {"ca": "ca.pem"}, "username": "u", "password_file": "p",
                             "port": 1, "keepalive_s": 5, "ack_timeout_s": 1.0, "first_retry_s": 1.0, "last_retry_s": 2.0},
    "pipelines": {"door": {
        "model": "person", "threshold": 0.5, "resample": True, "runtime": {"threads": 1},
        "source": {"kind": "camera", "device": "/dev/video0", "width": 640, "height": 480},
        "gate": {"min_score": 0.6, "release": 0.5, "on_change": True, "n_of_m": [3, 5], "heartbeat_s": 60, "min_interval_s": 1},
        "track": {"lost_s": 1.0}, "motion": {"awake_s": 5.0}, "schedule": {"active": ["mon-fri 08:00-18:00"]},
        "zones": {"yard": {"points": TRIANGLE, "labels": ["person"], "dwell_s": 3}},
        "lines": {"gate": {"points": [[0, 0], [1, 1]]}},
        "then": {"model": "face", "most": 4, "margin": 0.1, "every_s": 1.0, "min_score": 0.5}}},
    "outbox": {"max_bytes": 65536, "staging": 10}, "memory": {"budget_mb": 100}, "health": {"interval_s": 1},
    "updates": {"probation_s": 60}, "commands": {"enabled": True, "per_minute": 5},
    "home_assistant": {"enabled": True, "labels": ["person"], "area": "a"}, "trusted_keys": "k", "state_folder": "s"}
ODD = (None, True, -1, 0, 2**63, -(10**400), math.nan, math.inf, -math.inf, 1e308, "", " ", "x" * 10000, "1e5", [], [1], [[1, 2]],
       [None], {}, {1: 2}, {None: None}, b"bytes", date(2024, 1, 1), [[math.nan, 0], [0, 1], [1, 1]])
ODD_KEYS = (None, True, 1, math.nan, "", "x" * 1000, "a b", b"a", date(2024, 1, 1))


def _places(document: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, item in items:
        yield (*before, key)
        yield from _places(item, (*before, key))


@pytest.mark.parametrize("place", list(_places(RICH)), ids=str)
def test_each_value_and_each_key_may_be_anything(place: tuple[Any, ...]) -> None:
    """Every key in turn with values of every kind, and every key under another name: a configuration or a ConfigError."""
    for values, renamed in ((ODD, False), (ODD_KEYS, True)):
        for odd in values:
            document = copy.deepcopy(RICH)
            parent: Any = document
            for key in place[:-1]:
                parent = parent[key]
            if renamed and isinstance(parent, dict):
                parent[odd] = parent.pop(place[-1])
            else:
                parent[place[-1]] = odd
            with contextlib.suppress(EdgeinferError):
                _parse(document)


@pytest.mark.parametrize(("text", "number"), [("1e-3", 1e-3), ("1e9", 1e9), ("1.5E+3", 1500.0), (".5e1", 5.0), ("-2e0", -2.0)])
def test_numbers_may_have_an_exponent(text: str, number: float) -> None:
    """As everywhere but in YAML 1.1, which takes 1e-3 for a text."""
    assert read_yaml(f"value: {text}".encode(), "config") == {"value": number}
    assert read_yaml(f"value: {text}x".encode(), "config") == {"value": f"{text}x"}


def test_a_megabyte_of_keys_is_refused_before_it_is_read() -> None:
    """PyYAML would take half a minute for it: it stops at the first value too many, of which the last is no YAML."""
    with pytest.raises(ConfigError, match="values"):
        read_yaml(b"a: b\n" * 100_000 + b"\t", "config")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_a_config_error(text: bytes) -> None:
    """Not even bytes that are no YAML at all raise anything else."""
    with contextlib.suppress(ConfigError):  # anything else fails the test
        parse(text, Path("/etc/edgeinfer"))
