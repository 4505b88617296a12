"""Configurations, manifests and commands grown from the very structs that read them: right but for what is wrong in each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from edgeinfer import config
from edgeinfer.model.manifest import Manifest
from edgeinfer.sinks import SINKS
from edgeinfer.sources import SOURCES
from tests.lanes.fuzz.targets import COMMANDS, Target

__all__ = ["grown"]

TEXT = st.sampled_from(["", "a", "door", "x" * 65, "../a", "/etc/passwd", "a\0b", "\ud800", "é", "mqtt", "synthetic", "[", "${HOME}", "%s"])
NASTY = st.one_of(
    TEXT, st.none(), st.booleans(), st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, 1e308, 1e-308, -0.0]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    st.recursive(st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6))


def grown(targets: Mapping[str, Target]) -> dict[str, st.SearchStrategy[bytes]]:
    """A strategy for each target that has a grammar."""
    real = json.loads(targets["manifest"].seeds[0])
    return {"config": _CONFIG, "manifest": _struct(Manifest).map(lambda drawn: _json({**drawn, "edgeinfer": 1})) | _grafted(real),
            "command": _COMMAND}


def _of(info: inspect.Type, good: bool) -> st.SearchStrategy[Any]:
    """Values that a type takes; ``good``: likely ones, which pass what is checked beyond the type."""
    match info:
        case inspect.StructType():
            return _plain(info.cls) if good else _struct(info.cls)
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.sampled_from([1, 2, 8, 64]) if good else st.sampled_from([0, 1, 20, 640, 65535, -1]) | st.integers()
        case inspect.FloatType():
            return st.sampled_from([0.5, 1.0, 2.0]) if good else st.sampled_from([0.0, 0.5, 10.0, 1e9, -1.0]) | st.floats()
        case inspect.UnionType(types=types):
            return st.one_of([_of(one, good) for one in types])
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return st.lists(_of(item, good), max_size=3)
        case inspect.TupleType(item_types=items):
            return st.tuples(*(_of(item, good) for item in items)).map(list)
        case inspect.DictType(value_type=value):
            return st.dictionaries(_NAMES if good else TEXT, _of(value, good), min_size=int(good), max_size=3)
        case inspect.StrType():
            return _NAMES if good else TEXT
        case _:
            return NASTY


def _plain(struct: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """What is required, with likely values, and at times one more."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    required = {name: st.deferred(lambda field=field: _of(inspect.type_info(field.type), True))
                for name, field in fields.items() if field.required}
    more = st.sampled_from([name for name in fields if name not in required] or [""]).flatmap(
        lambda name: st.fixed_dictionaries({name: _of(inspect.type_info(fields[name].type), True)} if name else {}))
    whole = st.fixed_dictionaries(required)
    return st.one_of(whole, st.tuples(whole, more).map(lambda drawn: {**drawn[0], **drawn[1]})).map(
        lambda document: _tagged(struct, document))


def _struct(struct: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """A document of its fields: likely ones; any at all; and likely ones but for a stranger's or a nasty value."""
    fields = msgspec.structs.fields(struct)
    drawn = {field.encode_name: st.deferred(lambda field=field: _of(inspect.type_info(field.type), False)) for field in fields}
    required = {field.encode_name for field in fields if field.required}
    whole = st.fixed_dictionaries({name: value for name, value in drawn.items() if name in required},
                                  optional={name: value for name, value in drawn.items() if name not in required})
    spoilt = st.tuples(_plain(struct), st.sampled_from([*drawn, "stranger"]), NASTY).map(
        lambda parts: {**parts[0], parts[1]: parts[2]})
    return st.one_of(_plain(struct), whole.map(lambda document: _tagged(struct, document)), spoilt)


def _tagged(struct: type[msgspec.Struct], document: dict[str, Any]) -> dict[str, Any]:
    tag = struct.__struct_config__
    return {tag.tag_field: tag.tag, **document} if tag.tag_field else document


def _grafted(real: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """A sound manifest with one or two of its fields grown anew."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(Manifest)}
    anew = st.sampled_from(list(fields)).flatmap(
        lambda name: st.tuples(st.just(name), _of(inspect.type_info(fields[name]), True) | _of(inspect.type_info(fields[name]), False)))
    return st.lists(anew, min_size=1, max_size=2).map(lambda grafts: _json({**real, **dict(grafts)}))


def _plug_ins(table: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Options of any of a table's plug-ins, with their kind."""
    kinds = {kind: table.load(kind, "").Options for kind in table.names()}
    return st.one_of([st.one_of(_plain(options), _plain(options), _struct(options)).map(lambda drawn, kind=kind: {"kind": kind, **drawn})
                      for kind, options in kinds.items()])


def _json(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "replace")


def _configuration(drawn: tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any]]) -> bytes:
    """The document with sources and a sink put where plain mappings stand for them."""
    document, sources, sink = drawn
    pipelines = document.get("pipelines")
    if isinstance(pipelines, dict):
        pairs = zip(pipelines.items(), sources, strict=False)
        pipelines = {name: {**pipeline, "source": source} if isinstance(pipeline, dict) else pipeline
                     for (name, pipeline), source in pairs}
    return _json({**document, "pipelines": pipelines, "sink": sink})


_NAMES = st.sampled_from(["door", "motor", "b1"])
_CONFIG = st.tuples(_plain(config._Document) | _struct(config._Document), st.lists(_plug_ins(SOURCES), min_size=3, max_size=3),
                    _plug_ins(SINKS)).map(_configuration)
_COMMAND = st.tuples(st.sampled_from([topic for topic, _, _ in COMMANDS]), TEXT,
                     st.fixed_dictionaries({"pipeline": st.sampled_from(["door", "motor"]) | NASTY, "value": NASTY}, optional={
                         "transaction": NASTY, "stranger": NASTY}) | NASTY).map(
    lambda drawn: b"\n\n".join((drawn[0], drawn[1].encode("utf-8", "replace"), _json(drawn[2]))))
